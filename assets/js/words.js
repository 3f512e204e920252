// The text as tokens, each shaded by how many layers still hold it. Only a stretch of it is in the
// page at any time, so a text of many thousand tokens costs no more than a short one.

import { el } from "./dom.js";

const SHOWN = 360;

export class Words {
  constructor(root, store, view) {
    Object.assign(this, { root, store, view });
    this.body = el("div", { className: "lc-words-body", tabIndex: 0 });
    this.body.setAttribute("role", "region");
    this.body.setAttribute("aria-label", "The text, token by token");
    root.append(this.body);
    this.spans = [];
    this.first = 0;
    const token = (event) => {
      const span = event.target.closest?.("span[data-t]");
      return span ? { token: Number(span.dataset.t), layer: view.focus?.layer ?? 0 } : null;
    };
    this.body.addEventListener("pointerover", (event) => view.setHover(token(event)));
    this.body.addEventListener("pointerleave", () => view.setHover(null));
    this.body.addEventListener("click", (event) => {
      const cell = token(event);
      if (cell) view.lock(view.locked?.token === cell.token ? null : cell);
    });
  }

  clear() {
    this.spans = [];
    this.first = 0;
    this.body.replaceChildren();
  }

  update() {
    const { store, view } = this;
    const seen = store.seen(view.clock);
    const locked = view.locked?.token;
    // The stretch follows the newest token at the clock, or stays around a locked one.
    const end = locked === undefined ? seen : Math.min(store.length, locked + SHOWN / 2);
    const first = Math.max(0, end - SHOWN);
    this.#stretch(first, end);
    this.#shade();
    if (locked === undefined) this.body.scrollTop = this.body.scrollHeight;
    else this.spans[locked - first]?.scrollIntoView({ block: "nearest" });
  }

  #stretch(first, end) {
    if (first !== this.first || end < this.first + this.spans.length) {
      // Reuse what stays in sight: drop from the front, or start anew after a jump.
      const stays = this.spans.slice(first - this.first);
      if (first > this.first && stays.length) {
        for (const span of this.spans.slice(0, first - this.first)) span.remove();
        this.spans = stays;
      } else this.clear();
      this.first = first;
      while (this.spans.length > end - first) this.spans.pop().remove();
    }
    const added = [];
    const from = first + this.spans.length;
    for (let t = from; t < end; t++) {
      const span = el("span", { textContent: this.store.tokens[t] });
      span.dataset.t = t;
      if (t >= (this.store.setup.promptTokens ?? Infinity)) span.className = "lc-new";
      this.spans.push(span);
      added.push(span);
    }
    this.body.append(...added);
  }

  #shade() {
    const { store, view } = this;
    const layers = store.layers || 1;
    this.spans.forEach((span, k) => {
      const holders = store.holders(this.first + k, view.clock);
      const share = Math.round((8 * holders) / layers);
      const shade = holders && !share ? 1 : share;
      if (span.dataset.h !== String(shade)) span.dataset.h = shade;
      const marked = view.focus?.token === this.first + k;
      if (span.classList.contains("lc-marked") !== marked) span.classList.toggle("lc-marked", marked);
    });
  }
}
