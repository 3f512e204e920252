// The colours of one row of the map, for each mode, by text position and by cache slot. By text
// position a layer whose heads hold different tokens is drawn by the share of them; by slot one head
// is shown. What the colours mean is said in legend.js.

import { byteOf, shareOf } from "./attention.js";
import { STATES, brightScale, mix, packed } from "./colors.js";

const BRIGHT = brightScale().map(packed);
const SHADES = 32;
const FAINTEST = 8; // of 32: a single held token among many stays visible
const NONE = -1;
const SHARES = Float64Array.from({ length: 256 }, (_, v) => shareOf(v));

export class Shading {
  setPalette(palette) {
    const ramp = (from, to) =>
      Array.from({ length: SHADES + 1 }, (_, k) => packed(mix(from, to, k / SHADES)));
    // From "dropped" to each kind of held cell, for columns that are partly held.
    this.shades = {};
    for (const name of STATES) this.shades[name] = ramp(palette.dropped, palette[name]);
    this.dropped = packed(palette.dropped);
    this.sink = packed(palette.sink);
    this.holding = ramp(palette.few, palette.many);
    const faint = (share) => mix(palette.dropped, mix(palette.few, palette.many, share), 0.28);
    this.holdingElsewhere = Array.from({ length: SHADES + 1 }, (_, k) =>
      packed(k ? faint(k / SHADES) : palette.dropped));
  }

  /** Gets ready for a picture; `columns` is the Raster, `entries` what stands in the slots, or null. */
  begin(columns, store, view, entries) {
    Object.assign(this, { columns, store, entries, step: view.clock, head: view.head });
    this.seen = store.seen(this.step);
    this.sinks = store.setup.numSink || 0;
    this.paint = this[`_${view.mode}${entries ? "Slots" : ""}`];
    if (view.mode !== "attention") return;
    this.summed = view.accumulated ? store.accumulated.upTo(this.step) : null;
    this.frame = view.accumulated ? null : store.frame(this.step);
    if (this.frame) this.positions = store.columns(this.frame);
    if (!this.values || this.values.length < this.seen) this.values = new Int16Array(2 * this.seen).fill(NONE);
    if (store.heads > 1 && !(this.shares?.length >= this.seen)) this.shares = new Float64Array(2 * this.seen);
  }

  /** The colours of a layer, column by column; all layers of its line of `goneAt` look alike but for attention. */
  line(out, layer) {
    this.paint(out, layer);
  }

  // By text position: a column stands for the tokens from <= t < to.

