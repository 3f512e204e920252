// What two runs cost and hold at the clock, side by side.

import { bytes, count, el } from "./dom.js";
import { eventHeading } from "./events.js";

/** The rows: name, what it means, and its values as [number, text] or null where not known. */
export function costs(pair, clock) {
  // Of the same tokens, where one run ended before the other.
  const [a, b] = pair.ended ? pair.compared(clock).steps : ["a", "b"].map((side) => pair.stepOf(side, clock));
  const at = { a, b };
  const both = (work) => ["a", "b"].map((side) => (pair[side].steps && at[side] >= 0 ? work(pair[side], at[side]) : null));
  const known = (value, text) => (typeof value === "number" && Number.isFinite(value) ? [value, text(value)] : null);
  const summaries = both((store, step) => store.summary(step));
  const of = (field) => summaries.map((summary) => summary && [summary[field], count(summary[field])]);
  const watched = ["a", "b"].some((side) => pair[side].frames.length);
  const events = both((store) => eventHeading(store, true));
  const rows = [
    ["Entries per layer", "Keys and values that each layer holds.", of("held")],
    ["Tokens remembered", "Different tokens that at least one layer holds.", of("union")],
    ["KV memory", "Bytes of all keys and values held.",
      both((store, step) => known(store.summary(step).held * store.setup.bytesPerEntry, bytes))],
    [`Time per token${watched ? ", attention observed" : ""}`,
      `What the steps themselves took on average, after the first token, over the whole run.${watched ? " Looking where the attention goes is part of it." : ""}`,
      both((store) => known(store.figures.secondsPerToken, (s) => `${(1000 * s).toPrecision(3)} ms`))],
    [events[0] === events[1] || !events[1] ? events[0] || "Compactions" : "Compactions, evictions", "How often entries were dropped because the budget was full.",
      both((store, step) => known(store.compactionsBy(step), count))],
  ];
  if (pair.setup.mode === "read") {
    rows.push(["Perplexity", "How surprised the model was on average: e to the mean loss. Lower is better.",
      both((store, step) => known(perplexity(store, step), (p) => p.toFixed(2)))]);
  }
  return rows;
}

/** Of the tokens seen by then: at the end as the server has it, whose losses are not rounded. */
export function perplexity(store, step) {
  if (step === store.steps - 1 && Number.isFinite(store.figures.perplexity)) return store.figures.perplexity;
  let sum = 0, known = 0;
  for (let t = 0; t < store.seen(step); t++) {
    if (Number.isNaN(store.nll[t])) continue;
    sum += store.nll[t];
    known++;
  }
  return known ? Math.exp(sum / known) : NaN;
}

/** B against A, as a percentage. */
export function against([a], [b]) {
  if (a === b) return "the same";
  if (!a) return "";
  const change = (100 * (b - a)) / a;
  const size = Math.abs(change);
  return `${change > 0 ? "+" : "−"}${size >= 10 ? count(Math.round(size)) : size.toFixed(1)} %`;
}

export class Costs {
  constructor(root, pair, view) {
    Object.assign(this, { pair, view });
    this.body = el("tbody");
    this.heads = [el("th", { scope: "col" }), el("th", { scope: "col" })];
    const head = el("tr", {}, el("td"), ...this.heads, el("th", { scope: "col", textContent: "B against A" }));
    root.append(
      el("h2", { textContent: "What each costs" }), el("p", { className: "lc-note", textContent: "At the clock, above" }),
      el("table", { className: "lc-costs" }, el("thead", {}, head), this.body),
    );
  }

  update() {
    const { pair, view } = this;
    ["a", "b"].forEach((side, k) => {
      const node = this.heads[k];
      const name = `${side.toUpperCase()} · ${pair[side].setup.label || "–"}`;
      if (node.textContent !== name) node.textContent = name;
    });
    this.body.replaceChildren(...(pair.steps ? costs(pair, view.clock) : []).map(([name, hint, [a, b]]) =>
      el("tr", { title: hint }, el("th", { scope: "row", textContent: name }),
        el("td", { textContent: a ? a[1] : "–" }), el("td", { textContent: b ? b[1] : "–" }),
        el("td", { className: "lc-against", textContent: pair.matched && a && b ? against(a, b) : "" }))));
  }
}
