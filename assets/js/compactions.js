// The list of compactions up to the clock, newest first; a click sets the clock there.

import { count, el } from "./dom.js";

const SHOWN = 60;

export class Compactions {
  constructor(root, store, view) {
    Object.assign(this, { root, store, view });
    this.title = el("p", { className: "lc-note" });
    this.list = el("ol", { className: "lc-list", tabIndex: 0 });
    this.list.setAttribute("aria-label", "Compactions");
    root.append(this.title, this.list);
    this.list.addEventListener("click", (event) => {
      const item = event.target.closest("button");
      if (item) view.setClock(Number(item.dataset.step));
    });
  }

  update() {
    const { store, view } = this;
    const clock = view.clock;
    let until = store.compactions.length;
    if (clock < store.steps - 1) {
      let low = 0;
      while (low < until) {
        const middle = (low + until) >> 1;
        if (store.compactions[middle].step <= clock) low = middle + 1;
        else until = middle;
      }
    }
    const key = `${store.run}/${until}`;
    if (this.shown === key) return;
    this.shown = key;
    const restarts = store.compactions.slice(0, until).filter((c) => c.restart).length;
    this.title.textContent = until
      ? `${count(until)} so far, ${count(restarts)} of them starting a pass at the old end again`
      : store.steps
        ? "None yet: everything still fits."
        : "They will be listed here as they happen.";
    const rows = [];
    for (let k = until - 1; k >= Math.max(0, until - SHOWN); k--) rows.push(this.#row(store.compactions[k]));
    this.list.replaceChildren(...rows);
  }

  #row(c) {
    const freed = c.width - c.kept;
    const range = c.width === 1 ? `entry ${c.start}` : `entries ${c.start}–${c.start + c.width - 1}`;
    const what = c.kept
      ? `${range}: each layer keeps ${c.kept} of ${c.width}`
      : `${range} dropped in every layer`;
    const item = el(
      "button",
      { type: "button", title: `Show the cache after step ${c.step + 1}` },
      el("b", { textContent: `token ${count(c.seen)}` }),
      el("span", { textContent: `${what}, frees ${freed}` }),
    );
    if (c.restart) item.append(el("em", { textContent: "restart pass" }));
    item.dataset.step = c.step;
    return el("li", {}, item);
  }
}
