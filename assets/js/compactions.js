// The list of compactions, oldest first, with the newest at the clock in sight. Only the rows that
// are in sight exist, so thousands cost no more than twenty. A click sets the clock there. What one
// of them did is told by closeup.js.

import { count, counted, el, ordinal } from "./dom.js";
import { compacts, eventHeading } from "./events.js";
import { span } from "./telling.js";

const ROW = 26, TOUCHED = 40; // pixels: a row that is clicked, or touched
const HEAD = 24;
const SPARE = 6; // rows kept ready above and below

export class Compactions {
  constructor(root, store, view) {
    Object.assign(this, { root, store, view, rows: new Map(), current: -1 });
    this.heading = root.querySelector("h2");
    this.said = el("p", { className: "lc-note" });
    const heads = ["step", "tokens", "entries", "kept", "freed", ""];
    const head = el("div", { className: "lc-row lc-row-head" }, ...heads.map((h) => el("span", { textContent: h })));
    head.setAttribute("aria-hidden", "true");
    this.space = el("ol", { className: "lc-space" });
    this.row = matchMedia("(max-width: 760px), (pointer: coarse)").matches ? TOUCHED : ROW;
    root.style.setProperty("--lc-row", `${this.row}px`);
    this.box = el("div", { className: "lc-list", tabIndex: 0 }, head, this.space);
    this.box.setAttribute("role", "region");
    root.append(this.said, this.box);
    this.space.addEventListener("click", (event) => {
      const item = event.target.closest("button");
      if (item) view.chooseCompaction(Number(item.dataset.index));
    });
    // Kept here, since asking the page would make it lay everything out in between.
    Object.assign(this, { top: 0, height: 0, scrolled: 0, away: false });
    this.box.addEventListener("scroll", () => {
      const { scrollTop } = this.box;
      // Somebody scrolled away from the newest, or back to it.
      if (Math.abs(scrollTop - this.scrolled) > 1) this.away = !this.#inSight(scrollTop);
      this.top = this.scrolled = scrollTop;
      this.#render();
    });
    this.resizing = new ResizeObserver(([entry]) => {
      this.height = entry.contentRect.height;
      this.#reveal();
      this.#render();
      this.scroll();
    });
    this.resizing.observe(this.box);
  }

  /** Everything but how far the list is scrolled. */
  write() {
    const { store, view } = this;
    if (this.run !== store.run) {
      this.run = store.run;
      this.rows.clear();
      this.space.replaceChildren();
      this.current = -1;
      this.top = 0;
      this.away = false;
    }
    this.space.style.height = `${store.compactions.length * this.row}px`;
    const current = view.compaction;
    if (current !== this.current) {
      this.current = current;
      this.#reveal();
    }
    const heading = eventHeading(store, true);
    if (this.heading.textContent !== heading) {
      this.heading.textContent = heading;
      this.box.setAttribute("aria-label", heading);
    }
    const newest = store.compactions.get(current);
    this.said.textContent = this.#count(newest);
    this.#render();
  }

  /** Scrolls to where the list was told to stand; has the page laid out, so it comes after all that is written. */
  scroll() {
    if (this.scrolled === this.top) return;
    this.scrolled = this.box.scrollTop = this.top;
  }

  #inSight(top) {
    const at = Math.max(0, this.current) * this.row;
    return at >= top - this.row && at <= top + this.height;
  }

  #reveal() {
    const { box, height } = this;
    const top = Math.max(0, this.current) * this.row; // below the heading, which stays in sight
    if ((this.away || box.matches(":hover")) && this.view.following) return; // somebody reads there
    this.away = false;
    if (top < this.top) this.top = top;
    else if (top + this.row > this.top + height - HEAD) this.top = top + this.row + HEAD - height;
  }

  #render() {
    const { store, rows, top, height, row } = this;
    const first = Math.max(0, Math.floor(top / row) - SPARE);
    const end = Math.min(store.compactions.length, Math.ceil((top + height) / row) + SPARE);
    for (const [k, item] of rows) {
      if (k >= first && k < end) continue;
      item.remove();
      rows.delete(k);
    }
    for (let k = first; k < end; k++) {
      let item = rows.get(k);
      if (!item) {
        item = this.#row(k, store.compactions.get(k));
        rows.set(k, item);
        this.space.append(item);
      }
      item.className = k === this.current ? "lc-current" : k > this.current ? "lc-later" : "";
    }
  }

  #row(k, c) {
    const cells = [
      ordinal(c.step), count(c.seen), span(c.start, c.width), `${c.kept} of ${c.width}`, `${c.width - c.kept}`,
      c.restart ? "restart" : "",
    ];
    const item = el("button", { type: "button", className: "lc-row" },
      ...cells.map((text) => el("span", { textContent: text })));
    item.dataset.index = k;
    const row = el("li", {}, item);
    row.style.top = `${k * this.row}px`;
    return row;
  }

  #count(newest) {
    const { store, current } = this;
    if (!store.steps) return "They will be listed here as they happen.";
    if (!store.compactions.length) return "None yet: everything still fits.";
    if (!newest) return "None yet at this step: everything still fitted.";
    const passes = newest.restarts && compacts(store) ? `, ${counted(newest.restarts, "restart pass", "restart passes")}` : "";
    return `${ordinal(current)} so far${passes}`;
  }
}
