// Turns what a store holds into pixels: one row a layer, one column a pixel of the screen. A column
// that several tokens fall into shows their share, their most, or their latest, as the mode asks.
// Knows nothing of axes, pointers or the page.

import { STATES, brightScale, mix, packed } from "./colors.js";

const BRIGHT = brightScale().map(packed);
const SHADES = 32;
const FAINTEST = 8; // of 32: a single held token among many stays visible

export class Raster {
  constructor() {
    this.canvas = document.createElement("canvas");
    this.context = this.canvas.getContext("2d");
    this.tokensFrom = new Int32Array(0); // tokens of each column: from <= t < to
    this.tokensTo = new Int32Array(0);
    this.mean = new Float32Array(0); // layers holding a token, over each column's tokens
    this.most = new Float32Array(0);
  }

  setPalette(palette) {
    const ramp = (from, to) =>
      Array.from({ length: SHADES + 1 }, (_, k) => packed(mix(from, to, k / SHADES)));
    // From "dropped" to each kind of held cell, for columns that are partly held.
    this.shades = {};
    for (const name of STATES) this.shades[name] = ramp(palette.dropped, palette[name]);
    this.dropped = packed(palette.dropped);
    this.holding = ramp(palette.few, palette.many);
    const faint = (share) => mix(palette.dropped, mix(palette.few, palette.many, share), 0.28);
    this.holdingElsewhere = Array.from({ length: SHADES + 1 }, (_, k) =>
      packed(k ? faint(k / SHADES) : palette.dropped));
  }

  /** Draws the tokens between first and last into a picture `width` pixels wide. */
  draw(store, step, mode, first, last, width) {
    const layers = Math.max(1, store.layers);
    if (this.canvas.width !== width || this.canvas.height !== layers) {
      this.canvas.width = width;
      this.canvas.height = layers;
      this.image = this.context.createImageData(width, layers);
      this.pixels = new Uint32Array(this.image.data.buffer);
      this.line = new Uint32Array(width);
      this.tokensFrom = new Int32Array(width);
      this.tokensTo = new Int32Array(width);
      this.mean = new Float32Array(width);
      this.most = new Float32Array(width);
    }
    this.pixels.fill(0);
    this.used = 0; // columns with a token in them
    if (store.layers && step >= 0) {
      this.#columns(store, step, first, last, width);
      this.#holders(store, step);
      if (mode === "attention") this.#attention(store, step, first, last);
      else this.#patterns(store, step, mode);
    }
    this.context.putImageData(this.image, 0, 0);
  }

  #columns(store, step, first, last, width) {
    const seen = store.seen(step);
    const scale = (last - first) / width;
    let c = 0;
    for (; c < width; c++) {
      // Where a token is wider than a pixel, the one in the pixel's middle counts.
      const from = Math.floor(scale < 1 ? first + (c + 0.5) * scale : first + c * scale);
      const to = scale < 1 ? from + 1 : Math.max(from + 1, Math.floor(first + (c + 1) * scale));
      if (from >= seen) break;
      this.tokensFrom[c] = from;
      this.tokensTo[c] = Math.min(seen, to);
    }
    this.used = c;
  }

  #holders(store, step) {
    const { tokensFrom, tokensTo, mean, most, used } = this;
    for (let c = 0; c < used; c++) {
      const from = tokensFrom[c];
      if (c && tokensFrom[c - 1] === from && tokensTo[c - 1] === tokensTo[c]) {
        mean[c] = mean[c - 1];
        most[c] = most[c - 1];
        continue;
      }
      let sum = 0, top = 0;
      for (let t = from; t < tokensTo[c]; t++) {
        const holders = store.holders(t, step);
        sum += holders;
        if (holders > top) top = holders;
      }
      mean[c] = sum / (tokensTo[c] - from);
      most[c] = top;
    }
  }

  #patterns(store, step, mode) {
    const { line, pixels } = this;
    const width = this.canvas.width;
    for (let p = 0; p < store.evictedAt.length; p++) {
      if (mode === "holding") this.#holdingLine(store, step, p);
      else if (mode === "when") this.#whenLine(store, step, p);
      else this.#stateLine(store, step, p);
      for (let layer = 0; layer < store.layers; layer++) {
        if (store.rowOfLayer[layer] === p) pixels.set(line, layer * width);
      }
    }
  }

  /** How many of a column's tokens the pattern holds. */
  #heldIn(evicted, c, step) {
    let held = 0;
    for (let t = this.tokensFrom[c]; t < this.tokensTo[c]; t++) {
      const gone = evicted[t];
      if (gone < 0 || gone > step) held++;
    }
    return held;
  }

  #stateLine(store, step, p) {
    const { tokensFrom, tokensTo, line, shades } = this;
    const evicted = store.evictedAt[p];
    const sinks = store.setup.numSink || 0;
    const recent = store.seen(step) - (store.setup.reserve || 0);
    for (let c = 0; c < this.used; c++) {
      const from = tokensFrom[c];
      const held = this.#heldIn(evicted, c, step);
      const share = Math.round((SHADES * held) / (tokensTo[c] - from));
      const ramp = from < sinks ? shades.sink : from >= recent ? shades.reserve : shades.held;
      line[c] = ramp[held ? Math.max(FAINTEST, share) : 0];
    }
  }

  #holdingLine(store, step, p) {
    const { line, most } = this;
    const evicted = store.evictedAt[p];
    for (let c = 0; c < this.used; c++) {
      const shade = Math.round((SHADES * most[c]) / store.layers);
      const held = this.#heldIn(evicted, c, step);
      line[c] = held ? this.holding[shade] : this.holdingElsewhere[shade];
    }
  }

  #whenLine(store, step, p) {
    const { tokensFrom, tokensTo, line } = this;
    const evicted = store.evictedAt[p];
    const scale = 255 / Math.max(1, step);
    for (let c = 0; c < this.used; c++) {
      let latest = -1;
      for (let t = tokensFrom[c]; t < tokensTo[c]; t++) {
        const gone = evicted[t];
        if (gone <= step && gone > latest) latest = gone;
      }
      line[c] = latest < 0 ? this.dropped : BRIGHT[Math.round(latest * scale)];
    }
  }

  /** The attention frame of the step: of a column's tokens, the one that gets most. */
  #attention(store, step, first, last) {
    const { pixels, tokensFrom, tokensTo } = this;
    const width = this.canvas.width;
    const frame = store.frame(step);
    const positions = frame && store.columns(frame);
    const start = Math.max(0, Math.floor(first));
    const values = new Int16Array(Math.max(1, Math.ceil(last) - start)).fill(-1); // by token
    for (let layer = 0; layer < store.layers; layer++) {
      const at = frame ? positions[store.rowOfLayer[layer]] : [];
      for (let k = 0; k < at.length; k++) values[at[k] - start] = frame.values[layer * at.length + k];
      for (let c = 0; c < this.used; c++) {
        let top = -1;
        for (let t = tokensFrom[c]; t < tokensTo[c]; t++) top = Math.max(top, values[t - start]);
        pixels[layer * width + c] = top < 0 ? this.dropped : BRIGHT[top];
      }
      for (let k = 0; k < at.length; k++) values[at[k] - start] = -1;
    }
  }
}
