// The text as tokens, each shaded by how many layers still hold it. It lies in stretches of some
// dozens of tokens; one in sight has an element for each token, any other is plain text, so that
// long texts stay light.

import { el } from "./dom.js";
import { inFact } from "./fact.js";

const SHADES = 8;
const STRETCH = 64; // tokens
// Tokens that are laid out together. Longer texts are cut, at a line end if there is one: where they
// are cut, copied text has an empty line more.
const BLOCK = 1200, BLOCK_MOST = 2400;
const EMPTY = "The text will run here, every word shaded by how many layers still hold it.";

export class Words {
  /** `shadeOf(token, clock)` names the shade of a token; by default by the layers that hold it. */
  constructor(root, store, view, { shadeOf = null, label = "The text, token by token" } = {}) {
    Object.assign(this, { root, store, view, shadeOf });
    this.body = el("div", { className: "lc-words-body", tabIndex: 0 });
    this.body.setAttribute("role", "region");
    this.body.setAttribute("aria-label", label);
    root.append(this.body);
    this.sight = new IntersectionObserver((entries) => this.#sighted(entries), {
      root: this.body,
      rootMargin: "200px",
    });
    this.clear();
    const cell = (event) => {
      const span = event.target.closest?.("span[data-t]");
      return span ? { token: Number(span.dataset.t), layer: view.locked?.layer ?? null } : null;
    };
    this.body.addEventListener("pointerover", (event) => view.setHover(cell(event)));
    this.body.addEventListener("pointerleave", () => view.setHover(null));
    this.body.addEventListener("click", (event) => {
      const found = cell(event);
      if (found) view.lock(view.locked?.token === found.token ? null : found);
    });
    this.body.addEventListener("scroll", () => {
      const { scrollTop, scrollHeight, clientHeight } = this.body;
      this.atEnd = scrollTop + clientHeight > scrollHeight - 24;
    });
  }

  clear() {
    this.sight.disconnect();
    this.stretches = []; // {node, first, end, spans}; spans are null where it is plain text
    this.block = null; // {node, size}
    this.atEnd = true; // the newest words are kept in sight until somebody scrolls away
    this.shown = "";
    this.body.replaceChildren(el("p", { className: "lc-note", textContent: EMPTY }));
  }

  update() {
    this.write();
    this.scroll();
  }

  /** Everything but what is in sight of it. */
  write() {
    const { store } = this;
    if (this.run !== store.run) {
      this.run = store.run;
      this.clear();
    }
    if (store.length && !this.stretches.length) this.body.replaceChildren();
    this.#grow();
    for (const stretch of this.stretches) if (stretch.spans) this.#shade(stretch);
  }

  /** Brings into sight what is spoken of; has the page laid out, so it comes after all that is written. */
  scroll() {
    const { store, view } = this;
    const locked = view.locked?.token;
    const goal = locked !== undefined ? `at ${locked}` : view.following ? "end" : `seen ${view.clock}`;
    if (goal === this.shown && (goal !== "end" || !this.atEnd)) return;
    const freed = goal === "end" && this.shown.startsWith("at "); // a token was let go: stay where it was looked at
    this.shown = goal;
    if (freed && !this.atEnd) return;
    if (goal === "end") this.body.scrollTop = this.body.scrollHeight;
    else this.#scrollTo(locked ?? store.seen(view.clock) - 1);
  }

  /** Takes in the tokens that are new. */
  #grow() {
    const { store, stretches } = this;
    let stretch = stretches.at(-1);
    for (let t = stretch ? stretch.end : 0; t < store.length; t++) {
      if (this.#newBlock(t)) {
        const node = el("div", { className: this.#written(t) ? "lc-block lc-written" : "lc-block" });
        if (t === store.setup.promptTokens) node.classList.add("lc-written-first");
        this.block = { node, size: 0 };
        this.body.append(node);
        stretch = null;
      }
      if (!stretch || stretch.end - stretch.first >= STRETCH) {
        stretch = { node: el("span", { className: "lc-stretch" }), first: t, end: t, spans: [] };
        stretch.node.dataset.from = t;
        stretches.push(stretch);
        this.block.node.append(stretch.node);
        this.sight.observe(stretch.node);
      }
      stretch.end = t + 1;
      this.block.size++;
      if (stretch.spans) this.#add(stretch, t);
      else stretch.node.append(store.tokens[t]);
    }
  }

  #written(token) {
    const { promptTokens, mode } = this.store.setup;
    return mode === "generate" && token >= promptTokens;
  }

  #newBlock(token) {
    if (!this.block || this.#written(token) !== this.#written(token - 1)) return true;
    const { size } = this.block;
    return size >= BLOCK_MOST || (size >= BLOCK && this.store.tokens[token - 1].endsWith("\n"));
  }

  #add(stretch, t) {
    const span = el("span", { textContent: this.store.tokens[t] });
    span.dataset.t = t;
    if (inFact(this.store, t)) span.classList.add("lc-fact");
    stretch.spans.push(span);
    stretch.node.append(span);
  }

  #sighted(entries) {
    for (const { target, isIntersecting } of entries) {
      const stretch = this.stretches[this.#stretchOf(Number(target.dataset.from))];
      if (!stretch || stretch.node !== target || isIntersecting === Boolean(stretch.spans)) continue;
      if (isIntersecting) this.#unfold(stretch);
      else {
        stretch.spans = null;
        target.textContent = this.store.tokens.slice(stretch.first, stretch.end).join("");
      }
    }
  }

  #unfold(stretch) {
    stretch.node.replaceChildren();
    stretch.spans = [];
    for (let t = stretch.first; t < stretch.end; t++) this.#add(stretch, t);
    this.#shade(stretch);
  }

  #stretchOf(token) {
    let low = 0, high = this.stretches.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.stretches[middle].end <= token) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #scrollTo(token) {
    const stretch = this.stretches[this.#stretchOf(Math.max(0, token))];
    if (!stretch) return;
    if (!stretch.spans) this.#unfold(stretch);
    const span = stretch.spans[token - stretch.first];
    if (!span) return;
    const { scrollTop, clientHeight } = this.body;
    const top = span.offsetTop, bottom = top + span.offsetHeight;
    if (top < scrollTop + 8 || bottom > scrollTop + clientHeight - 8) {
      this.body.scrollTop = top - clientHeight * 0.6;
    }
  }

  #share(token, clock, layers) {
    const holders = this.store.holders(token, clock);
    return String(holders ? Math.max(1, Math.round((SHADES * holders) / layers)) : 0);
  }

  #shade(stretch) {
    const { store, view } = this;
    const layers = store.layers || 1;
    const clock = view.clock, seen = store.seen(clock);
    const focused = view.focus?.token;
    stretch.spans.forEach((span, k) => {
      const token = stretch.first + k;
      const shade = token >= seen ? "later" : this.shadeOf ? this.shadeOf(token, clock) : this.#share(token, clock, layers);
      if (span.dataset.h !== shade) span.dataset.h = shade;
      const marked = token === focused;
      if (span.classList.contains("lc-marked") !== marked) span.classList.toggle("lc-marked", marked);
      const newest = token === seen - 1; // like a caret: what stands after it is not seen yet
      if (span.classList.contains("lc-newest") !== newest) span.classList.toggle("lc-newest", newest);
    });
  }
}
