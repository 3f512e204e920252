// A calm line over the map where its colours alone would puzzle. Knows nothing of how the map is drawn.

import { el } from "./dom.js";

export class Remark {
  constructor(store, view) {
    this.node = el("p", { className: "lc-remark", hidden: true });
    Object.assign(this, { store, view, said: el("span") });
    this.node.append(this.said);
  }

  update() {
    const { store, view } = this;
    const text = view.mode === "when" && view.slots && store.steps ? this.#later() : "";
    if (this.said.textContent !== text) this.said.textContent = text;
    this.node.hidden = !text;
  }

  /** By slot one sees what is held, and when it goes: nothing, where nothing was dropped after the clock. */
  #later() {
    const { store, view } = this;
    const dropped = store.compactions.length;
    if (store.compactionsBy(view.clock) < dropped) return "";
    return dropped ? "Nothing here was dropped later: move the clock back." : "Nothing was dropped: everything fits.";
  }
}
