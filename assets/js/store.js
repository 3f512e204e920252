// What the browser knows of a run: the messages of docs/live-map.md, decoded into typed arrays.
// Knows nothing of canvases or the page.

const HELD = -1;
const MAX_FRAMES = 480;

export function decode(base64, ArrayType) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return new ArrayType(bytes.buffer);
}

function grown(array, length, fill) {
  if (array.length >= length) return array;
  const next = new array.constructor(Math.max(length, 2 * array.length, 1024)).fill(fill);
  next.set(array);
  return next;
}

export class RunStore {
  constructor() {
    this.state = { name: "empty", message: "" };
    this.clear();
  }

  clear() {
    this.run = null;
    this.seq = -1;
    this.waiting = false; // for a snapshot, after a gap
    this.layers = 0;
    this.rowOfLayer = [];
    this.layersOfRow = [];
    this.setup = {};
    this.steps = 0;
    this.length = 0; // tokens
    this.tokens = [];
    this.ids = [];
    this.joinedAt = new Int32Array(0);
    this.evictedAt = []; // per row
    this.nll = new Float32Array(0);
    this.seenAt = new Int32Array(0); // tokens seen after each step
    this.compactions = []; // {step, seen, start, width, kept, cursor, restart}
    this.frames = []; // {step, length, values}, ascending
    this.text = "";
    this.figures = {};
  }

  /** Takes a message in. Returns "applied", "ignored", or "gap" when a snapshot is needed. */
  apply(message) {
    if (!message || typeof message !== "object") return "ignored";
    if (message.kind === "notice") {
      this.state = message.state;
      return "applied";
    }
    if (message.kind === "snapshot") {
      if (message.run === this.run && message.seq < this.seq) return "ignored";
      this.#snapshot(message);
      return "applied";
    }
    if (message.kind !== "delta" || message.run !== this.run || message.seq <= this.seq) {
      return message.kind === "delta" && message.run !== this.run ? "gap" : "ignored";
    }
    if (this.waiting || message.seq !== this.seq + 1) {
      this.waiting = true;
      return "gap";
    }
    this.seq = message.seq;
    for (const step of message.steps) this.#step(step);
    this.text += message.text;
    this.#common(message);
    return "applied";
  }

