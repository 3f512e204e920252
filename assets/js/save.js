// Files made in the browser: a picture of the map, and the compactions as a table.

import { count, pixelRatio } from "./dom.js";
import { compacts } from "./events.js";
import { paint } from "./paint.js";

const SHARPNESS = 2; // pixels of the picture for one on the page, at least

/** Hands a file to the person at the screen. */
export function download(name, blob) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** A file name of letters, digits and hyphens alone, whatever the run says of itself. */
export function fileName(store, ending) {
  const part = store.running ? ` partial ${store.length} tokens` : "";
  const words = `run ${store.setup.policy || ""} ${(store.setup.created || "").slice(0, 16)}${part}`;
  return `${words.toLowerCase().match(/[a-z0-9]+/g).join("-").slice(0, 80)}.${ending}`;
}

const COLUMNS = {
  step: (c) => c.step + 1,
  tokens_seen: (c) => c.seen,
  first_entry: (c) => c.start + 1,
  group_width: (c) => c.width,
  kept_width: (c) => c.kept,
  freed: (c) => c.width - c.kept,
};
const OF_A_LADDER = { cursor: (c) => c.cursor + 1, restart_pass: (c) => Number(c.restart) };

/**
 * The compactions or evictions as a table; steps, tokens and entries are counted from 1, as on the
 * screen. Policies without a ladder have no cursor and no passes, and their "group" is a stretch of
 * entries in which each layer or head drops some.
 */
export function compactionsCsv(store) {
  const ladder = compacts(store);
  const columns = Object.entries({ ...COLUMNS, ...(ladder ? OF_A_LADDER : {}) });
  const names = columns.map(([name]) => (ladder ? name : name.replace("group_", "stretch_")));
  const rows = [...store.compactions].map((c) => columns.map(([, value]) => value(c)));
  return [names, ...rows].map((row) => row.join(",")).join("\r\n") + "\r\n";
}

/** The map as it stands, with what it shows above it and its legend: a promise of a PNG. */
export function picture(instrument) {
  const { store, view, map, element } = instrument;
  const stage = element.querySelector(".lc-stage");
  const box = stage.getBoundingClientRect();
  const style = getComputedStyle(element);
  const colour = (name) => style.getPropertyValue(`--lc-${name}`).trim();
  const ratio = Math.max(SHARPNESS, pixelRatio());
  const head = 58, foot = 30;
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(box.width * ratio);
  canvas.height = Math.round((box.height + head + foot) * ratio);
  const g = canvas.getContext("2d");
  g.scale(ratio, ratio);
  g.fillStyle = colour("panel");
  g.fillRect(0, 0, box.width, box.height + head + foot);
  const line = (text, y, size, weight, name) => {
    g.font = `${weight} ${size}px ${style.fontFamily}`;
    g.fillStyle = colour(name);
    g.textBaseline = "alphabetic";
    g.fillText(text, 14, y, box.width - 28);
  };
  const { setup } = store;
  const what = [setup.label, setup.budget ? `budget ${count(setup.budget)}` : "no budget", setup.model];
  line(setup.title || what.join(" · "), 26, 17, 650, "text");
  const at = `step ${count(view.clock + 1)} of ${count(store.steps)}, ${count(store.seen(view.clock))} tokens seen`;
  line(setup.title ? [...what, at].join(" · ") : at, 46, 12, 400, "muted");
  g.save();
  g.translate(-box.left, head - box.top);
  g.imageSmoothingEnabled = false; // cells have edges
  map.pictured(ratio, () => paint(g, stage));
  g.restore();
  line("One row a layer, one column a token. LaCache explorer", box.height + head + 20, 11, 400, "muted");
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}
