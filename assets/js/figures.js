// The line of figures: what the run costs and holds, at the clock.

import { bytes, count, counted, el } from "./dom.js";
import { compacts, eventHeading, eventsOf } from "./events.js";

const DEFINITIONS = {
  seen: ["Tokens seen", "Tokens of the text that the model has read or written so far."],
  held: ["Entries held", "Keys and values that each layer holds now, and the most that it may hold after a "
    + "step (the effective budget)."],
  union: ["Remembered", "Different tokens that at least one layer still holds (union coverage). "
    + "A window policy can never exceed its budget in this."],
  memory: ["KV memory", "Bytes of all keys and values held, and what the full cache would take."],
  speed: ["Tokens / s", "Tokens per second since the first one, and how long the first one took."],
  last: ["Compactions", "How often a group of entries was thinned out because the budget was full; a "
    + "restart pass begins again at the old end."],
};
const EVICTIONS = "How often entries were dropped because the budget was full.";
const PERPLEXITY = ["Perplexity", "How surprised the model is by the text on average: e to the mean loss. "
  + "Lower is better; comparable between policies on the same text."];

const rate = (perSecond) => (perSecond < 100 ? perSecond.toFixed(1) : count(Math.round(perSecond)));

export class Figures {
  constructor(root, store, view) {
    Object.assign(this, { store, view, cells: {} });
    for (const [name, [label, hint]] of Object.entries(DEFINITIONS)) {
      const term = el("dt", { textContent: label });
      const value = el("dd", { textContent: "–" });
      const note = el("dd", { className: "lc-figure-note" });
      const cell = el("div", { className: "lc-figure", title: hint }, term, value, note);
      root.append(cell);
      cell.classList.toggle("lc-headline", name === "union");
      this.cells[name] = { cell, term, value, note };
    }
  }

  #set(name, value, note = "", unit = "") {
    const cell = this.cells[name];
    if (cell.value.textContent !== value + unit) cell.value.replaceChildren(value, ...(unit ? [el("small", { textContent: unit })] : []));
    if (cell.note.textContent !== note) cell.note.textContent = note;
  }

  update() {
    const { store, view } = this;
    const f = store.figures;
    if (!store.steps) {
      for (const name of Object.keys(this.cells)) this.#set(name, "–");
      return;
    }
    const now = view.following && f.seen !== undefined ? f : store.summary(view.clock);
    const { effectiveBudget, budget, bytesPerEntry, fullBytesPerEntry, policy } = store.setup;
    this.#set("seen", count(now.seen));
    this.#set("held", count(now.held), effectiveBudget ? `of ${count(effectiveBudget)} per layer` : "no limit");
    const compare = budget && now.seen > budget && policy !== "streaming_llm";
    this.#set("union", count(now.union), compare ? `a window: ${count(budget)}` : `of ${count(now.seen)} seen`,
      now.union === 1 ? " token" : " tokens");
    this.#set("memory", bytes(now.held * bytesPerEntry), `of ${bytes(now.seen * fullBytesPerEntry)}`);
    const first = f.firstTokenSeconds;
    const wait = typeof first === "number" ? `first after ${first < 10 ? first.toFixed(1) : first.toFixed(0)} s` : "";
    this.#set("speed", f.tokensPerSecond ? rate(f.tokensPerSecond) : "–", wait);
    this.#last(f);
  }

  /** Perplexity where a text is read; compactions or evictions where the model writes. */
  #last(f) {
    const { store, view } = this;
    const reads = store.setup.mode === "read";
    const events = [eventHeading(store, true), compacts(store) ? DEFINITIONS.last[1] : EVICTIONS];
    const [label, hint] = reads ? PERPLEXITY : events;
    const { term, cell } = this.cells.last;
    if (term.textContent !== label) {
      term.textContent = label;
      cell.title = hint;
    }
    const done = store.compactionsBy(view.clock);
    const restarts = done ? store.compactions.get(done - 1).restarts : 0;
    if (reads) {
      const known = typeof f.perplexity === "number";
      this.#set("last", known ? f.perplexity.toFixed(2) : "–", eventsOf(store, done));
    } else this.#set("last", count(done), compacts(store) ? counted(restarts, "restart") : "");
  }
}
