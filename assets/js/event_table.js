// The compactions of a run, oldest first, as columns of numbers: thousands of them take little memory,
// and one is made into an object when somebody asks for it.

const COLUMNS = ["step", "seen", "start", "width", "kept", "cursor", "restart", "restarts"];

export class EventTable {
  constructor() {
    this.length = 0;
    this.values = new Int32Array(0);
  }

  /** Adds one; `restarts` counts the restart passes so far. */
  push(step, seen, start, width, kept, cursor, restart) {
    const from = this.length * COLUMNS.length;
    if (from + COLUMNS.length > this.values.length) {
      const grown = new Int32Array(Math.max(64 * COLUMNS.length, 2 * this.values.length));
      grown.set(this.values);
      this.values = grown;
    }
    const restarts = this.length ? this.values[from - 1] : 0;
    const again = restart ? 1 : 0;
    this.values.set([step, seen, start, width, kept, cursor, again, restarts + again], from);
    this.length++;
  }

  /** {step, seen, start, width, kept, cursor, restart, restarts}; undefined where there is none. */
  get(index) {
    if (!(index >= 0 && index < this.length)) return undefined;
    const from = index * COLUMNS.length;
    const found = Object.fromEntries(COLUMNS.map((name, k) => [name, this.values[from + k]]));
    found.restart = Boolean(found.restart);
    return found;
  }

  /** The step of one of them. */
  stepOf(index) {
    return this.values[index * COLUMNS.length];
  }

  /** Whether one of them begins a restart pass. */
  restartAt(index) {
    return this.values[index * COLUMNS.length + 6] === 1;
  }

  *[Symbol.iterator]() {
    for (let k = 0; k < this.length; k++) yield this.get(k);
  }

  /** How many had happened by a step: those before this index. */
  by(step) {
    let low = 0, high = this.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.stepOf(middle) <= step) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
