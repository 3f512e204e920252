// One text under several policies, one click apart: a card for each recording of the text that is
// shown, with what its model answered and how many layers still held the fact. Knows nothing of the
// map; what is looked at (mode, stretch, clock, cell) stays as it is.

import { el } from "./dom.js";

export class Versus {
  constructor(runs) {
    this.runs = runs;
    this.node = el("div", { className: "lc-versus", hidden: true });
    this.node.setAttribute("role", "group");
    this.node.setAttribute("aria-label", "The same text under");
  }

  /** The recordings of the text that is shown; none where there is nothing to compare. */
  get choices() {
    const { recordings, instrument } = this.runs;
    const shown = recordings.find((r) => r.id === instrument.store.run);
    if (!shown?.outcome) return [];
    const found = recordings.filter((r) => r.text === shown.text && r.outcome);
    return found.length > 1 ? found : [];
  }

  update() {
    const { choices } = this;
    this.node.hidden = !choices.length;
    const key = choices.map(({ id }) => id).join("/");
    if (this.shown !== key) {
      this.shown = key;
      this.node.replaceChildren(...choices.map((choice) => this.#card(choice)));
    }
    const { run } = this.runs.instrument.store;
    for (const card of this.node.children) card.setAttribute("aria-pressed", String(card.dataset.run === run));
  }

  /** To the next of them. */
  next() {
    const { choices, runs } = this;
    const at = choices.findIndex(({ id }) => id === runs.instrument.store.run);
    if (at >= 0) runs.compare(choices[(at + 1) % choices.length].id);
  }

  #card({ id, short, outcome }) {
    const { said, wrote, recalled, holders, layers } = outcome;
    const mark = el("i", { className: recalled ? "lc-mark-yes" : "lc-mark-no", textContent: recalled ? "✓" : "✗" });
    mark.setAttribute("aria-hidden", "true");
    const node = el("button", { type: "button", className: "lc-versus-card" },
      el("span", { className: "lc-versus-head" }, el("b", { textContent: short }),
        el("span", {}, mark, " answers ", el("q", { textContent: wrote }))),
      el("span", { className: "lc-versus-why" }, el("q", { textContent: said }), ` ${where(holders, layers)}`));
    node.dataset.run = id;
    node.addEventListener("click", () => this.runs.compare(id));
    return node;
  }
}

function where([fewest, most], layers) {
  if (most === 0) return "is gone from every layer";
  if (fewest === layers) return "is in every layer";
  return `is still in ${fewest === most ? most : `${fewest} to ${most}`} of ${layers} layers`;
}
