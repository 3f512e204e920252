// Attention summed over all observed queries up to a step, per layer and token. The sums are whole
// numbers, so frames are taken in and out again without a trace of rounding, and moving the clock
// costs only the frames in between.

import { shareOf } from "./attention.js";

const UNIT = 2 ** 22; // of a share; 256 frames of it fit an int32
// That an entry was looked at at all is told from zero, even where its share rounds to nothing.
const unitsOf = (heads) => Int32Array.from({ length: 256 }, (_, v) => Math.max(1, Math.round((shareOf(v) * UNIT) / heads)));

export class Accumulated {
  constructor(store) {
    this.store = store;
    this.#clear();
  }

  #clear() {
    this.of = this.store.frames;
    this.frames = []; // those in the sums, ascending by step
    this.stride = 0; // tokens that a layer's sums have room for
    this.sums = new Int32Array(0);
    this.row = new Int32Array(0);
    this.units = unitsOf(this.store.heads || 1); // of a layer's share, by the byte of one head
  }

  /** How many observed queries the sums hold. */
  get count() {
    return this.frames.length;
  }

  /** Brings the sums to the frames up to the step. */
  upTo(step) {
    const { store } = this;
    if (this.of !== store.frames) this.#clear();
    const wanted = store.frames.upTo(step);
    const { added, removed } = differences(this.frames, wanted);
    if (!added.length && !removed.length) return this;
    this.#grow(wanted);
    if (added.length + removed.length > wanted.length) {
      this.sums.fill(0);
      for (const frame of wanted) this.#take(frame, 1);
    } else {
      for (const frame of removed) this.#take(frame, -1);
      for (const frame of added) this.#take(frame, 1);
    }
    this.frames = wanted;
    return this;
  }

  #grow(wanted) {
    const { store } = this;
    const tokens = wanted.length ? store.seen(wanted.at(-1).step) : 0;
    if (tokens <= this.stride) return;
    const stride = Math.max(512, 2 ** Math.ceil(Math.log2(tokens)));
    const sums = new Int32Array(store.layers * stride);
    for (let layer = 0; layer < store.layers && this.stride; layer++) {
      sums.set(this.sums.subarray(layer * this.stride, (layer + 1) * this.stride), layer * stride);
    }
    Object.assign(this, { stride, sums });
  }

  #take(frame, sign) {
    const { store, sums, stride, units } = this;
    const { length, values } = frame;
    const { heads } = store;
    if (this.row.length < length) this.row = new Int32Array(2 * length);
    const { row } = this;
    for (let p = 0; p < store.evictedAt.length; p++) {
      store.frames.positions(frame, store, p, row);
      for (let layer = 0; layer < store.layers; layer++) {
        for (let head = 0; head < heads; head++) {
          if (store.rowsOfLayer[layer][head] !== p) continue;
          const to = layer * stride, from = (layer * heads + head) * length;
          for (let k = 0; k < length; k++) sums[to + row[k]] += sign * units[values[from + k]];
        }
      }
    }
  }

  /** A layer's sums, by token. */
  layer(layer) {
    return this.sums.subarray(layer * this.stride, (layer + 1) * this.stride);
  }

  /** A layer's mean share on a token, 0 to 1; null when no observed query could look at it. */
  share(layer, token) {
    const sum = token < this.stride ? this.sums[layer * this.stride + token] : 0;
    return sum ? this.meanOf(sum) : null;
  }

  /** The mean share that a sum stands for. */
  meanOf(sum) {
    return sum / UNIT / this.count;
  }
}

/** What two ascending lists of frames do not share. */
function differences(have, want) {
  const added = [], removed = [];
  let a = 0, b = 0;
  while (a < have.length || b < want.length) {
    if (have[a] === want[b]) {
      a++;
      b++;
    } else if (b >= want.length || (a < have.length && have[a].step <= want[b].step)) removed.push(have[a++]);
    else added.push(want[b++]);
  }
  return { added, removed };
}
