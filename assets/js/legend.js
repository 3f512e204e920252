// What the colours mean, for the mode that is on.

import { brightScale, css, gradient, mix } from "./colors.js";
import { count, counted, el, ordinal } from "./dom.js";

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
    const frame = view.mode === "attention" && !view.accumulated ? store.frame(view.clock) : null;
    const queries = view.mode === "attention" && view.accumulated ? store.accumulated.upTo(view.clock).count : 0;
    const compares = Boolean(store.setup.budget) && store.setup.policy !== "streaming_llm";
    const clock = view.mode === "when" ? [view.clock, store.steps] : view.slots ? [store.seen(view.clock)] : [];
    const key = [
      view.mode, view.axis, view.accumulated, store.layers, store.setup.reserve, store.setup.numSink, ...clock, frame?.step, queries,
      compares, store.heads, view.head, Boolean(store.setup.fact), Boolean(store.setup.needle), this.theme,
    ].join("/");
    if (this.shown === key) return;
    this.shown = key;
    const parts = this[`_${view.mode}${view.slots && view.mode !== "attention" ? "Slots" : ""}`]({ frame, queries });
    if (compares) {
      parts.push(this.#item("window", view.slots
        ? "left of it: too old for a window of this budget"
        : "where a window of this budget begins"));
    }
    if (store.setup.fact) parts.push(this.#item("fact", store.setup.needle ? "the needle" : "what is asked for at the end"));
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
    return this.#states(STATES);
  }

  #states(states) {
    // A policy without sinks or a reserve (a window, the full cache) has nothing to say of them.
    const { reserve, numSink } = this.store.setup;
    const missing = { sink: numSink === 0, reserve: reserve === 0, texture: reserve === 0 };
    const shown = states.filter(([name]) => !missing[name]);
    const { heads } = this.store;
    return shown.flatMap(([name, text]) => {
      if (name !== "dropped" || heads < 2) return [this.#item(name, text)];
      return [this.#item("some", `paler: held by some of the layer's ${heads} heads`), this.#item(name, "dropped by all of them")];
    });
  }

  _stateSlots() {
    const last = Math.max(1, this.store.seen(this.view.clock));
    return [
      this.#scale("which token of the text it is", brightScale(), ["1", count(Math.ceil(last / 2)), count(last)]),
      ...this.#states([["sink", "sink, never dropped"], ["texture", "newest, not compacted yet"]]),
    ];
  }

  _attention({ frame, queries }) {
    const { slots, accumulated } = this.view;
    const when = frame ? `the query at step ${count(frame.step + 1)}` : "the last query";
    const over = queries ? `mean over ${counted(queries, "observed query", "observed queries")} up to here` : "no query observed yet";
    const one = slots && this.store.heads > 1 && !accumulated;
    const whose = one ? `of the attention of head ${ordinal(this.view.head)}` : "of each layer's attention";
    return [
      this.#scale(`share ${whose}, ${accumulated ? over : when}`, brightScale(),
        ["0.001 %", "0.01", "0.1", "1", "10", "100 %"]),
      this.#item("dropped", slots ? "not looked at" : accumulated ? "never looked at" : "dropped, or not looked at"),
    ];
  }

  _holding() {
    const { few, many, dropped } = this.readPalette();
    const faint = el("i", { className: "lc-swatch" });
    faint.style.background = css(mix(dropped, mix(few, many, 0.5), 0.28));
    return [...this._holdingSlots(), el("span", {}, faint, "faint: not in this layer, but in others")];
  }

  _holdingSlots() {
    const { few, many } = this.readPalette();
    const colours = Array.from({ length: 32 }, (_, k) => mix(few, many, k / 31));
    const layers = this.store.layers || 0;
    return [
      this.#scale("layers that hold the token", colours, layers ? ["0", count(layers / 2), count(layers)] : ["none", "all"]),
    ];
  }

  _when() {
    const last = Math.max(0, this.view.clock);
    return [
      this.#scale("dropped at step", brightScale(), last ? ["1", count(Math.round(last / 2) + 1), count(last + 1)] : ["first", "last"]),
      this.#item("dropped", "still held"),
    ];
  }

  _whenSlots() {
    const first = this.view.clock + 2, last = this.store.steps;
    const known = last > first;
    return [
      this.#scale("will be dropped at step", brightScale(),
        known ? [count(first), count(Math.round((first + last) / 2)), count(last)] : ["next", "last"]),
      this.#item("dropped", `held to ${this.store.running ? "the newest step" : "the end of the run"}`),
    ];
  }
}
