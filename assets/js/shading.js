// The colours of one row of the map, for each mode, by text position and by cache slot. What the
// colours mean is said in legend.js.

import { STATES, brightScale, mix, packed } from "./colors.js";

const BRIGHT = brightScale().map(packed);
const SHADES = 32;
const FAINTEST = 8; // of 32: a single held token among many stays visible
const NONE = -1;

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
    Object.assign(this, { columns, store, entries, step: view.clock });
    this.seen = store.seen(this.step);
    this.sinks = store.setup.numSink || 0;
    this.paint = this[`_${view.mode}${entries ? "Slots" : ""}`];
    if (view.mode !== "attention") return;
    this.summed = view.accumulated ? store.accumulated.upTo(this.step) : null;
    this.frame = view.accumulated ? null : store.frame(this.step);
    if (this.frame) this.positions = store.columns(this.frame);
    if (!this.values || this.values.length < this.seen) this.values = new Int16Array(2 * this.seen).fill(NONE);
  }

  /** The colours of a row, column by column. */
  line(out, row, layer) {
    this.paint(out, row, layer);
  }

  // By text position: a column stands for the tokens from <= t < to.

  /** How many of a column's tokens the row holds. */
  #heldIn(gone, c) {
    let held = 0;
    for (let t = this.columns.from[c]; t < this.columns.to[c]; t++) {
      if (gone[t] < 0 || gone[t] > this.step) held++;
    }
    return held;
  }

  _state(out, row) {
    const { from, to, used } = this.columns;
    const gone = this.store.evictedAt[row];
    const recent = this.seen - (this.store.setup.reserve || 0);
    const { sink, reserve, held: kept } = this.shades;
    for (let c = 0; c < used; c++) {
      const held = this.#heldIn(gone, c);
      const share = Math.round((SHADES * held) / (to[c] - from[c]));
      const ramp = from[c] < this.sinks ? sink : from[c] >= recent ? reserve : kept;
      out[c] = ramp[held ? Math.max(FAINTEST, share) : 0];
    }
  }

  _holding(out, row) {
    const { most, used } = this.columns;
    const gone = this.store.evictedAt[row];
    for (let c = 0; c < used; c++) {
      const shade = Math.round((SHADES * most[c]) / this.store.layers);
      out[c] = (this.#heldIn(gone, c) ? this.holding : this.holdingElsewhere)[shade];
    }
  }

  _when(out, row) {
    const { from, to, used } = this.columns;
    const gone = this.store.evictedAt[row];
    const scale = 255 / Math.max(1, this.step);
    for (let c = 0; c < used; c++) {
      let latest = -1;
      for (let t = from[c]; t < to[c]; t++) if (gone[t] <= this.step && gone[t] > latest) latest = gone[t];
      out[c] = latest < 0 ? this.dropped : BRIGHT[Math.round(latest * scale)];
    }
  }

  /** Of a column's tokens, the one that gets most. */
  _attention(out, row, layer) {
    const { from, to, used } = this.columns;
    const valueOf = this.#attended(row, layer);
    for (let c = 0; c < used; c++) {
      let top = NONE;
      for (let t = from[c]; t < to[c]; t++) if (valueOf[t] > top) top = valueOf[t];
      out[c] = this.#bright(top);
    }
    this.#forget(row);
  }

  // By cache slot: a column stands for the entries from <= j < to of the row.

  /** Does `work(c, start, end)` for each column that has entries. */
  #slots(row, work) {
    const { from, to, used } = this.columns;
    const length = this.entries.lengths[row];
    for (let c = 0; c < used && from[c] < length; c++) work(c, from[c], Math.min(to[c], length));
  }

  /** Old to new, so that one sees entries move up as what stood before them goes. */
  _stateSlots(out, row) {
    const tokens = this.entries.rows[row];
    const scale = 255 / Math.max(1, this.seen - 1);
    this.#slots(row, (c, start) => {
      const token = tokens[start];
      out[c] = token < this.sinks ? this.sink : BRIGHT[Math.round(token * scale)];
    });
  }

  _holdingSlots(out, row) {
    const tokens = this.entries.rows[row];
    const holders = this.store.moment.holders(this.step);
    this.#slots(row, (c, start, end) => {
      let most = 0;
      for (let j = start; j < end; j++) most = Math.max(most, holders[tokens[j]]);
      out[c] = this.holding[Math.round((SHADES * most) / this.store.layers)];
    });
  }

  /** What stands in a slot is held; some of it is known to go later. */
  _whenSlots(out, row) {
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

  _attentionSlots(out, row, layer) {
    const tokens = this.entries.rows[row];
    const valueOf = this.#attended(row, layer);
    this.#slots(row, (c, start, end) => {
      let top = NONE;
      for (let j = start; j < end; j++) if (valueOf[tokens[j]] > top) top = valueOf[tokens[j]];
      out[c] = this.#bright(top);
    });
    this.#forget(row);
  }

  // Attention of a layer by token, NONE where it saw no such entry: a frame's bytes, or sums of many.

  #attended(row, layer) {
    const { frame, values, summed } = this;
    if (summed) return summed.layer(layer);
    if (!frame) return values;
    const at = this.positions[row];
    for (let k = 0, from = layer * at.length; k < at.length; k++) values[at[k]] = frame.values[from + k];
    return values;
  }

  /** Makes `values` blank again. */
  #forget(row) {
    if (!this.frame) return;
    for (const token of this.positions[row]) this.values[token] = NONE;
  }

  #bright(value) {
    if (this.summed) return value > 0 ? BRIGHT[byteOf(this.summed.meanOf(value))] : this.dropped;
    return value < 0 ? this.dropped : BRIGHT[value];
  }
}

/** The byte that stands for a share: the inverse of `shareOf`. */
function byteOf(share) {
  return Math.max(0, Math.min(255, Math.round(255 + 51 * Math.log10(share))));
}
