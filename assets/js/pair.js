// Two runs on one clock, asked as if they were one. The clock counts the numbers of tokens after which
// either run stood still for a moment; each run is then looked at as it was when it had seen no more
// than that. Knows nothing of pages.

import { EventTable } from "./event_table.js";

const HELD = -1;
export const SIDES = ["a", "b"];

export class Pair {
  constructor(a, b) {
    Object.assign(this, { a, b, matched: false, heads: 1 });
    this.parted = Infinity; // the token at which two texts part: from there each has its own
    this.moment = { holders: (at) => this.#ahead(at) };
    this.refresh();
  }

  /** Once a message changed one of the runs. `matched`: they belong together. */
  refresh(matched = this.matched) {
    const { a, b } = this;
    // While both go on, one is ahead of the other by a step: the clock waits for the later one.
    const reached = a.running && b.running ? Math.min(a.length, b.length) : Infinity;
    const key = `${a.run}/${b.run}/${a.steps}/${b.steps}/${matched}/${reached}`;
    this.matched = matched;
    if (this.key === key) return;
    this.key = key;
    this.timeline = merged(a, b).filter((tokens) => tokens <= reached);
    this.compactions = new EventTable();
    SIDES.flatMap((side) => Array.from(this[side].compactions, ({ step, restart }) =>
      [this[side].seen(step), restart])).filter(([tokens]) => tokens <= reached)
      .map(([tokens, restart]) => [this.timelineAt(tokens), restart]).sort((x, y) => x[0] - y[0])
      .forEach(([at, restart]) => this.compactions.push(at, this.seen(at), 0, 0, 0, 0, restart));
    const rows = new Map(); // layers in which both runs follow the same rows look alike
    this.rowOfLayer = Array.from({ length: this.layers }, (_, layer) => {
      const of = `${a.rowsOfLayer[layer]}/${b.rowsOfLayer[layer]}`;
      if (!rows.has(of)) rows.set(of, rows.size);
      return rows.get(of);
    });
  }

  get run() {
    return `${this.a.run}/${this.b.run}`;
  }

  get layers() {
    return this.matched && this.a.layers === this.b.layers ? this.a.layers : 0;
  }

  get steps() {
    return this.timeline.length;
  }

  /** The run whose text reaches further. */
  get longer() {
    return this.b.length > this.a.length ? this.b : this.a;
  }

  get length() {
    return this.longer.length;
  }

  get tokens() {
    return this.longer.tokens;
  }

  get running() {
    return this.a.running || this.b.running;
  }

  get setup() {
    const [a, b] = [this.a.setup, this.b.setup];
    return {
      mode: this.longer.setup.mode,
      promptTokens: this.longer.setup.promptTokens,
      expected: Math.max(a.expected || 0, b.expected || 0),
      effectiveBudget: Math.max(a.effectiveBudget || 0, b.effectiveBudget || 0) || null,
      reserve: 0,
      numSink: 0,
    };
  }

  /** Tokens seen at a moment of the clock. */
  seen(at) {
    return at < 0 || !this.steps ? 0 : this.timeline[Math.min(at, this.steps - 1)];
  }

  /** The last moment of the clock at which no more than so many tokens had been seen; -1 before. */
  timelineAt(tokens) {
    return last(this.timeline, this.timeline.length, tokens);
  }

  /** The step in which a run stands at a moment of the clock; -1 before its first one. */
  stepOf(side, at) {
    const store = this[side];
    return last(store.seenAt, store.steps, this.seen(at));
  }

  compactionsBy(at) {
    return this.compactions.by(at);
  }

  /** The side whose text is over while the other's went further; null when there is none. */
  get ended() {
    const { a, b } = this;
    if (!this.matched || a.length === b.length) return null;
    const side = a.length < b.length ? "a" : "b";
    return this[side].running ? null : side;
  }

  /**
   * Both as they are compared, at a moment: {seen, steps, shared}. Where one text is over, there it
   * stays. Tokens before `shared` are the same in both: what each holds of them can be compared.
   */
  compared(at) {
    const { ended } = this;
    const tokens = Math.min(this.seen(at), ended ? this[ended].length : Infinity);
    const steps = SIDES.map((side) => last(this[side].seenAt, this[side].steps, tokens));
    const seen = Math.min(...SIDES.map((side, k) => this[side].seen(steps[k])));
    return { steps, seen, shared: Math.min(seen, this.parted) };
  }

  /** How many heads of a layer hold the token: {both, a, b, neither, of}; null where they do not share it. */
  cell(layer, token, at) {
    const { steps, shared } = this.compared(at);
    if (!this.layers || token >= shared) return null;
    const rows = this.#goneIn(layer);
    const of = Math.max(rows[0].length, rows[1].length);
    const found = { both: 0, a: 0, b: 0, neither: 0, of };
    for (let head = 0; head < of; head++) {
      const [a, b] = rows.map((each, k) => holds(each[Math.min(head, each.length - 1)][token], steps[k]));
      found[a ? (b ? "both" : "a") : b ? "b" : "neither"]++;
    }
    return found;
  }

  /** Whether any layer holds the token: "both", "a", "b", "neither", or "later" where they do not share it. */
  kept(token, at) {
    const { steps, shared } = this.compared(at);
    if (token >= shared) return "later";
    const [a, b] = SIDES.map((side, k) => this[side].holders(token, steps[k]) > 0);
    return a ? (b ? "both" : "a") : b ? "b" : "neither";
  }

  /** How many tokens either run alone still holds, and both: {both, a, b, neither}. */
  totals(at) {
    const found = { both: 0, a: 0, b: 0, neither: 0 };
    const { steps, shared } = this.compared(at);
    const holders = SIDES.map((side, k) => this[side].moment.holders(steps[k]));
    for (let t = 0; t < shared; t++) {
      const a = holders[0][t] > 0, b = holders[1][t] > 0;
      found[a ? (b ? "both" : "a") : b ? "b" : "neither"]++;
    }
    return found;
  }

  /** How many cells, each a token in a layer, either run alone holds, and both; heads count by their share. */
  cells(at) {
    const found = { both: 0, a: 0, b: 0, neither: 0 };
    const { steps, shared } = this.compared(at);
    const layersOf = new Map(); // layers that look alike are counted once
    for (const row of this.rowOfLayer) layersOf.set(row, (layersOf.get(row) || 0) + 1);
    for (const [row, layers] of layersOf) {
      const [rowsA, rowsB] = this.#goneIn(this.rowOfLayer.indexOf(row));
      const heads = Math.max(rowsA.length, rowsB.length);
      for (let head = 0; head < heads; head++) {
        const x = rowsA[Math.min(head, rowsA.length - 1)], y = rowsB[Math.min(head, rowsB.length - 1)];
        for (let t = 0; t < shared; t++) {
          const a = holds(x[t], steps[0]), b = holds(y[t], steps[1]);
          found[a ? (b ? "both" : "a") : b ? "b" : "neither"] += layers / heads;
        }
      }
    }
    for (const name of Object.keys(found)) found[name] = Math.round(found[name]);
    return found;
  }

  /** When each row of a layer dropped each token, of both runs. */
  #goneIn(layer) {
    return SIDES.map((side) => this[side].rowsOfLayer[layer].map((row) => this[side].evictedAt[row]));
  }

  /** By how many layers A holds each token more than B; less where it is below 0. */
  #ahead(at) {
    const { steps, shared } = this.compared(at);
    const [a, b] = SIDES.map((side, k) => this[side].moment.holders(steps[k]));
    const ahead = new Int16Array(this.seen(at));
    for (let t = 0; t < shared; t++) ahead[t] = a[t] - b[t];
    return ahead;
  }
}

export function holds(gone, step) {
  return gone === HELD || gone > step;
}

/** The last index whose value is not above the wanted one, of ascending values; -1 when there is none. */
function last(values, length, wanted) {
  let low = 0, high = length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] <= wanted) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** Every number of tokens that either run had seen after a step, ascending. */
function merged(a, b) {
  const out = [];
  let i = 0, j = 0;
  while (i < a.steps || j < b.steps) {
    const x = i < a.steps ? a.seenAt[i] : Infinity, y = j < b.steps ? b.seenAt[j] : Infinity;
    out.push(Math.min(x, y));
    if (x <= y) i++;
    if (y <= x) j++;
  }
  return out;
}
