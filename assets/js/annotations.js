// What stands around the map's cells: axes, the margin above, the window for comparison, the
// crosshair, and the whole run as a strip. Each takes the 2D context and the MapView.

import { count } from "./dom.js";

const MARGIN_TOP = 20, MARGIN = 34; // the margin's bars, in CSS pixels
const STRIP = 8;

const whole = (x) => {
  const ratio = window.devicePixelRatio || 1;
  return Math.round(x * ratio) / ratio;
};

/** Per column how many layers hold its token: the mean solid, the most of its tokens behind it. */
export function margin(g, { raster, store, palette, plot }) {
  const base = MARGIN_TOP + MARGIN;
  const pixel = 1 / (window.devicePixelRatio || 1);
  g.fillStyle = palette.edge;
  g.fillRect(plot.x, MARGIN_TOP, plot.width, pixel);
  g.fillRect(plot.x, MARGIN_TOP + MARGIN / 2, plot.width, pixel);
  for (const [heights, colour] of [[raster.most, palette.peak], [raster.mean, palette.bar]]) {
    g.fillStyle = colour;
    // Neighbours of equal height make one bar.
    for (let c = 0, from = 0; c < raster.used; c = from) {
      while (from < raster.used && heights[from] === heights[c]) from++;
      const height = (heights[c] / store.layers) * MARGIN;
      if (height) g.fillRect(plot.x + c * pixel, base - height, (from - c) * pixel, height);
    }
  }
  g.fillStyle = palette.bar;
  g.fillRect(plot.x, base, plot.width, pixel);
}

/** What a window of the same budget would hold: a bracket above, a dashed line through the map. */
export function windowLine(g, map) {
  const { store, palette, plot, view } = map;
  const seen = store.seen(view.clock);
  if (!store.setup.budget || seen <= store.setup.budget || store.setup.policy === "streaming_llm") return;
  const x = whole(map.xOf(store.windowStart(view.clock))), end = map.xOf(seen);
  g.strokeStyle = g.fillStyle = palette.window;
  g.lineWidth = 1.5;
  g.beginPath();
  g.moveTo(x, MARGIN_TOP);
  g.lineTo(x, 14);
  g.lineTo(end, 14);
  g.lineTo(end, MARGIN_TOP);
  g.stroke();
  g.setLineDash([4, 3]);
  g.beginPath();
  g.moveTo(x, MARGIN_TOP);
  g.lineTo(x, plot.bottom);
  g.stroke();
  g.setLineDash([]);
  g.font = palette.font;
  g.textBaseline = "alphabetic";
  const label = "what a window would hold";
  const width = g.measureText(label).width;
  const caption = plot.x + (plot.width > 420 ? 190 : 0); // leaves room for the margin's caption
  if (end - x > width + 8 && x + 4 > caption) {
    g.textAlign = "left";
    g.fillText(label, Math.max(x, plot.x) + 3, 10);
  } else if (Math.min(end, plot.x + plot.width) - width > caption) {
    g.textAlign = "right";
    g.fillText(label, Math.min(end, plot.x + plot.width), 10);
  }
}

export function crosshair(g, map) {
  const { view, store, plot, palette } = map;
  const cell = view.focus;
  if (!cell) return;
  const x = map.xOf(cell.token), width = Math.max(2, map.xOf(cell.token + 1) - x);
  const lines = [[x - 0.5, MARGIN_TOP - 1, width + 1, plot.bottom - MARGIN_TOP + 1]];
  if (cell.layer !== null && store.layers) {
    lines.push([plot.x, plot.y + cell.layer * plot.row - 0.5, plot.width, plot.row + 1]);
  }
  for (const [colour, thickness] of [[palette.panel, 3], [palette.focus, view.locked ? 2 : 1]]) {
    g.strokeStyle = colour;
    g.lineWidth = thickness;
    for (const box of lines) g.strokeRect(...box);
  }
}

export function brush(g, map) {
  const { view, plot, palette } = map;
  if (!view.brush) return;
  const x = map.xOf(view.brush[0]), width = map.xOf(view.brush[1]) - x;
  g.fillStyle = palette.accent;
  g.globalAlpha = 0.18;
  g.fillRect(x, plot.y, width, plot.height);
  g.globalAlpha = 1;
  g.strokeStyle = palette.accent;
  g.lineWidth = 1;
  g.strokeRect(x, plot.y, width, plot.height);
}

export function axes(g, map) {
  const { palette, store, plot } = map;
  g.fillStyle = palette.muted;
  g.font = palette.font;
  layerAxis(g, store.layers, plot);
  tokenAxis(g, map);
  g.textAlign = "right";
  g.textBaseline = "middle";
  g.fillText(String(store.layers), plot.x - 6, MARGIN_TOP + 3);
  g.fillText("0", plot.x - 6, MARGIN_TOP + MARGIN - 2);
  if (plot.width > 420) {
    g.textAlign = "left";
    g.textBaseline = "alphabetic";
    g.fillText("layers that hold each token", plot.x, 10);
  }
}

