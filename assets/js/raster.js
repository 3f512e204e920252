// Turns what a store holds into pixels: one row a layer, one column a token or a bin of tokens.
// Knows nothing of axes, pointers or the page.

import { STATES, massScale, mix } from "./colors.js";

const MASS = massScale();
const OPAQUE = 0xff000000;

function packed([r, g, b]) {
  return (OPAQUE | (b << 16) | (g << 8) | r) >>> 0;
}

export class Raster {
  constructor() {
    this.canvas = document.createElement("canvas");
    this.context = this.canvas.getContext("2d");
    this.holders = new Float32Array(0); // layers holding, mean of each column
  }

  setPalette(palette) {
    // Shades from "dropped" to each kind of held cell, for bins that are partly held.
    this.shades = {};
    for (const name of STATES) {
      this.shades[name] = Array.from({ length: 33 }, (_, k) =>
        packed(mix(palette.dropped, palette[name], k / 32)));
    }
    this.mass = new Uint32Array(256);
    for (let v = 0; v < 256; v++) this.mass[v] = packed(MASS.subarray(3 * v, 3 * v + 3));
  }

  /** Draws tokens first..last (whole numbers) into at most `most` columns; returns their number. */
  draw(store, step, mode, first, last, most) {
    const columns = Math.max(1, Math.min(last - first, most));
    const layers = Math.max(1, store.layers);
    if (this.canvas.width !== columns || this.canvas.height !== layers) {
      this.canvas.width = columns;
      this.canvas.height = layers;
      this.image = this.context.createImageData(columns, layers);
      this.pixels = new Uint32Array(this.image.data.buffer);
    }
    this.pixels.fill(0);
    if (this.holders.length !== columns) this.holders = new Float32Array(columns);
    this.holders.fill(0);
    if (store.layers) {
      this.#states(store, step, first, last, columns);
      if (mode === "attention") this.#attention(store, step, first, last, columns);
    }
    this.context.putImageData(this.image, 0, 0);
    return columns;
  }

  #states(store, step, first, last, columns) {
    const { pixels, shades, holders } = this;
    const seen = store.seen(step);
    const sinks = store.setup.numSink || 0;
    const recent = seen - (store.setup.reserve || 0);
    const perColumn = (last - first) / columns;
    const rows = store.evictedAt.length;
    const rowColours = Array.from({ length: rows }, () => new Uint32Array(columns));
    for (let c = 0; c < columns; c++) {
      const from = first + Math.floor(c * perColumn);
      const to = Math.min(seen, Math.max(from + 1, first + Math.floor((c + 1) * perColumn)));
      if (from >= seen) break;
      const kind = from < sinks ? "sink" : from >= recent ? "reserve" : "held";
      const ramp = shades[kind];
      for (let p = 0; p < rows; p++) {
        const evicted = store.evictedAt[p];
        let held = 0;
        for (let t = from; t < to; t++) {
          const gone = evicted[t];
          if (gone < 0 || gone > step) held++;
        }
        rowColours[p][c] = ramp[Math.round((32 * held) / (to - from))];
        holders[c] += (held / (to - from)) * store.layersOfRow[p];
      }
    }
    for (let layer = 0; layer < store.layers; layer++) {
      pixels.set(rowColours[store.rowOfLayer[layer]], layer * columns);
    }
  }

  /** Overlays the newest attention frame: in a bin, the token that gets most. */
  #attention(store, step, first, last, columns) {
    const frame = store.frame(step);
    if (!frame) return;
    const positions = store.columns(frame);
    const scale = columns / (last - first);
    const strongest = new Int16Array(columns);
    for (let layer = 0; layer < store.layers; layer++) {
      const at = positions[store.rowOfLayer[layer]];
      strongest.fill(-1);
      for (let k = 0; k < frame.length; k++) {
        if (at[k] < first || at[k] >= last) continue;
        const c = Math.floor((at[k] - first) * scale);
        const value = frame.values[layer * frame.length + k];
        if (value > strongest[c]) strongest[c] = value;
      }
      for (let c = 0; c < columns; c++) {
        if (strongest[c] >= 0) this.pixels[layer * columns + c] = this.mass[strongest[c]];
      }
    }
  }
}
