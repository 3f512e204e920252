// The margins of the map, and the window policy of the same budget for comparison: above, per column,
// how many layers hold the token (by slot: which token stands there); at the side, entries held.

import { count, pixelRatio } from "./dom.js";
import { lowest } from "./arrays.js";

export const MARGIN_TOP = 20, MARGIN = 34; // the upper margin's bars, in CSS pixels
export const SIDE = 44; // room at the right, the side margin in it
const SIDE_GAP = 6, SIDE_BAR = 24;
const CAPTIONS = { text: "layers that hold each token", slot: "which token each entry is" };

/** A place that is a whole pixel of the screen. */
export const whole = (x) => {
  const ratio = pixelRatio();
  return Math.round(x * ratio) / ratio;
};

/** Per column the mean solid, the most behind it. */
export function margin(g, { raster, palette, plot }) {
  const base = MARGIN_TOP + MARGIN;
  const pixel = 1 / pixelRatio();
  g.fillStyle = palette.edge;
  g.fillRect(plot.x, MARGIN_TOP, plot.width, pixel);
  g.fillRect(plot.x, MARGIN_TOP + MARGIN / 2, plot.width, pixel);
  for (const [heights, colour] of [[raster.most, palette.peak], [raster.mean, palette.bar]]) {
    g.fillStyle = colour;
    // Neighbours of equal height make one bar.
    for (let c = 0, from = 0; c < raster.used; c = from) {
      while (from < raster.used && heights[from] === heights[c]) from++;
      const height = (heights[c] / raster.top) * MARGIN;
      if (height) g.fillRect(plot.x + c * pixel, base - height, (from - c) * pixel, height);
    }
  }
  g.fillStyle = palette.bar;
  g.fillRect(plot.x, base, plot.width, pixel);
}

/** What the upper margin's height means. */
export function marginAxis(g, { raster, palette, plot, view }) {
  g.fillStyle = palette.muted;
  g.font = palette.font;
  g.textAlign = "right";
  g.textBaseline = "middle";
  g.fillText(count(raster.top), plot.x - 6, MARGIN_TOP + 3);
  // By slot its height is a token's number, which counts from 1; by text a number of layers.
  g.fillText(view.slots ? "1" : "0", plot.x - 6, MARGIN_TOP + MARGIN - 2);
  if (plot.width <= 420) return;
  g.textAlign = "left";
  g.textBaseline = "alphabetic";
  g.fillText(CAPTIONS[view.axis], plot.x, 10);
}

/** Per layer the entries that it holds; the number is the focused layer's, or what all have. */
export function sideMargin(g, { store, view, palette, plot }) {
  const { lengths } = store.moment.entries(view.clock);
  const most = Math.max(store.setup.effectiveBudget ?? 0, ...lengths, 1);
  const x = plot.x + plot.width + SIDE_GAP;
  const thick = Math.max(1, whole(plot.row - (plot.row >= 5 ? 2 : 0)));
  const focused = view.focus?.layer ?? null;
  g.fillStyle = palette.edge;
  g.fillRect(x + SIDE_BAR, plot.y, whole(1), plot.height);
  for (let layer = 0; layer < store.layers; layer++) {
    g.fillStyle = layer === focused ? palette.focus : palette.peak;
    const long = (lengths[store.rowOf(layer, view.head)] / most) * SIDE_BAR;
    g.fillRect(x, plot.y + layer * plot.row, long, thick);
  }
  const numbers = focused === null ? lengths : [lengths[store.rowOf(focused, view.head)]];
  const low = Math.min(...numbers), high = Math.max(...numbers);
  g.textAlign = "left";
  g.textBaseline = "middle";
  g.font = palette.font;
  g.fillStyle = palette.muted;
  g.fillText("held", x, MARGIN_TOP + MARGIN - 16);
  g.fillStyle = palette.text;
  g.fillText(low === high ? count(high) : `${low}–${high}`, x, MARGIN_TOP + MARGIN - 2);
}

// The window of the same budget

function comparable({ store, view }) {
  const { budget, policy } = store.setup;
  return budget && store.seen(view.clock) > budget && policy !== "streaming_llm";
}

/** A line that stays legible over any colours. */
function stroke(g, palette, draw) {
  for (const [colour, thickness] of [[palette.panel, 3.5], [palette.window, 1.5]]) {
    g.strokeStyle = colour;
    g.lineWidth = thickness;
    g.setLineDash(colour === palette.window ? [4, 3] : []);
    g.globalAlpha = colour === palette.window ? 1 : 0.7;
    g.beginPath();
    draw();
    g.stroke();
  }
  g.setLineDash([]);
  g.globalAlpha = 1;
}

