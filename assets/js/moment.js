// What is held at one step of the clock, worked out once for all that draw it: how many layers hold
// each token, and which token stands in each slot of the cache. The past never changes, so a moment
// is told by its step alone. Knows nothing of pages.

import { lowest } from "./arrays.js";

const HELD = -1;

export class Moment {
  constructor(store) {
    this.store = store;
    this.counts = new Int16Array(0);
    this.rows = []; // per row: tokens in the order of the cache
    this.lengths = new Int32Array(0); // how many of them
  }

  /** Layers that hold each token, for the tokens seen by then (what lies behind them means nothing). */
  holders(step) {
    const { store } = this;
    if (step >= store.steps - 1) return store.holdersNow;
    if (this.counted === store.goneAt && this.countedAt === step) return this.counts;
    const seen = store.seen(step);
    if (this.counts.length < seen) this.counts = new Int16Array(Math.max(1024, 2 * seen));
    const { counts } = this;
    counts.fill(0, 0, seen);
    store.goneAt.forEach((gone, row) => {
      const layers = store.layersOfRow[row];
      for (let t = 0; t < seen; t++) if (gone[t] === HELD || gone[t] > step) counts[t] += layers;
    });
    this.counted = store.goneAt;
    this.countedAt = step;
    return counts;
  }

  /**
   * The cache as it stands after a step: `rows[p][j]` is the token in slot `j` of the row `p`, for
   * `j < lengths[p]`.
   */
  entries(step) {
    const { store } = this;
    if (this.listed === store.evictedAt && this.listedAt === step) return this;
    const seen = store.seen(step);
    const patterns = store.evictedAt.length;
    if (this.lengths.length !== patterns) {
      this.lengths = new Int32Array(patterns);
      this.rows = store.evictedAt.map(() => new Int32Array(0));
    }
    for (let p = 0; p < patterns; p++) {
      const gone = store.evictedAt[p];
      let row = this.rows[p], length = 0;
      for (let t = 0; t < seen; t++) {
        if (gone[t] !== HELD && gone[t] <= step) continue;
        // A row is only as long as what it ever held, however long the text is.
        if (length === row.length) {
          row = new Int32Array(Math.max(256, 2 * length));
          row.set(this.rows[p]);
          this.rows[p] = row;
        }
        row[length++] = t;
      }
      this.lengths[p] = length;
    }
    this.listed = store.evictedAt;
    this.listedAt = step;
    return this;
  }

  /** The slot of a token in a row, or -1 when the row does not hold it. */
  slot(row, token, step) {
    const { rows, lengths } = this.entries(step);
    const found = lowest(rows[row], lengths[row], token);
    return found < lengths[row] && rows[row][found] === token ? found : -1;
  }
}
