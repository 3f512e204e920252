// What the browser knows of a run: messages in (docs/live-map.md), questions answered from typed
// arrays. Knows nothing of canvases or the page.

import { Accumulated } from "./accumulated.js";
import { grown } from "./arrays.js";
import { AttentionFrames } from "./attention.js";
import { EventTable } from "./event_table.js";
import { LastOfHeads } from "./heads.js";
import { Moment } from "./moment.js";

const HELD = -1;
const MAX_QUEUED = 512; // deltas that wait for a snapshot
const MAX_PIECES = 256; // of a text; a string that is added to piece by piece holds on to all of them

/** The numbers of a message; an array that was made in the browser is taken as it is. */
export function decode(base64, ArrayType) {
  if (base64 instanceof ArrayType) return base64;
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return new ArrayType(bytes.buffer);
}

const NOTHING = { name: "empty", message: "" };

export class RunStore {
  constructor() {
    this.state = this.told = NOTHING; // `told`: what the run that is shown says of itself, without notices
    this.past = new Set(); // runs that were left behind: what still arrives of them is late
    this.coming = null; // the run that was spoken of last, until it is shown
    this.#clear();
    this.moment = new Moment(this);
    this.accumulated = new Accumulated(this);
  }

  #clear() {
    this.run = null;
    this.seq = -1;
    this.waiting = null; // the run whose snapshot is awaited after a gap
    this.queued = [];
    this.layers = 0;
    this.heads = 1; // rows of a layer: more than one where its heads may hold different tokens
    this.rowsOfLayer = []; // the rows of each layer, head by head
    this.rowOfLayer = []; // which line of `goneAt` tells of each layer
    this.layersOfRow = []; // how many layers a line of `goneAt` tells of
    this.setup = {};
    this.steps = 0;
    this.length = 0; // tokens
    this.tokens = [];
    this.ids = new Int32Array(0);
    this.words = new Map(); // each different token text once, however often it comes
    this.joinedAt = new Int32Array(0);
    this.evictedAt = []; // per row
    // Per layer, when its last row dropped a token. Where a layer has one row these are the rows
    // themselves, and layers that follow the same row share it.
    this.goneAt = [];
    this.last = null; // LastOfHeads, where a layer has several rows
    this.holdersNow = new Int16Array(0); // layers holding each token after the newest step
    this.nll = new Float32Array(0);
    this.seenAt = new Int32Array(0); // tokens seen after each step
    this.compactions = new EventTable();
    this.frames = new AttentionFrames();
    this.pieces = []; // of what was written
    this.figures = {};
  }

  /** Takes a message in. Returns "applied", "ignored", or "gap" when a snapshot is needed. */
  apply(message) {
    if (!message || typeof message !== "object") return "ignored";
    if (this.past.has(message.run)) return "ignored";
    if (message.kind === "notice") {
      if (message.run && message.run !== this.run) this.#awaits(message.run);
      this.state = message.state;
      return "applied";
    }
    if (message.kind === "snapshot") {
      if (message.run === this.run && message.seq < this.seq) return "ignored";
      this.#snapshot(message);
      return "applied";
    }
    if (message.kind !== "delta") return "ignored";
    const known = message.run === this.run;
    if (known && message.seq <= this.seq) return "ignored";
    if (this.waiting !== null || !known || message.seq !== this.seq + 1) {
      if (this.waiting !== message.run) this.queued = [];
      this.waiting = message.run;
      this.queued.push(message);
      if (this.queued.length > MAX_QUEUED) this.queued.shift();
      return "gap";
    }
    this.#delta(message);
    return "applied";
  }

  /** A run that is to come: what is shown until then says nothing of its own any more. */
  #awaits(run) {
    if (this.coming !== null && this.coming !== run) this.past.add(this.coming);
    this.coming = run;
  }

  #delta(message) {
    this.seq = message.seq;
    for (const step of message.steps) this.#step(step);
    if (message.text) this.pieces.push(message.text);
    if (this.pieces.length > MAX_PIECES) this.pieces = [this.text];
    this.#common(message);
  }

  #snapshot(message) {
    const queued = this.waiting === message.run ? this.queued : [];
    const same = message.run === this.run;
    const frames = this.frames;
    if (this.run !== null && !same) this.past.add(this.run);
    if (!same) this.coming = null;
    this.#clear();
    if (same) this.frames = frames;
    this.run = message.run;
    this.seq = message.seq;
    this.layers = message.layers;
    this.rowsOfLayer = message.rowOfLayer.map((rows) => [rows].flat());
    this.heads = message.layers ? this.rowsOfLayer[0].length : 1;
    this.rowOfLayer = this.rowsOfLayer.map(([row], layer) => (this.heads > 1 ? layer : row));
    const rows = message.layers ? Math.max(...message.rowOfLayer.flat()) + 1 : 0;
    this.setup = message.setup;
    this.steps = message.steps;
    this.tokens = message.tokens.slice();
    this.ids = Int32Array.from(message.ids);
    this.length = this.tokens.length;
    this.joinedAt = decode(message.joinedAt, Int32Array);
    this.nll = decode(message.nll, Float32Array);
    this.holdersNow = new Int16Array(this.length).fill(this.layers);
    const evicted = decode(message.evictedAt, Int32Array);
    for (let p = 0; p < rows; p++) this.evictedAt.push(evicted.slice(p * this.length, (p + 1) * this.length));
    if (this.heads > 1) this.last = new LastOfHeads(this);
    this.goneAt = this.last ? this.last.goneAt : this.evictedAt;
    this.layersOfRow = new Array(this.goneAt.length).fill(0);
    for (const row of this.rowOfLayer) this.layersOfRow[row]++;
    this.goneAt.forEach((gone, row) => {
      for (let t = 0; t < this.length; t++) if (gone[t] !== HELD) this.holdersNow[t] -= this.layersOfRow[row];
    });
    this.seenAt = new Int32Array(this.steps);
    for (let t = 0; t < this.length; t++) this.seenAt[this.joinedAt[t]] = t + 1;
    const list = decode(message.compactions, Int32Array);
    for (let i = 0; i < list.length; i += 7) this.compactions.push(...list.subarray(i, i + 7));
    this.pieces = [message.text];
    for (const f of message.frames || []) this.frames.push(f.step, f.length, decode(f.values, Uint8Array));
    this.#common(message);
    // What came while the snapshot was under way, as far as it goes on from there.
    for (const delta of queued.sort((a, b) => a.seq - b.seq)) {
      if (delta.seq === this.seq + 1) this.#delta(delta);
    }
  }

  #step({ n, t, i, l, d, g }) {
    const before = this.length;
    const after = before + t.length;
    this.joinedAt = grown(this.joinedAt, after, 0);
    this.nll = grown(this.nll, after, NaN);
    this.ids = grown(this.ids, after, 0);
    this.seenAt = grown(this.seenAt, n + 1, 0);
    this.holdersNow = grown(this.holdersNow, after, 0);
    for (let p = 0; p < this.evictedAt.length; p++) {
      this.evictedAt[p] = grown(this.evictedAt[p], after, HELD);
    }
    this.last?.reserve(after);
    for (let k = 0; k < t.length; k++) {
      this.tokens.push(this.#word(t[k]));
      this.ids[before + k] = i[k];
      this.joinedAt[before + k] = n;
      this.nll[before + k] = l[k] === null ? NaN : l[k];
      this.holdersNow[before + k] = this.layers;
      for (const row of this.evictedAt) row[before + k] = HELD;
      this.last?.join(before + k);
    }
    this.length = after;
    this.seenAt[n] = after;
    d.forEach((positions, p) => {
      const row = this.evictedAt[p];
      for (const position of positions) {
        row[position] = n;
        this.holdersNow[position] -= this.last ? this.last.drop(p, position, n) : this.layersOfRow[p];
      }
    });
    for (const [arrived, ...rest] of g) this.compactions.push(n, before + arrived, ...rest);
    this.steps = n + 1;
  }

  #word(text) {
    const known = this.words.get(text);
    if (known === undefined) this.words.set(text, text);
    return known ?? text;
  }

  #common(message) {
    const { mass } = message;
    if (mass) this.frames.push(mass.step, mass.length, decode(mass.values, Uint8Array));
    this.figures = message.figures || {};
    this.told = message.state;
    if (this.coming === null) this.state = this.told;
  }

  /** A failure is no longer spoken of: the run that is shown is, as it was. Whether there was one. */
  clearFailure() {
    if (this.state.name !== "failed") return false;
    this.state = this.told.name === "running" ? { name: "stopped", message: "" } : this.told;
    return true;
  }

  // Questions. `step` is the clock: everything up to and including that step has happened.

  /** What was written, as one text. */
  get text() {
    return this.pieces.join("");
  }

  get running() {
    return this.state.name === "running" || this.state.name === "loading";
  }

  /** Whether the layers of a line of `goneAt` hold the token, with all their heads or some. */
  held(row, token, step) {
    const gone = this.goneAt[row][token];
    return this.joinedAt[token] <= step && (gone === HELD || gone > step);
  }

  /** How many of a layer's heads hold the token; 1 of 1 where heads are alike. */
  headsHolding(layer, token, step) {
    if (token >= this.length || this.joinedAt[token] > step) return 0;
    let held = 0;
    for (const row of this.rowsOfLayer[layer]) {
      const gone = this.evictedAt[row][token];
      if (gone === HELD || gone > step) held++;
    }
    return held;
  }

  /** The row of a layer's head, as an index of `evictedAt`. */
  rowOf(layer, head) {
    const rows = this.rowsOfLayer[layer];
    return rows[Math.min(head, rows.length - 1)];
  }

  /** In how many layers the token is held. */
  holders(token, step) {
    if (token >= this.length || this.joinedAt[token] > step) return 0;
    if (step >= this.steps - 1) return this.holdersNow[token];
    let count = 0;
    for (let p = 0; p < this.goneAt.length; p++) {
      const gone = this.goneAt[p][token];
      if (gone === HELD || gone > step) count += this.layersOfRow[p];
    }
    return count;
  }

  seen(step) {
    return step < 0 || !this.steps ? 0 : this.seenAt[Math.min(step, this.steps - 1)];
  }

  /** Tokens seen, entries per layer, tokens that some layer holds, the oldest after the sinks. */
  summary(step) {
    const seen = this.seen(step);
    const holders = this.moment.holders(step);
    let heldCount = 0, union = 0, oldest = -1;
    const sinks = this.setup.numSink || 0;
    const [row] = this.evictedAt; // all rows hold equally many
    for (let t = 0; t < seen; t++) {
      if (row[t] === HELD || row[t] > step) heldCount++;
      if (holders[t] > 0) {
        union++;
        if (oldest < 0 && t >= sinks) oldest = t;
      }
    }
    return { seen, held: heldCount, union, oldest };
  }

  /** The first token that a window of the same budget would still hold after the sinks. */
  windowStart(step) {
    const { budget, numSink } = this.setup;
    if (!budget) return 0;
    return Math.max(this.seen(step) - (budget - numSink), numSink);
  }

  /** What a cell is: "unseen", "dropped", "sink", "reserve" or "held". */
  cell(layer, token, step) {
    if (token >= this.length || this.joinedAt[token] > step) return "unseen";
    if (!this.held(this.rowOfLayer[layer], token, step)) return "dropped";
    if (token < (this.setup.numSink || 0)) return "sink";
    return token >= this.seen(step) - (this.setup.reserve || 0) ? "reserve" : "held";
  }

  /** The attention frame at the clock or the last one before it; null when there is none. */
  frame(step) {
    return this.frames.by(step);
  }

  /** Per row, the text positions of a frame's columns: held before the step, or joining in it. */
  columns(frame) {
    return this.frames.columns(frame, this);
  }

  /** A layer's share of attention on a token in a frame, or one head's: see AttentionFrames. */
  share(frame, layer, token, head = null) {
    return this.frames.share(frame, this, layer, token, head);
  }

  /** How many compactions had happened by then: those before this index of the list. */
  compactionsBy(step) {
    return this.compactions.by(step);
  }
}
