// The losses of two runs of one text, token by token: who was less surprised, by how much so far, and
// where most; and where two texts part. Knows nothing of pages.

const HELD = -1;
export const NOTABLE = 0.5; // nats: less of a difference at one token says little

export class Losses {
  constructor(pair) {
    this.pair = pair;
    this.#clear();
  }

  #clear() {
    this.run = this.pair.run;
    this.length = 0; // tokens that both runs have a loss of, or can have none of
    this.running = []; // after each token, the sum of A's loss less B's
    this.perplexity = { a: [], b: [] }; // over the tokens up to each, of those both have a loss of
    this.sums = { a: 0, b: 0 };
    this.known = 0;
  }

  /** Takes in what came; only a text that both read has losses to compare. */
  update() {
    const { pair } = this;
    if (this.run !== pair.run) this.#clear();
    const comparable = pair.matched && pair.setup.mode === "read";
    const length = comparable ? Math.min(pair.a.length, pair.b.length) : 0;
    if (length < this.length) this.#clear();
    for (let t = this.length; t < length; t++) {
      const a = pair.a.nll[t], b = pair.b.nll[t];
      if (!Number.isNaN(a) && !Number.isNaN(b)) {
        this.sums.a += a;
        this.sums.b += b;
        this.known++;
      }
      this.running.push(this.sums.a - this.sums.b);
      for (const side of ["a", "b"]) {
        this.perplexity[side].push(this.known ? Math.exp(this.sums[side] / this.known) : NaN);
      }
    }
    this.length = length;
  }

  /** A's loss of a token less B's; NaN where it is not known. */
  difference(token) {
    return this.pair.a.nll[token] - this.pair.b.nll[token];
  }

  /** Of the first so many tokens, those at which one run lost most against the other: `of` is "a" or "b". */
  largest(tokens, of, most, least = NOTABLE) {
    const sign = of === "a" ? 1 : -1;
    const found = [];
    for (let t = 0; t < Math.min(tokens, this.length); t++) if (sign * this.difference(t) >= least) found.push(t);
    return found.sort((x, y) => sign * (this.difference(y) - this.difference(x))).slice(0, most);
  }
}

/** The first token at which two texts differ, or at which one ended; -1 while they do not. */
export function parting(a, b) {
  const shared = Math.min(a.length, b.length);
  for (let t = 0; t < shared; t++) if (a.ids[t] !== b.ids[t]) return t;
  const over = a.length < b.length ? !a.running : b.length < a.length && !b.running;
  return over ? shared : -1;
}

/** In how many layers each earlier token was held when `token` was predicted, by the query before it. */
export function inReach(store, token) {
  const layers = new Int16Array(token);
  if (!token) return layers;
  const step = store.joinedAt[token - 1];
  store.goneAt.forEach((gone, row) => {
    for (let t = 0; t < token; t++) if (gone[t] === HELD || gone[t] >= step) layers[t] += store.layersOfRow[row];
  });
  return layers;
}

/** What one run could look at when it predicted a token, and the other could not: [token, layers]. */
export function onlyInReach(one, other, token) {
  const mine = inReach(one, token), theirs = inReach(other, token);
  return Array.from(mine, (layers, t) => [t, layers]).filter(([t, layers]) => layers && !theirs[t]);
}
