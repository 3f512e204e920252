// The list of compactions, oldest first, with the newest at the clock in sight. Only the rows that
// are in sight exist, so thousands cost no more than twenty. A click sets the clock there.

import { count, counted, el } from "./dom.js";

const ROW = 26; // pixels; the style sheet says the same
const HEAD = 24;
const SPARE = 6; // rows kept ready above and below

export class Compactions {
  constructor(root, store, view) {
    Object.assign(this, { root, store, view, rows: new Map(), current: -1 });
    this.said = el("p", { className: "lc-note" });
    const heads = ["step", "tokens", "entries", "kept", "freed", ""];
    const head = el("div", { className: "lc-row lc-row-head" }, ...heads.map((h) => el("span", { textContent: h })));
    head.setAttribute("aria-hidden", "true");
    this.space = el("ol", { className: "lc-space" });
    this.box = el("div", { className: "lc-list", tabIndex: 0 }, head, this.space);
    this.box.setAttribute("role", "region");
    this.box.setAttribute("aria-label", "Compactions");
    this.latest = el("p", { className: "lc-sentence" });
    root.append(this.said, this.box, this.latest);
    this.space.addEventListener("click", (event) => {
      const item = event.target.closest("button");
      if (item) view.setClock(Number(item.dataset.step));
    });
    this.box.addEventListener("scroll", () => this.#render());
    this.resizing = new ResizeObserver(() => this.#render());
    this.resizing.observe(this.box);
  }

  update() {
    const { store, view } = this;
    if (this.run !== store.run) {
      this.run = store.run;
      this.rows.clear();
      this.space.replaceChildren();
      this.current = -1;
    }
    this.space.style.height = `${store.compactions.length * ROW}px`;
    const current = store.compactionsBy(view.clock) - 1;
    if (current !== this.current) {
      this.current = current;
      this.#reveal();
    }
    const newest = store.compactions[current];
    this.said.textContent = this.#count(newest);
    this.latest.textContent = newest ? sentence(newest) : "";
    this.#render();
  }

  #reveal() {
    const { box } = this;
    const top = Math.max(0, this.current) * ROW; // below the heading, which stays in sight
    if (this.box.matches(":hover") && this.view.following) return; // somebody reads there
    if (top < box.scrollTop) box.scrollTop = top;
    else if (top + ROW > box.scrollTop + box.clientHeight - HEAD) box.scrollTop = top + ROW + HEAD - box.clientHeight;
  }

  #render() {
    const { box, store, rows } = this;
    const first = Math.max(0, Math.floor(box.scrollTop / ROW) - SPARE);
    const end = Math.min(store.compactions.length, Math.ceil((box.scrollTop + box.clientHeight) / ROW) + SPARE);
    for (const [k, row] of rows) {
      if (k >= first && k < end) continue;
      row.remove();
      rows.delete(k);
    }
    for (let k = first; k < end; k++) {
      let row = rows.get(k);
      if (!row) {
        row = this.#row(k, store.compactions[k]);
        rows.set(k, row);
        this.space.append(row);
      }
      row.className = k === this.current ? "lc-current" : k > this.current ? "lc-later" : "";
    }
  }

  #row(k, c) {
    const cells = [
      count(c.step + 1), count(c.seen), entries(c), `${c.kept} of ${c.width}`, `${c.width - c.kept}`,
      c.restart ? "restart" : "",
    ];
    const item = el("button", { type: "button", className: "lc-row", title: sentence(c) },
      ...cells.map((text) => el("span", { textContent: text })));
    item.dataset.step = c.step;
    const row = el("li", {}, item);
    row.style.top = `${k * ROW}px`;
    return row;
  }

  #count(newest) {
    const { store, current } = this;
    if (!store.steps) return "They will be listed here as they happen.";
    if (!store.compactions.length) return "None yet: everything still fits.";
    if (!newest) return "None yet at this step: everything still fitted.";
    const passes = newest.restarts ? `, ${counted(newest.restarts, "restart pass", "restart passes")}` : "";
    return `${count(current + 1)} so far${passes}`;
  }
}

function entries(c) {
  return c.width === 1 ? `${c.start}` : `${c.start}–${c.start + c.width - 1}`;
}

/** What a compaction did, in one sentence. */
export function sentence(c) {
  const freed = c.width - c.kept;
  const when = `Token ${count(c.seen)}: `;
  const which = c.width === 1 ? `entry ${c.start}` : `entries ${entries(c)}`;
  if (!c.kept) return `${when}${which} dropped by every layer.`;
  const pass = c.restart ? "a new pass begins at the old end; of " : "of ";
  return `${when}${pass}${which} each layer kept ${c.kept}, not all the same, which freed ${freed}.`;
}