  /** How many of a column's tokens the rows hold, counted row by row. */
  #heldIn(rows, c) {
    const { from, to } = this.columns;
    let held = 0;
    for (let r = 0; r < rows.length; r++) {
      const gone = rows[r];
      for (let t = from[c]; t < to[c]; t++) if (gone[t] < 0 || gone[t] > this.step) held++;
    }
    return held;
  }

  _state(out, layer) {
    const { from, to, used } = this.columns;
    const rows = this.store.rowsOfLayer[layer].map((row) => this.store.evictedAt[row]);
    const recent = this.seen - (this.store.setup.reserve || 0);
    const { sink, reserve, held: kept } = this.shades;
    for (let c = 0; c < used; c++) {
      const held = this.#heldIn(rows, c);
      const share = Math.round((SHADES * held) / (to[c] - from[c]) / rows.length);
      const ramp = from[c] < this.sinks ? sink : from[c] >= recent ? reserve : kept;
      out[c] = ramp[held ? Math.max(FAINTEST, share) : 0];
    }
  }

  _holding(out, layer) {
    const { most, used } = this.columns;
    const gone = [this.#goneOf(layer)];
    for (let c = 0; c < used; c++) {
      const shade = Math.round((SHADES * most[c]) / this.store.layers);
      out[c] = (this.#heldIn(gone, c) ? this.holding : this.holdingElsewhere)[shade];
    }
  }

  /** When the layer's last head dropped each token. */
  #goneOf(layer) {
    return this.store.goneAt[this.store.rowOfLayer[layer]];
  }

  _when(out, layer) {
    const { from, to, used } = this.columns;
    const gone = this.#goneOf(layer);
    const scale = 255 / Math.max(1, this.step);
    for (let c = 0; c < used; c++) {
      let latest = -1;
      for (let t = from[c]; t < to[c]; t++) if (gone[t] <= this.step && gone[t] > latest) latest = gone[t];
      out[c] = latest < 0 ? this.dropped : BRIGHT[Math.round(latest * scale)];
    }
  }

  /** Of a column's tokens, the one that gets most. */
  _attention(out, layer) {
    const { from, to, used } = this.columns;
    const valueOf = this.#attended(layer);
    for (let c = 0; c < used; c++) {
      let top = NONE;
      for (let t = from[c]; t < to[c]; t++) if (valueOf[t] > top) top = valueOf[t];
      out[c] = this.#bright(top);
    }
    this.#forget(layer);
  }

  // By cache slot: a column stands for the entries from <= j < to of the row of the head that is shown.

  #rowOf(layer) {
    return this.store.rowOf(layer, this.head);
  }

  /** Does `work(c, start, end)` for each column that has entries. */
  #slots(row, work) {
    const { from, to, used } = this.columns;
    const length = this.entries.lengths[row];
    for (let c = 0; c < used && from[c] < length; c++) work(c, from[c], Math.min(to[c], length));
  }

  /** Old to new, so that one sees entries move up as what stood before them goes. */
  _stateSlots(out, layer) {
    const row = this.#rowOf(layer);
    const tokens = this.entries.rows[row];
    const scale = 255 / Math.max(1, this.seen - 1);
    this.#slots(row, (c, start) => {
      const token = tokens[start];
      out[c] = token < this.sinks ? this.sink : BRIGHT[Math.round(token * scale)];
    });
  }

  _holdingSlots(out, layer) {
    const row = this.#rowOf(layer);
    const tokens = this.entries.rows[row];
    const holders = this.store.moment.holders(this.step);
    this.#slots(row, (c, start, end) => {
      let most = 0;
      for (let j = start; j < end; j++) most = Math.max(most, holders[tokens[j]]);
      out[c] = this.holding[Math.round((SHADES * most) / this.store.layers)];
    });
  }

  /** What stands in a slot is held; some of it is known to go later. */
  _whenSlots(out, layer) {
    const row = this.#rowOf(layer);
    const tokens = this.entries.rows[row], gone = this.store.evictedAt[row];
    const first = this.step + 1;
    const scale = 255 / Math.max(1, this.store.steps - 1 - first);
    this.#slots(row, (c, start, end) => {
      let soonest = Infinity;
      for (let j = start; j < end; j++) {
        const when = gone[tokens[j]];
        if (when >= 0 && when < soonest) soonest = when;
      }
      out[c] = soonest === Infinity ? this.dropped : BRIGHT[Math.round((soonest - first) * scale)];
    });
  }

  _attentionSlots(out, layer) {
    const row = this.#rowOf(layer);
    const tokens = this.entries.rows[row];
    const valueOf = this.#attended(layer);
    this.#slots(row, (c, start, end) => {
      let top = NONE;
      for (let j = start; j < end; j++) if (valueOf[tokens[j]] > top) top = valueOf[tokens[j]];
      out[c] = this.#bright(top);
    });
    this.#forget(layer);
  }

  // Attention of a layer by token, NONE where it saw no such entry: a frame's bytes, or sums of many.

  #attended(layer) {
    const { frame, values, summed, store } = this;
    if (summed) return summed.layer(layer);
    if (!frame) return values;
    const rows = store.rowsOfLayer[layer];
    const heads = rows.length;
    if (heads > 1 && !this.entries) return this.#meanOfHeads(layer, rows);
    const head = Math.min(this.head, heads - 1);
    const at = this.positions[rows[head]];
    for (let k = 0, from = (layer * heads + head) * at.length; k < at.length; k++) values[at[k]] = frame.values[from + k];
    return values;
  }

  /** The mean over a layer's heads, 0 counted where one had no such entry. */
  #meanOfHeads(layer, rows) {
    const { frame, values, shares, positions } = this;
    const heads = rows.length;
    rows.forEach((row, head) => {
      const at = positions[row];
      for (let k = 0, from = (layer * heads + head) * at.length; k < at.length; k++) {
        const token = at[k];
        if (values[token] === NONE) shares[token] = values[token] = 0;
        shares[token] += SHARES[frame.values[from + k]];
      }
    });
    for (const row of rows) for (const token of positions[row]) values[token] = byteOf(shares[token] / heads);
    return values;
  }

  /** Makes `values` blank again. */
  #forget(layer) {
    if (!this.frame) return;
    for (const row of this.store.rowsOfLayer[layer]) {
      for (const token of this.positions[row]) this.values[token] = NONE;
    }
  }

  #bright(value) {
    if (this.summed) return value > 0 ? BRIGHT[byteOf(this.summed.meanOf(value))] : this.dropped;
    return value < 0 ? this.dropped : BRIGHT[value];
  }
}
