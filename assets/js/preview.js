// What the settings would keep of a text of some length, before anything runs: a small picture and
// its numbers. The server folds the rule (app/preview.py) and sends a bit for every pattern and token.

import { readPalette } from "./colors.js";
import { bytes, count, counted, el, fitCanvas, ordinal } from "./dom.js";
import { Raster } from "./raster.js";
import { RunStore } from "./store.js";
import { View } from "./view.js";

const RULER = 13; // pixels below the picture, for the numbers

export function mount(element) {
  return new Preview(element);
}

class Preview {
  constructor(element) {
    this.element = element;
    this.raster = new Raster();
    this.store = new RunStore();
    this.window = null;
    this.canvas = el("canvas", { className: "lc-preview-picture" });
    this.canvas.setAttribute("role", "img");
    this.problem = el("p", { className: "lc-preview-problem" });
    this.problem.setAttribute("role", "alert");
    this.note = el("p", { className: "lc-note" });
    this.facts = el("dl", { className: "lc-preview-facts" });
    element.classList.add("lc", "lc-preview");
    element.replaceChildren(this.canvas, this.problem, this.note, this.facts);
    this.problem.hidden = this.note.hidden = true;
    element.__preview = this;
    new ResizeObserver(() => fitCanvas(this.canvas) && this.#draw()).observe(this.canvas);
    const themes = new MutationObserver(() => this.#draw());
    for (const node of [document.documentElement, document.body]) {
      themes.observe(node, { attributes: true, attributeFilter: ["class"] });
    }
  }

  /** Takes what app/preview.py sends. */
  receive({ problem, note, facts, picture }) {
    this.problem.hidden = !problem;
    this.problem.textContent = problem || "";
    this.note.hidden = !note;
    this.note.textContent = note || "";
    this.canvas.hidden = this.facts.hidden = Boolean(note);
    this.element.classList.toggle("lc-preview-impossible", Boolean(problem));
    if (problem || note) return; // the last possible picture stays, faint
    this.store = new RunStore();
    this.store.apply(asSnapshot(picture));
    this.window = picture.window;
    this.facts.replaceChildren(...rows(facts).map(([name, value, note]) =>
      el("div", {}, el("dt", { textContent: name }), el("dd", { textContent: value }),
        el("dd", { className: "lc-preview-note", textContent: note }))));
    this.canvas.setAttribute("aria-label", summary(facts));
    fitCanvas(this.canvas);
    this.#draw();
  }

  #draw() {
    const { canvas, store, raster } = this;
    if (!store.layers || !canvas.width) return;
    const palette = readPalette(canvas);
    const g = canvas.getContext("2d");
    const ratio = window.devicePixelRatio || 1;
    const tokens = store.length;
    const height = canvas.height - Math.round(RULER * ratio);
    raster.setPalette(palette);
    raster.draw(store, new View(store), 0, tokens, canvas.width);
    g.setTransform(1, 0, 0, 1, 0, 0);
    g.clearRect(0, 0, canvas.width, canvas.height);
    g.imageSmoothingEnabled = false;
    g.drawImage(raster.canvas, 0, 0, canvas.width, height);
    g.setTransform(ratio, 0, 0, ratio, 0, 0);
    const wide = canvas.width / ratio, low = height / ratio;
    if (this.window !== null && this.window > (store.setup.numSink || 0)) {
      const x = (this.window / tokens) * wide;
      g.strokeStyle = palette.window;
      g.lineWidth = 1.5;
      g.setLineDash([4, 3]);
      g.beginPath();
      g.moveTo(x, 0);
      g.lineTo(x, low);
      g.stroke();
      g.setLineDash([]);
    }
    g.font = palette.font;
    g.fillStyle = palette.muted;
    g.textBaseline = "alphabetic";
    g.textAlign = "left";
    g.fillText("token 1", 0, low + RULER - 2);
    g.textAlign = "right";
    g.fillText(count(tokens), wide, low + RULER - 2);
  }
}

/** The picture as a run of one step, so that it is drawn by what draws runs. */
function asSnapshot({ layers, rowOfLayer, tokens, numSink, reserve, bits }) {
  const packed = Uint8Array.from(atob(bits), (c) => c.charCodeAt(0));
  const stride = Math.ceil(tokens / 8);
  const patterns = Math.max(...rowOfLayer.flat()) + 1;
  const evictedAt = new Int32Array(patterns * tokens);
  for (let p = 0; p < patterns; p++) {
    for (let t = 0; t < tokens; t++) {
      const held = packed[p * stride + (t >> 3)] & (128 >> (t & 7));
      evictedAt[p * tokens + t] = held ? -1 : 0;
    }
  }
  return {
    kind: "snapshot", run: "preview", seq: 0, layers, rowOfLayer, setup: { numSink, reserve },
    steps: 1, tokens: new Array(tokens).fill(""), ids: [], joinedAt: new Int32Array(tokens), evictedAt,
    nll: new Float32Array(tokens), compactions: new Int32Array(0), text: "", mass: null, figures: {},
    state: { name: "done", message: "" },
  };
}

/** Name, value and note of what is worth knowing. */
function rows(f) {
  const bounded = f.effective_budget !== null;
  const compare = bounded && f.tokens_seen > f.budget && f.policy !== "streaming_llm";
  const { bytes: here, full_bytes: full, saved } = f.memory;
  const exact = here !== null;
  const found = [
    ["Held per layer", count(f.held), bounded ? `asked ${count(f.budget)}, at most ${count(f.effective_budget)}` : "no limit"],
    ["Remembered", count(f.union), compare ? `a window: ${count(f.budget)}` : `of ${count(f.tokens_seen)} tokens`],
  ];
  if (bounded && f.oldest_after_sinks !== null) {
    const back = f.tokens_seen - 1 - f.oldest_after_sinks; // from the newest
    found.push(["Oldest token", ordinal(f.oldest_after_sinks), `${counted(back, "token")} back`]);
  }
  found.push(["Memory saved", saved > 0 ? `${Math.round(100 * saved)} %` : "none", exact ? `${bytes(here)} of ${bytes(full)}` : "against the full cache"]);
  if (f.group_width) {
    found.push(["Kept of a group", `${f.kept_width} of ${f.group_width}`, "in each layer"]);
    found.push(["Freed at once", count(f.reduction), f.reduction === 1 ? "entry per layer" : "entries per layer"]);
  }
  return found;
}

function summary(f) {
  return `After ${count(f.tokens_seen)} tokens each layer holds ${count(f.held)} entries; `
    + `${count(f.union)} different tokens are held by at least one layer.`;
}
