// The line of figures: what the run costs and holds, at the clock.

import { bytes, count, el } from "./dom.js";

const DEFINITIONS = {
  seen: ["Tokens seen", "Tokens of the text that the model has read or written"],
  held: ["Entries held", "Keys and values that each layer holds, of the most it may hold"],
  union: ["Tokens still held", "Distinct tokens that at least one layer holds (union coverage). "
    + "A window policy can never exceed its budget in this"],
  memory: ["KV memory", "Bytes of keys and values, against what the full cache would take"],
  speed: ["Speed", "Tokens per second since the first one; time to the first token"],
  perplexity: ["Perplexity", "How surprised the model is on average; known for a text that is read, "
    + "and for the tokens that it wrote itself"],
};

export class Figures {
  constructor(root, store, view) {
    Object.assign(this, { store, view });
    this.cells = {};
    for (const [name, [label, hint]] of Object.entries(DEFINITIONS)) {
      const value = el("dd", { textContent: "–" });
      const note = el("span", { className: "lc-figure-note" });
      root.append(el("div", { className: "lc-figure", title: hint }, el("dt", { textContent: label }), value, note));
      this.cells[name] = { value, note };
    }
  }

  #set(name, value, note = "") {
    const cell = this.cells[name];
    if (cell.value.textContent !== value) cell.value.textContent = value;
    if (cell.note.textContent !== note) cell.note.textContent = note;
  }

  update() {
    const { store, view } = this;
    const f = store.figures;
    if (!store.steps) {
      for (const name of Object.keys(this.cells)) this.#set(name, "–");
      return;
    }
    const live = view.following && f.seen !== undefined;
    const now = live ? f : store.summary(view.clock);
    const { effectiveBudget, budget, bytesPerEntry, fullBytesPerEntry } = store.setup;
    this.#set("seen", count(now.seen));
    this.#set("held", count(now.held), effectiveBudget ? `of ${count(effectiveBudget)} per layer` : "no limit");
    const window = budget ? Math.min(budget, now.seen) : now.seen;
    const note = budget && now.seen > budget ? `a window: ${count(window)}` : "";
    this.#set("union", count(now.union), note);
    const full = now.seen * fullBytesPerEntry;
    this.#set("memory", bytes(now.held * bytesPerEntry), `full: ${bytes(full)}`);
    const first = f.firstTokenSeconds;
    this.#set(
      "speed",
      f.tokensPerSecond ? `${f.tokensPerSecond.toFixed(1)}/s` : "–",
      first ? `first after ${first.toFixed(1)} s` : "",
    );
    this.#set("perplexity", f.perplexity ? f.perplexity.toFixed(2) : "–");
  }
}
