// One line about the cell that is looked at, in words; read out by screen readers.

import { count, el, visible } from "./dom.js";

export class Readout {
  constructor(root, store, view) {
    Object.assign(this, { store, view });
    this.line = el("p", { className: "lc-readout" });
    this.line.setAttribute("aria-live", "polite");
    root.append(this.line);
  }

  update() {
    const cell = this.view.focus;
    const text = cell && cell.token < this.store.length ? this.describe(cell) : this.idle();
    if (this.line.textContent !== text) this.line.textContent = text;
  }

  idle() {
    return this.store.steps
      ? "Point at a cell or a word to see what became of it; click to lock, Escape to unlock."
      : "";
  }

  describe({ token, layer }) {
    const { store, view } = this;
    const clock = view.clock;
    const state = store.cell(layer, token, clock);
    const said = {
      unseen: "not seen yet",
      dropped: "dropped",
      sink: "held for ever (sink)",
      reserve: "held (recent, not compacted yet)",
      held: "held",
    }[state];
    const parts = [`“${visible(store.tokens[token])}” · token ${count(token)} · layer ${layer + 1}: ${said}`];
    const gone = store.evictedAt[store.rowOfLayer[layer]][token];
    if (state === "dropped") {
      parts[0] += ` when ${count(store.seen(gone))} tokens had been seen`;
    }
    if (state !== "unseen") parts.push(`in ${store.holders(token, clock)} of ${store.layers} layers`);
    if (!Number.isNaN(store.nll[token])) parts.push(`loss ${store.nll[token].toFixed(2)}`);
    const frame = store.frame(clock);
    const share = frame && store.share(frame, layer, token);
    if (share !== null && share !== undefined && frame) {
      parts.push(`last query: ${(100 * share).toPrecision(2)} % of this layer's attention`);
    }
    return parts.join(" · ");
  }
}
