// What lies over the map's cells: the crosshair, the stretch that is being dragged out, and the whole
// run as a strip below. Each takes the 2D context and the MapView.

import { MARGIN_TOP } from "./margins.js";

const STRIP = 8;

export function crosshair(g, map) {
  const { view, store, plot, palette } = map;
  const cell = view.focus;
  if (!cell) return;
  const boxes = view.slots ? placesOf(map, cell.token) : [columnOf(map, cell.token)];
  if (cell.layer !== null && store.layers) {
    boxes.push([plot.x, plot.y + cell.layer * plot.row - 0.5, plot.width, plot.row + 1]);
  }
  const thick = view.locked ? 2 : 1;
  for (const [colour, thickness] of [[palette.panel, thick + 3], [palette.focus, thick]]) {
    g.strokeStyle = colour;
    g.lineWidth = thickness;
    for (const box of boxes) g.strokeRect(...box);
  }
}

function columnOf(map, token) {
  const { plot } = map;
  const x = map.xOf(token), width = Math.max(2, map.xOf(token + 1) - x);
  return [x - 0.5, MARGIN_TOP - 1, width + 1, plot.bottom - MARGIN_TOP + 1];
}

/** The token in every layer that holds it: by slot it stands elsewhere in each. */
function placesOf(map, token) {
  const { store, view, plot } = map;
  const boxes = [];
  for (let layer = 0; layer < store.layers; layer++) {
    const slot = view.columnOf(token, layer);
    if (slot < 0) continue;
    const x = map.xOf(slot), width = Math.max(4, map.xOf(slot + 1) - x);
    boxes.push([x - 0.5, plot.y + layer * plot.row, width + 1, plot.row]);
  }
  return boxes;
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
  const total = view.total;
  const { heights, top } = outline(store, view);
  g.fillStyle = palette.edge;
  g.fillRect(x, y, width, height);
  g.fillStyle = palette.bar;
  for (let c = 0; c < width; c++) {
    const from = Math.floor((c / width) * total);
    if (from >= heights.length) break;
    const to = Math.min(heights.length, Math.max(from + 1, Math.floor(((c + 1) / width) * total)));
    let most = 0;
    for (let column = from; column < to; column++) most = Math.max(most, Math.abs(heights[column])); // a difference has a sign
    if (!most) continue;
    const tall = Math.max(2, (most / top) * height);
    g.fillRect(x + c, y + height - tall, 1, tall);
  }
  const [first, last] = view.visible;
  g.strokeStyle = palette.accent;
  g.lineWidth = 2;
  const left = x + (first / total) * width;
  g.strokeRect(left, y - 1, Math.max(4, ((last - first) / total) * width), height + 2);
}

/** How tall each column of the strip is: the layers that hold a token, or by slot the text position. */
function outline(store, { clock, slots, head }) {
  const seen = store.seen(clock);
  if (!slots) return { heights: store.moment.holders(clock).subarray(0, seen), top: store.layers };
  const { rows, lengths } = store.moment.entries(clock);
  const row = store.rowOf(0, head);
  return { heights: rows[row].subarray(0, lengths[row]), top: seen };
}
