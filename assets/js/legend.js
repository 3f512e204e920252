// What the colours mean, for the mode that is on.

import { brightScale, css, gradient, mix } from "./colors.js";
import { count, el } from "./dom.js";

const STATES = [
  ["sink", "sink, never dropped"],
  ["held", "held"],
  ["reserve", "newest, not compacted yet"],
  ["dropped", "dropped by this layer"],
  ["unseen", "not seen yet"],
];

export class Legend {
  constructor(root, store, view, readPalette) {
    Object.assign(this, { root, store, view, readPalette });
  }

  update() {
    const { store, view } = this;
    const last = view.mode === "when" ? Math.max(0, view.clock) : 0;
    const frame = view.mode === "attention" ? store.frame(view.clock) : null;
    const compares = Boolean(store.setup.budget) && store.setup.policy !== "streaming_llm";
    const key = [view.mode, store.layers, store.setup.reserve, last, frame?.step, compares, this.theme].join("/");
    if (this.shown === key) return;
    this.shown = key;
    const parts = this[`_${view.mode}`](last, frame);
    if (compares) parts.push(this.#item("window", "where a window of this budget begins"));
    this.root.replaceChildren(...parts);
  }

  /** The theme changed: colours must be read again. */
  refresh() {
    this.theme = (this.theme || 0) + 1;
    this.update();
  }

  #item(name, text) {
    return el("span", {}, el("i", { className: `lc-swatch lc-swatch-${name}` }), text);
  }

  /** A scale with numbers at equal distances under it. */
  #scale(title, colours, numbers) {
    const bar = el("i", { className: "lc-scale" });
    bar.style.background = gradient(colours);
    const marks = el("i", { className: "lc-marks" }, ...numbers.map((n) => el("i", { textContent: n })));
    return el("span", { className: "lc-scaled" }, title, el("i", { className: "lc-ruler" }, bar, marks));
  }

  _state() {
    // A policy without a reserve (a window, the full cache) has nothing to say of it.
    const shown = STATES.filter(([name]) => name !== "reserve" || this.store.setup.reserve !== 0);
    return shown.map(([name, text]) => this.#item(name, text));
  }

  _attention(_, frame) {
    const when = frame ? `the query at step ${count(frame.step + 1)}` : "the last query";
    return [
      this.#scale(`share of each layer's attention, ${when}`, brightScale(), ["0.001 %", "0.01", "0.1", "1", "10", "100 %"]),
      this.#item("dropped", "dropped, or not looked at"),
    ];
  }

  _holding() {
    const { few, many } = this.readPalette();
    const colours = Array.from({ length: 32 }, (_, k) => mix(few, many, k / 31));
    const layers = this.store.layers || 0;
    const faint = el("i", { className: "lc-swatch" });
    faint.style.background = css(mix(this.readPalette().dropped, mix(few, many, 0.5), 0.28));
    return [
      this.#scale("layers that hold the token", colours, layers ? ["0", count(layers / 2), count(layers)] : ["none", "all"]),
      el("span", {}, faint, "faint: not in this layer, but in others"),
    ];
  }

  _when(last) {
    return [
      this.#scale("dropped at step", brightScale(), last ? ["1", count(Math.round(last / 2) + 1), count(last + 1)] : ["first", "last"]),
      this.#item("dropped", "still held"),
    ];
  }
}
