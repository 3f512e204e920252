// Turns what a store holds into pixels: one row a layer, one column a pixel of the screen. A column
// that several tokens or slots fall into shows their share, their most, or their latest, as the mode
// asks (shading.js). Knows nothing of axes, pointers or the page.

import { Shading } from "./shading.js";

export class Raster {
  constructor(shading = new Shading()) {
    this.canvas = document.createElement("canvas");
    this.context = this.canvas.getContext("2d");
    this.shading = shading;
    this.from = new Int32Array(0); // what each column stands for: from <= column < to
    this.to = new Int32Array(0);
    // What the margin draws, up to `top`: by text position the layers that hold a column's tokens, by
    // slot the text positions of its entries.
    this.mean = new Float32Array(0);
    this.most = new Float32Array(0);
    this.top = 1;
  }

  setPalette(palette) {
    this.shading.setPalette(palette);
  }

  /** Draws the columns between first and last into a picture `width` pixels wide. */
  draw(store, view, first, last, width) {
    const layers = Math.max(1, store.layers);
    if (this.canvas.width !== width || this.canvas.height !== layers) {
      this.canvas.width = width;
      this.canvas.height = layers;
      this.image = this.context.createImageData(width, layers);
      this.pixels = new Uint32Array(this.image.data.buffer);
      this.line = new Uint32Array(width);
      this.from = new Int32Array(width);
      this.to = new Int32Array(width);
      this.mean = new Float32Array(width);
      this.most = new Float32Array(width);
    }
    this.pixels.fill(0);
    this.used = 0; // columns with anything in them
    const step = view.clock;
    if (store.layers && step >= 0) {
      const entries = view.slots ? store.moment.entries(step) : null;
      this.#columns(entries ? Math.max(...entries.lengths) : store.seen(step), first, last, width);
      if (entries) this.#positions(store, entries, step, view.head);
      else this.#holders(store, step);
      this.#lines(store, view, entries);
    }
    this.context.putImageData(this.image, 0, 0);
  }

  #columns(filled, first, last, width) {
    const scale = (last - first) / width;
    let c = 0;
    for (; c < width; c++) {
      // Where a token is wider than a pixel, the one in the pixel's middle counts.
      const from = Math.floor(scale < 1 ? first + (c + 0.5) * scale : first + c * scale);
      const to = scale < 1 ? from + 1 : Math.max(from + 1, Math.floor(first + (c + 1) * scale));
      if (from >= filled) break;
      this.from[c] = from;
      this.to[c] = Math.min(filled, to);
    }
    this.used = c;
  }

  /** Does `work(from, to)` once for each run of columns that stand for the same. */
  #each(work) {
    const { from, to, mean, most, used } = this;
    for (let c = 0; c < used; c++) {
      if (c && from[c - 1] === from[c] && to[c - 1] === to[c]) {
        mean[c] = mean[c - 1];
        most[c] = most[c - 1];
      } else [mean[c], most[c]] = work(from[c], to[c]);
    }
  }

  #holders(store, step) {
    const holders = store.moment.holders(step);
    this.top = store.layers;
    this.#each((from, to) => {
      let sum = 0, most = 0;
      for (let t = from; t < to; t++) {
        sum += holders[t];
        if (holders[t] > most) most = holders[t];
      }
      return [sum / (to - from), most];
    });
  }

  #positions(store, { rows, lengths }, step, head) {
    this.top = Math.max(1, store.seen(step));
    // Layers that follow the same row count as often as there are of them.
    const weights = new Int32Array(rows.length);
    for (let layer = 0; layer < store.layers; layer++) weights[store.rowOf(layer, head)]++;
    this.#each((from, to) => {
      let sum = 0, weight = 0, most = 0;
      for (let p = 0; p < rows.length; p++) {
        if (!weights[p]) continue;
        const end = Math.min(to, lengths[p]);
        for (let j = from; j < end; j++) {
          const reached = rows[p][j] + 1;
          sum += reached * weights[p];
          weight += weights[p];
          if (reached > most) most = reached;
        }
      }
      return [weight ? sum / weight : 0, most];
    });
  }

  #lines(store, view, entries) {
    const { line, pixels, shading } = this;
    const width = this.canvas.width;
    shading.begin(this, store, view, entries);
    const put = (layer) => pixels.set(line, layer * width);
    const alike = view.mode !== "attention";
    const drawn = new Set();
    for (let layer = 0; layer < store.layers; layer++) {
      const row = store.rowOfLayer[layer];
      if (alike && drawn.has(row)) continue;
      drawn.add(row);
      line.fill(0);
      shading.line(line, layer);
      put(layer);
      if (!alike) continue;
      for (let other = layer + 1; other < store.layers; other++) if (store.rowOfLayer[other] === row) put(other);
    }
  }
}