/** What a window of the same budget would hold: by text position where it begins, by slot how far it reaches. */
export function windowLine(g, map) {
  if (!comparable(map)) return;
  if (map.view.slots) bySlot(g, map);
  else byText(g, map);
}

/** A bracket above, a dashed line through the map; a word alone where what is in sight lies on one side. */
function byText(g, map) {
  const { store, palette, plot, view } = map;
  const start = store.windowStart(view.clock), seen = store.seen(view.clock);
  const x = whole(map.xOf(start)), end = map.xOf(seen);
  const [first, last] = view.visible;
  if (first >= seen) return;
  if (start >= last) {
    const sinks = first < store.setup.numSink;
    const label = sinks ? "a window would hold the sinks alone" : "none of these would be in a window →";
    caption(g, map, label, plot.x + plot.width, plot.x + plot.width);
    return;
  }
  g.strokeStyle = palette.window;
  g.lineWidth = 1.5;
  g.beginPath();
  g.moveTo(x, MARGIN_TOP);
  g.lineTo(x, 14);
  g.lineTo(end, 14);
  g.lineTo(end, MARGIN_TOP);
  g.stroke();
  stroke(g, palette, () => {
    g.moveTo(x, MARGIN_TOP);
    g.lineTo(x, plot.bottom);
  });
  const label = start <= first ? "a window would hold all of these" : "what a window would hold";
  caption(g, map, label, Math.max(x, plot.x) + 3, Math.min(end, plot.x + plot.width));
}

/** In each layer, left of the line stands what a window would have dropped; above, how a window lies. */
function bySlot(g, map) {
  const { store, palette, plot, view } = map;
  const clock = view.clock, seen = store.seen(clock);
  const { numSink, budget } = store.setup;
  const { rows, lengths } = store.moment.entries(clock);
  const start = store.windowStart(clock);
  const reached = rows.map((row, p) => map.xOf(lowest(row, lengths[p], start)));
  stroke(g, palette, () => {
    for (let layer = 0; layer < store.layers; layer++) {
      const x = whole(reached[store.rowOf(layer, view.head)]), y = plot.y + layer * plot.row;
      g[layer ? "lineTo" : "moveTo"](x, y);
      g.lineTo(x, y + plot.row);
    }
  });
  const height = (token) => MARGIN_TOP + MARGIN - (MARGIN * token) / seen;
  g.strokeStyle = palette.window;
  g.lineWidth = 1.5;
  g.beginPath();
  g.moveTo(map.xOf(0), height(0));
  g.lineTo(map.xOf(numSink), height(numSink));
  g.lineTo(map.xOf(numSink), height(seen - budget + numSink));
  g.lineTo(map.xOf(budget), height(seen));
  g.stroke();
  caption(g, map, "where a window's entries would lie", Math.max(plot.x, map.xOf(numSink)) + 3, plot.x + plot.width);
}

/** Where this run's text and the one that it is compared with part: `map.parted`, or -1. */
export function parting(g, map) {
  const { plot, palette, view, parted = -1 } = map;
  const [first, last] = view.visible;
  if (parted < first || parted >= last || view.slots) return;
  const x = whole(map.xOf(parted));
  for (const [colour, thickness] of [[palette.panel, 4], [palette.text, 1.5]]) {
    g.fillStyle = colour;
    g.fillRect(x - thickness / 2, MARGIN_TOP - 6, thickness, plot.bottom - MARGIN_TOP + 6);
  }
  g.font = palette.font;
  g.textBaseline = "alphabetic";
  g.fillStyle = palette.text;
  const label = "the texts part", width = g.measureText(label).width;
  const after = x + 4 + width < plot.x + plot.width;
  g.textAlign = after ? "left" : "right";
  g.fillText(label, x + (after ? 4 : -4), MARGIN_TOP + 8);
}

/** A caption above, from `x` on or, where that is too narrow, up to `end`; none where it would collide. */
function caption(g, map, label, x, end) {
  const { plot, palette } = map;
  g.font = palette.font;
  g.textBaseline = "alphabetic";
  g.fillStyle = palette.window;
  const width = g.measureText(label).width;
  const free = plot.x + (plot.width > 420 ? 190 : 0); // leaves room for the margin's own caption
  if (end - x > width + 5 && x > free) {
    g.textAlign = "left";
    g.fillText(label, x, 10);
  } else if (end - width > free) {
    g.textAlign = "right";
    g.fillText(label, end, 10);
  }
}
