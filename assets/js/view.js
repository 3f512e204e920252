// What is looked at: which tokens are in sight, the clock, the mode, the cell under the cursor.
// Lives on across messages, so that updates never move what somebody is looking at.

export class View {
  constructor(store) {
    this.store = store;
    this.listeners = new Set();
    this.mode = "state";
    this.reset();
  }

  /** A new run: the mode stays, the rest starts anew. */
  reset() {
    this.range = null; // [first, last) in tokens; null: all of it
    this.step = -1;
    this.following = true;
    this.hover = null; // {token, layer}
    this.locked = null;
  }

  onChange(listener) {
    this.listeners.add(listener);
  }

  changed(what) {
    for (const listener of this.listeners) listener(what);
  }

  /** The clock: the newest step while following. */
  get clock() {
    const last = this.store.steps - 1;
    return this.following ? last : Math.min(this.step, last);
  }

  setClock(step) {
    const last = this.store.steps - 1;
    this.step = Math.max(0, Math.min(last, Math.round(step)));
    this.following = this.step >= last;
    this.changed("clock");
  }

  follow() {
    this.following = true;
    this.changed("clock");
  }

  /** Tokens that the whole map spans: what is expected of the run, at least what is there. */
  get total() {
    return Math.max(this.store.length, this.store.setup.expected || 0, 32);
  }

  get visible() {
    return this.range || [0, this.total];
  }

  zoom(factor, centre) {
    const [first, last] = this.visible;
    const width = Math.max(8, Math.min(this.total, (last - first) * factor));
    const share = (centre - first) / (last - first || 1);
    this.show(centre - share * width, width);
  }

  pan(tokens) {
    const [first, last] = this.visible;
    this.show(first + tokens, last - first);
  }

  show(first, width) {
    if (width >= this.total) this.range = null;
    else {
      const start = Math.max(0, Math.min(this.total - width, first));
      this.range = [start, start + width];
    }
    this.changed("range");
  }

  fit() {
    this.range = null;
    this.changed("range");
  }

  setMode(mode) {
    this.mode = mode;
    this.changed("mode");
  }

  /** The cell that is spoken of: the locked one, else the one under the pointer. */
  get focus() {
    return this.locked || this.hover;
  }

  setHover(cell) {
    this.hover = cell;
    this.changed("focus");
  }

  lock(cell) {
    this.locked = cell;
    this.changed("focus");
  }

  /** Moves the focused cell; brings it into sight. */
  move(tokens, layers) {
    const last = Math.max(0, this.store.length - 1);
    const from = this.focus || { token: last, layer: 0 };
    const token = Math.max(0, Math.min(last, from.token + tokens));
    const layer = Math.max(0, Math.min(this.store.layers - 1, from.layer + layers));
    const [first, end] = this.visible;
    if (token < first || token >= end) this.show(token - (end - first) / 2, end - first);
    this.lock({ token, layer });
  }
}