function layerAxis(g, layers, plot) {
  const every = [1, 5, 10, 20, 50].find((n) => n * plot.row >= 14) || layers;
  g.textBaseline = "middle";
  g.textAlign = "right";
  for (let layer = 1; layer <= layers; layer++) {
    const wanted = layer === 1 || layer === layers || layer % every === 0;
    const crowded = layer !== layers && (layers - layer) * plot.row < 12;
    const first = layer !== 1 && layer * plot.row < 15;
    if (wanted && !crowded && !first) {
      g.fillText(String(layer), plot.x - 6, plot.y + (layer - 0.5) * plot.row);
    }
  }
  g.save();
  g.translate(9, plot.y + plot.height / 2);
  g.rotate(Math.PI / 2);
  g.textAlign = "center";
  g.fillText("layer, deeper →", 0, 0);
  g.restore();
}

function tokenAxis(g, map) {
  const { plot, palette } = map;
  const [first, last] = map.view.visible;
  const target = (last - first) / Math.max(2, plot.width / 90);
  const power = Math.pow(10, Math.floor(Math.log10(Math.max(1, target))));
  const step = Math.max(1, [1, 2, 5, 10].find((n) => n * power >= target) * power);
  const y = plot.bottom + 7;
  g.textBaseline = "top";
  g.textAlign = "right";
  const right = plot.x + plot.width;
  const name = "token";
  g.fillText(name, right, y);
  const promptX = promptMark(map);
  const free = right - g.measureText(name).width - 8;
  g.textAlign = "center";
  for (let token = Math.ceil(first / step) * step; token <= last; token += step) {
    const x = map.xOf(token);
    const label = count(token);
    const half = g.measureText(label).width / 2;
    g.fillRect(whole(x), plot.bottom, 1, 4);
    const marked = promptX !== null && Math.abs(x - promptX) < half + 8;
    if (x + half < free && !marked) g.fillText(label, Math.max(x, plot.x - LABEL_OUT + half), y);
  }
  if (promptX !== null) {
    const x = promptX;
    g.fillStyle = palette.text;
    g.beginPath();
    g.moveTo(x, plot.bottom + 1);
    g.lineTo(x - 4, plot.bottom + 7);
    g.lineTo(x + 4, plot.bottom + 7);
    g.fill();
    g.fillStyle = palette.muted;
    const text = "written by the model";
    const wide = g.measureText(text).width + 8;
    if (!map.view.range) { // else the strip lies there
      const after = x + wide < plot.x + plot.width;
      g.textAlign = after ? "left" : "right";
      g.fillText(after ? `${text} →` : `${text} from here`, after ? x - 4 : x + 4, plot.bottom + 23);
    }
  }
}

/** Where the given text ends and the model's begins; null when that is not in sight. */
function promptMark(map) {
  const { promptTokens, mode } = map.store.setup;
  const [first, last] = map.view.visible;
  const inSight = mode === "generate" && promptTokens > first && promptTokens < last;
  return inSight ? map.xOf(promptTokens) : null;
}

const LABEL_OUT = 10; // how far a label may reach to the left of the plot

/** Where the strip of the whole run lies; null while all of it is in sight anyway. */
export function stripOf(map) {
  if (!map.view.range) return null;
  const { plot } = map;
  return { x: plot.x, y: plot.bottom + 25, width: plot.width, height: STRIP };
}

/** The whole run in small, and the part of it that is in sight. */
export function overview(g, map) {
  const strip = stripOf(map);
  if (!strip) return;
  const { store, view, palette } = map;
  const { x, y, width, height } = strip;
  const total = view.total, clock = view.clock, seen = store.seen(clock);
  g.fillStyle = palette.edge;
  g.fillRect(x, y, width, height);
  g.fillStyle = palette.bar;
  for (let c = 0; c < width; c++) {
    const from = Math.floor((c / width) * total);
    if (from >= seen) break;
    const to = Math.min(seen, Math.max(from + 1, Math.floor(((c + 1) / width) * total)));
    let most = 0;
    for (let t = from; t < to; t++) most = Math.max(most, store.holders(t, clock));
    if (!most) continue;
    const tall = Math.max(2, (most / store.layers) * height);
    g.fillRect(x + c, y + height - tall, 1, tall);
  }
  const [first, last] = view.visible;
  g.strokeStyle = palette.accent;
  g.lineWidth = 2;
  const left = x + (first / total) * width;
  g.strokeRect(left, y - 1, Math.max(4, ((last - first) / total) * width), height + 2);
}
