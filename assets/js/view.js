// What is looked at: which columns are in sight and what they are, the clock, the mode, the cell
// under the cursor. Lives on across messages, so that updates never move what somebody is looking at.
//
// A column is a token of the text or, by cache slot, a place in the cache, where another token stands
// in every layer. A cell is always told by token and layer, so it means the same in both.

import { lowest } from "./arrays.js";

const FEWEST = 8; // tokens in sight at the closest zoom
const ROOM = 1.25; // how far the map reaches beyond a run that still grows

export class View {
  /** `extent` tells how many columns others span that are looked at together with this. */
  constructor(store, extent = () => 0) {
    this.store = store;
    this.extent = extent;
    this.listeners = new Set();
    this.mode = "state";
    this.axis = "text"; // or "slot"
    this.accumulated = false; // attention of all observed queries, not of the last one alone
    this.chosenHead = 0; // whose slots are shown, where heads differ
    this.reset();
  }

  /** A new run: mode and axis stay, the rest starts anew. */
  reset() {
    this.range = null; // [first, last) in columns; null: all of it
    this.ranges = { text: null, slot: null }; // what the other axis was left at
    this.chosen = null; // a compaction out of several at one step
    this.reach = 32;
    this.step = -1;
    this.following = true;
    this.hover = null; // {token, layer}; the layer is null when only a word is meant
    this.locked = null;
    this.brush = null; // [first, last) while somebody drags out what to zoom to
  }

  /** What is looked at, to be had again in this run or another one of the same text. */
  get outlook() {
    const { mode, axis, accumulated, range, ranges, following, locked, chosen } = this;
    return { mode, axis, accumulated, range, ranges: { ...ranges }, following, locked, chosen, seen: this.store.seen(this.clock) };
  }

  look({ mode, axis, accumulated, range, ranges, following, locked, chosen, seen }) {
    const { store } = this;
    Object.assign(this, { mode, axis, accumulated, range, ranges: { ...ranges }, hover: null });
    const there = locked && locked.token < store.length && (locked.layer ?? 0) < store.layers;
    this.locked = there ? locked : null;
    this.changed("mode");
    this.changed("focus");
    if (following || !seen) this.follow();
    else this.setClock(store.joinedAt[Math.min(seen, store.length) - 1], chosen);
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

  setClock(step, chosen = null) {
    const last = this.store.steps - 1;
    this.step = Math.max(0, Math.min(last, Math.round(step)));
    this.following = this.step >= last;
    this.chosen = chosen;
    this.changed("clock");
  }

  /** The compaction that is spoken of, as an index: the chosen one, else the last by now; or -1. */
  get compaction() {
    const { store, chosen } = this;
    const last = store.compactionsBy(this.clock) - 1;
    const same = chosen !== null && store.compactions.get(chosen)?.step === store.compactions.get(last)?.step;
    return same ? chosen : last;
  }

  /** Sets the clock to a compaction: one step may have several. */
  chooseCompaction(index) {
    const found = this.store.compactions.get(index);
    if (found) this.setClock(found.step, index);
  }

  follow() {
    this.following = true;
    this.chosen = null;
    this.changed("clock");
  }

  /** Stay at this step while the run goes on. */
  hold() {
    this.step = this.store.steps - 1;
    this.following = false;
    this.changed("clock");
  }

  get slots() {
    return this.axis === "slot";
  }

  /** Columns that the whole map spans, with those that it is compared with. */
  get total() {
    return Math.max(this.own, this.extent());
  }

  /** Columns of its own run: tokens, or places of the cache. */
  get own() {
    if (!this.slots) return this.tokens;
    return Math.max(FEWEST, Math.min(this.store.setup.effectiveBudget ?? Infinity, this.tokens));
  }

  /** It grows in strides while the run does, and fits it after. */
  get tokens() {
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

  pan(columns) {
    const [first, last] = this.visible;
    this.show(first + columns, last - first);
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

  setAxis(axis) {
    if (axis === this.axis) return;
    this.ranges[this.axis] = this.range;
    this.axis = axis;
    this.range = this.ranges[axis];
    this.changed("mode");
  }

  setAccumulated(on) {
    this.accumulated = on;
    this.changed("mode");
  }

  /** The head whose slots are shown; 0 where the heads of a layer are alike. */
  get head() {
    return Math.min(this.chosenHead, this.store.heads - 1);
  }

  nextHead() {
    this.chosenHead = (this.head + 1) % this.store.heads;
    this.changed("mode");
  }

  /** The column in which a layer has the token; -1 when it has none. */
  columnOf(token, layer) {
    const { store } = this;
    if (!this.slots) return token;
    return token < store.length ? store.moment.slot(store.rowOf(layer, this.head), token, this.clock) : -1;
  }

  /** The token that a layer has in the column; -1 when there is none. */
  tokenIn(column, layer) {
    const { store } = this;
    if (!this.slots) return column >= 0 && column < store.length ? column : -1;
    const row = store.rowOf(layer, this.head);
    const { rows, lengths } = store.moment.entries(this.clock);
    return column >= 0 && column < lengths[row] ? rows[row][column] : -1;
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
  move(columns, layers) {
    const { store } = this;
    if (!store.length) return;
    const from = this.focus || { token: Math.max(0, store.seen(this.clock) - 1), layer: 0 };
    const layer = Math.max(0, Math.min(store.layers - 1, (from.layer ?? 0) + layers));
    // Up and down stay in the column, which by cache slot is another token.
    const column = this.#nearest(from.token, from.layer ?? 0) + columns;
    const token = this.slots
      ? this.#tokenAtSlot(Math.max(0, column), layer)
      : Math.max(0, Math.min(store.length - 1, column));
    const shown = this.columnOf(token, layer);
    const [first, end] = this.visible;
    if (shown < first || shown + 1 > end) this.show(shown + 0.5 - (end - first) / 2, end - first);
    this.lock({ token, layer });
  }

  /** The column of a token, or where it would stand in a layer that does not hold it. */
  #nearest(token, layer) {
    if (!this.slots) return token;
    const row = this.store.rowOf(layer, this.head);
    const { rows, lengths } = this.store.moment.entries(this.clock);
    return lowest(rows[row], lengths[row], token);
  }

  #tokenAtSlot(slot, layer) {
    const row = this.store.rowOf(layer, this.head);
    const { rows, lengths } = this.store.moment.entries(this.clock);
    return rows[row][Math.max(0, Math.min(lengths[row] - 1, slot))];
  }
}
