// Attention of last queries: a bounded, evenly spread collection of frames, and questions to it.

import { lowest } from "./arrays.js";

const HELD = -1;
const MAX_FRAMES = 256;
const MAX_BYTES = 8e6;

/** The share of attention that a byte of a frame stands for. */
export function shareOf(value) {
  return value ? Math.pow(10, (value - 255) / 51) : 0;
}

/** The byte that stands for a share: the inverse of `shareOf`. */
export function byteOf(share) {
  return Math.max(0, Math.min(255, Math.round(255 + 51 * Math.log10(share))));
}

export class AttentionFrames {
  constructor() {
    // {step, length, values}, ascending by step; the newest is always there. Values of a layer's heads
    // follow each other where heads differ.
    this.list = [];
    this.stride = 1;
    this.count = 0; // frames that ever came
    this.bytes = 0;
  }

  get length() {
    return this.list.length;
  }

  /** The frame with this index; -1 is the newest. */
  at(index) {
    return this.list.at(index);
  }

  push(step, length, values) {
    const newest = this.list.at(-1);
    if (newest && newest.step >= step) return;
    // A newest frame that is not on the stride was only kept for being the newest.
    if (newest && newest.number % this.stride) this.bytes -= this.list.pop().values.length;
    this.list.push({ step, length, values, number: this.count++ });
    this.bytes += values.length;
    while (this.list.length > 2 && (this.list.length > MAX_FRAMES || this.bytes > MAX_BYTES)) {
      this.stride *= 2;
      const last = this.list.length - 1;
      this.list = this.list.filter((f, k) => k === last || f.number % this.stride === 0);
      this.bytes = this.list.reduce((sum, f) => sum + f.values.length, 0);
      if (this.stride > 1 << 20) break;
    }
  }

  /** The frame at a step, or the last one before it; null when there is none. */
  by(step) {
    const after = this.#after(step);
    return after ? this.list[after - 1] : null;
  }

  /** How many frames there are at a step and before it. */
  #after(step) {
    let low = 0, high = this.list.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.list[middle].step <= step) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** The frames at a step and before it. */
  upTo(step) {
    return this.list.slice(0, this.#after(step));
  }

  /** Per pattern, the text positions of a frame's columns. */
  columns(frame, store) {
    if (this.known?.frame === frame) return this.known.columns;
    const columns = store.evictedAt.map((_, row) => {
      const out = new Int32Array(frame.length);
      this.positions(frame, store, row, out);
      return out;
    });
    this.known = { frame, columns };
    return columns;
  }

  /** Writes the text positions of a frame's columns in one pattern: held before its step, or joining in it. */
  positions(frame, store, row, out) {
    const tokens = store.seen(frame.step), evicted = store.evictedAt[row];
    for (let t = 0, k = 0; t < tokens && k < frame.length; t++) {
      if (evicted[t] === HELD || evicted[t] >= frame.step) out[k++] = t;
    }
  }

  /**
   * A layer's share of attention on a token in a frame, 0 to 1: the mean over its heads, or one
   * head's. A head that saw no such entry counts as 0; null when none of them did.
   */
  share(frame, store, layer, token, head = null) {
    const columns = this.columns(frame, store), rows = store.rowsOfLayer[layer];
    let sum = null;
    for (let h = head ?? 0; h <= (head ?? rows.length - 1); h++) {
      const positions = columns[rows[h]];
      const at = lowest(positions, positions.length, token);
      if (positions[at] !== token) continue;
      sum = (sum ?? 0) + shareOf(frame.values[(layer * rows.length + h) * frame.length + at]);
    }
    return sum === null || head !== null ? sum : sum / rows.length;
  }
}