  #snapshot(message) {
    const frames = message.run === this.run ? this.frames : [];
    this.clear();
    this.frames = frames;
    this.run = message.run;
    this.seq = message.seq;
    this.layers = message.layers;
    this.rowOfLayer = message.rowOfLayer;
    const rows = message.layers ? Math.max(...message.rowOfLayer) + 1 : 0;
    this.layersOfRow = new Array(rows).fill(0);
    for (const row of message.rowOfLayer) this.layersOfRow[row]++;
    this.setup = message.setup;
    this.steps = message.steps;
    this.tokens = message.tokens.slice();
    this.ids = message.ids.slice();
    this.length = this.tokens.length;
    this.joinedAt = decode(message.joinedAt, Int32Array);
    this.nll = decode(message.nll, Float32Array);
    const evicted = decode(message.evictedAt, Int32Array);
    for (let p = 0; p < rows; p++) {
      this.evictedAt.push(evicted.slice(p * this.length, (p + 1) * this.length));
    }
    this.seenAt = new Int32Array(this.steps);
    for (let t = 0; t < this.length; t++) this.seenAt[this.joinedAt[t]] = t + 1;
    const list = decode(message.compactions, Int32Array);
    for (let i = 0; i < list.length; i += 7) {
      const [step, seen, start, width, kept, cursor, restart] = list.subarray(i, i + 7);
      this.compactions.push({ step, seen, start, width, kept, cursor, restart: !!restart });
    }
    this.text = message.text;
    this.#common(message);
  }

  #step({ n, t, i, l, d, g }) {
    const before = this.length;
    const after = before + t.length;
    this.joinedAt = grown(this.joinedAt, after, 0);
    this.nll = grown(this.nll, after, NaN);
    this.seenAt = grown(this.seenAt, n + 1, 0);
    for (let p = 0; p < this.evictedAt.length; p++) {
      this.evictedAt[p] = grown(this.evictedAt[p], after, HELD);
    }
    for (let k = 0; k < t.length; k++) {
      this.tokens.push(t[k]);
      this.ids.push(i[k]);
      this.joinedAt[before + k] = n;
      this.nll[before + k] = l[k] === null ? NaN : l[k];
      for (const row of this.evictedAt) row[before + k] = HELD;
    }
    this.length = after;
    this.seenAt[n] = after;
    d.forEach((positions, p) => {
      for (const position of positions) this.evictedAt[p][position] = n;
    });
    for (const [arrived, start, width, kept, cursor, restart] of g) {
      this.compactions.push({
        step: n, seen: before + arrived, start, width, kept, cursor, restart: !!restart,
      });
    }
    this.steps = n + 1;
  }

  #common(message) {
    this.waiting = false;
    if (message.mass) {
      const values = decode(message.mass.values, Uint8Array);
      this.frames.push({ step: message.mass.step, length: message.mass.length, values });
      // Thin out evenly: the newest stays, of the older ones every second goes.
      if (this.frames.length > MAX_FRAMES) {
        this.frames = this.frames.filter((_, k, all) => k % 2 === 0 || k === all.length - 1);
      }
    }
    this.figures = message.figures || {};
    this.state = message.state;
  }

  // Questions. `step` is the clock: everything up to and including that step has happened.

  joined(token, step) {
    return this.joinedAt[token] <= step;
  }

  held(row, token, step) {
    const gone = this.evictedAt[row][token];
    return this.joinedAt[token] <= step && (gone === HELD || gone > step);
  }

  /** In how many layers the token is held. */
  holders(token, step) {
    if (this.joinedAt[token] > step) return 0;
    let count = 0;
    for (let p = 0; p < this.evictedAt.length; p++) {
      const gone = this.evictedAt[p][token];
      if (gone === HELD || gone > step) count += this.layersOfRow[p];
    }
    return count;
  }

  seen(step) {
    return step < 0 || !this.steps ? 0 : this.seenAt[Math.min(step, this.steps - 1)];
  }

  /** Entries per layer, tokens that some layer holds, and the oldest of those after the sinks. */
  summary(step) {
    const seen = this.seen(step);
    let heldCount = 0, union = 0, oldest = -1;
    const sinks = this.setup.numSink || 0;
    for (let t = 0; t < seen; t++) {
      if (this.held(0, t, step)) heldCount++;
      if (this.holders(t, step) > 0) {
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
    let low = 0, high = this.frames.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.frames[middle].step <= step) low = middle + 1;
      else high = middle;
    }
    return low ? this.frames[low - 1] : null;
  }

  /** Per row, the text positions of a frame's columns: held before the step, or joining in it. */
  columns(frame) {
    if (frame.columns) return frame.columns;
    frame.columns = this.evictedAt.map((evicted) => {
      const out = new Int32Array(frame.length);
      let k = 0;
      for (let t = 0; t < this.length && k < frame.length; t++) {
        const gone = evicted[t];
        if (this.joinedAt[t] <= frame.step && (gone === HELD || gone >= frame.step)) out[k++] = t;
      }
      return out;
    });
    return frame.columns;
  }

  /** A layer's share of attention on a token in a frame, 0 to 1; null when it saw no such entry. */
  share(frame, layer, token) {
    const positions = this.columns(frame)[this.rowOfLayer[layer]];
    let low = 0, high = positions.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      if (positions[middle] === token) return shareOf(frame.values[layer * frame.length + middle]);
      if (positions[middle] < token) low = middle + 1;
      else high = middle - 1;
    }
    return null;
  }
}

/** The share of attention that a byte of a frame stands for. */
export function shareOf(value) {
  return value ? Math.pow(10, (value - 255) / 51) : 0;
}
