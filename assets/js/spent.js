// Where the time of a run went, once it is over: one bar, its parts named below it.

import { el } from "./dom.js";

const LEAST = 0.005; // smaller shares are not told apart from nothing

export class Spent {
  constructor(root, store) {
    Object.assign(this, { root, store, told: null });
    root.hidden = true;
    this.bar = el("div", { className: "lc-spent-bar" });
    this.bar.setAttribute("aria-hidden", "true"); // the list says the same
    this.list = el("ul", { className: "lc-spent-parts" });
    root.append(el("h2", { textContent: "Where the time went" }), this.bar, this.list);
  }

  update() {
    const parts = this.store.figures.parts;
    if (parts === this.told) return;
    this.told = parts;
    const known = shares(parts);
    this.root.hidden = !known.length;
    this.bar.replaceChildren(...known.map(([, , share], k) => {
      const part = el("i");
      part.dataset.part = k;
      part.style.flexGrow = share;
      return part;
    }));
    this.list.replaceChildren(...known.map(([label, seconds, share], k) => {
      const mark = el("i");
      mark.dataset.part = k;
      return el("li", { title: `${seconds.toFixed(2)} s` }, mark, `${label} ${Math.round(100 * share)} %`);
    }));
  }
}

/** [label, seconds, share of all] for the parts that count, the largest first. */
export function shares(parts) {
  const all = (parts || []).reduce((sum, [, seconds]) => sum + seconds, 0);
  if (!all) return [];
  return parts.map(([label, seconds]) => [label, seconds, seconds / all])
    .filter(([, , share]) => share >= LEAST)
    .sort((a, b) => b[1] - a[1]);
}
