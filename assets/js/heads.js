// Layers whose heads hold different tokens: a token is gone from a layer when the last of the
// layer's rows has dropped it. Kept up to date drop by drop. Knows nothing of messages.

import { grown } from "./arrays.js";

const HELD = -1;

export class LastOfHeads {
  /** From what a store's rows say so far. */
  constructor(store) {
    const { rowsOfLayer, evictedAt, length, heads } = store;
    this.heads = heads;
    this.layersOf = evictedAt.map(() => []); // per row, the layers that it is a head of
    rowsOfLayer.forEach((rows, layer) => rows.forEach((row) => this.layersOf[row].push(layer)));
    this.goneAt = []; // per layer and token: the step in which the last head dropped it, or HELD
    this.left = []; // per layer and token: heads that hold it still
    for (const rows of rowsOfLayer) {
      const gone = new Int32Array(length), left = new Uint8Array(length);
      for (let t = 0; t < length; t++) {
        let last = 0;
        for (const row of rows) {
          if (evictedAt[row][t] === HELD) left[t]++;
          else last = Math.max(last, evictedAt[row][t]);
        }
        gone[t] = left[t] ? HELD : last;
      }
      this.goneAt.push(gone);
      this.left.push(left);
    }
  }

  /** Makes room for so many tokens. */
  reserve(tokens) {
    for (let layer = 0; layer < this.left.length; layer++) {
      this.goneAt[layer] = grown(this.goneAt[layer], tokens, HELD);
      this.left[layer] = grown(this.left[layer], tokens, 0);
    }
  }

  /** A token arrives, in all heads. */
  join(token) {
    for (let layer = 0; layer < this.left.length; layer++) {
      this.goneAt[layer][token] = HELD;
      this.left[layer][token] = this.heads;
    }
  }

  /** A row drops a token; how many layers thereby hold it no longer. */
  drop(row, token, step) {
    let layers = 0;
    for (const layer of this.layersOf[row]) {
      if (--this.left[layer][token]) continue;
      this.goneAt[layer][token] = step;
      layers++;
    }
    return layers;
  }
}
