// What is looked at: which tokens are in sight, the clock, the mode, the cell under the cursor.
// Lives on across messages, so that updates never move what somebody is looking at.

const FEWEST = 8; // tokens in sight at the closest zoom
const ROOM = 1.25; // how far the map reaches beyond a run that still grows

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
    this.reach = 32;
    this.step = -1;
    this.following = true;
    this.hover = null; // {token, layer}; the layer is null when only a word is meant
    this.locked = null;
    this.brush = null; // [first, last) while somebody drags out what to zoom to
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

  /** Stay at this step while the run goes on. */
  hold() {
    this.step = this.store.steps - 1;
    this.following = false;
    this.changed("clock");
  }

  /** Tokens that the whole map spans. It grows in strides while the run does, and fits it after. */
  get total() {
    const { length, running, setup } = this.store;
    if (!running) return Math.max(length, 32);
    const least = Math.max(length, setup.promptTokens || 0, setup.effectiveBudget || 0, 32);
    while (this.reach < least * 1.02) this.reach = Math.ceil(this.reach * ROOM);
    return Math.max(length, Math.min(this.reach, Math.max(setup.expected || this.reach, 32)));
  }

  get visible() {
    if (!this.range) return [0, this.total];
    const [first, last] = this.range;
    const over = Math.max(0, last - this.total);
    return [Math.max(0, first - over), last - over];
  }

  zoom(factor, centre) {
    const [first, last] = this.visible;
    const width = Math.max(FEWEST, (last - first) * factor);
    const share = (centre - first) / (last - first || 1);
    this.show(centre - share * width, width);
  }

  pan(tokens) {
    const [first, last] = this.visible;
    this.show(first + tokens, last - first);
  }

  show(first, width) {
    const total = this.total;
    if (width >= total) this.range = null;
    else {
      const start = Math.max(0, Math.min(total - width, first));
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
    const same = cell === this.hover
      || (cell && this.hover && cell.token === this.hover.token && cell.layer === this.hover.layer);
    if (same) return;
    this.hover = cell;
    this.changed("focus");
  }

  lock(cell) {
    this.locked = cell;
    this.changed("focus");
  }

  /** Locks the cell, or unlocks it when it is the locked one. */
  toggleLock(cell) {
    const { locked } = this;
    const same = cell && locked && cell.token === locked.token && cell.layer === locked.layer;
    this.lock(same ? null : cell);
  }

  setBrush(range) {
    this.brush = range;
    this.changed("range");
  }

  /** Moves the focused cell; brings it into sight. */
  move(tokens, layers) {
    const newest = Math.max(0, this.store.seen(this.clock) - 1);
    const from = this.focus || { token: newest, layer: 0 };
    const token = Math.max(0, Math.min(this.store.length - 1, from.token + tokens));
    if (token < 0) return;
    const layer = Math.max(0, Math.min(this.store.layers - 1, (from.layer ?? 0) + layers));
    const [first, end] = this.visible;
    if (token < first || token + 1 > end) this.show(token + 0.5 - (end - first) / 2, end - first);
    this.lock({ token, layer });
  }
}
