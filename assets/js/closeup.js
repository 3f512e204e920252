// A compaction, close up: the group before and after, which words each layer pattern kept, where the
// cursor went, and a sentence. Speaks of the compaction that View names.

import { button, count, counted, el, ordinal, svg, throttled, visible } from "./dom.js";
import { compacts, eventName } from "./events.js";
import { Groups } from "./groups.js";
import { drawStrip } from "./strip.js";
import { followers, layersInWords, tell } from "./telling.js";

const WIDE = 24; // entries of a group beyond which only what went is shown
const MOST = 40; // words in a row
const LIVE_MS = 700; // while a run goes on, at a pace that can be read
const EMPTY = "Once the budget is full, entries are dropped a group at a time. Each time, this shows which words "
  + "each layer kept, and which it let go.";

export class Closeup {
  constructor(root, store, view) {
    Object.assign(this, { root, store, view, groups: new Groups(store), shown: null });
    this.previous = button("previous", "One back (<)", () => this.go(-1));
    this.next = button("next", "One on (>)", () => this.go(1));
    this.said = el("p", { className: "lc-note" });
    this.heading = el("h2");
    const head = el(
      "div", { className: "lc-head" },
      el("div", {}, this.heading, this.said),
      el("div", { className: "lc-group" }, this.previous, this.next),
    );
    this.strip = svg("svg", { class: "lc-strip", role: "img" });
    this.table = el("table", { className: "lc-cells" });
    this.scroll = el("div", { className: "lc-scroll", tabIndex: 0 }, this.table);
    this.scroll.setAttribute("role", "region");
    this.scroll.setAttribute("aria-label", "What each layer kept of the group");
    this.sentence = el("div", { className: "lc-sentence", tabIndex: 0 }); // what is too long for it scrolls
    this.sentence.setAttribute("role", "region");
    this.sentence.setAttribute("aria-label", "In words");
    this.empty = el("p", { className: "lc-box-empty", textContent: EMPTY });
    this.box = el("div", { className: "lc-box" }, this.strip, this.scroll, this.sentence, this.empty);
    root.append(head, this.box);
    this.slowly = throttled(() => this.#show(), LIVE_MS);
    this.resizing = new ResizeObserver(([entry]) => {
      this.width = entry.contentRect.width;
      if (this.group) drawStrip(this.strip, this.width, store, this.group);
    });
    this.resizing.observe(this.box);
  }

  /** To the compaction before or after, also within one step. */
  go(direction) {
    const { view, store } = this;
    view.chooseCompaction(Math.max(0, Math.min(store.compactions.length - 1, view.compaction + direction)));
  }

  update() {
    const { store, view } = this;
    const at = view.compaction;
    this.previous.disabled = at < 1;
    this.next.disabled = at >= store.compactions.length - 1;
    if (store.running && view.following && this.shown !== null) this.slowly();
    else this.#show();
  }

  #show() {
    const { store, view } = this;
    const at = view.compaction;
    const heading = compacts(store) ? "A compaction, close up" : `An ${eventName(store)}, close up`;
    if (this.heading.textContent !== heading) this.heading.textContent = heading;
    const key = `${store.run}/${at}`;
    const event = store.compactions.get(at);
    const here = event?.step === view.clock ? "" : `, ${counted(view.clock - event?.step, "step")} ago`;
    const said = event
      ? `${ordinal(at)} of ${count(store.compactions.length)}${event.restart && compacts(store) ? ", a restart pass" : ""}${here}`
      : store.steps ? "None by now: everything still fits." : "None yet";
    if (this.said.textContent !== said) this.said.textContent = said;
    if (this.shown === key) return;
    this.shown = key;
    this.group = this.groups.at(at);
    for (const node of [this.strip, this.scroll, this.sentence]) node.toggleAttribute("hidden", !this.group);
    this.empty.hidden = Boolean(this.group);
    if (!this.group) return;
    this.sentence.textContent = tell(store, this.group);
    this.strip.setAttribute("aria-label", this.#stripInWords());
    if (this.width) drawStrip(this.strip, this.width, store, this.group);
    if (event.width > WIDE) this.#list();
    else this.#cells();
  }

  #stripInWords() {
    const { event, length, cursor } = this.group;
    return `Each ${this.store.heads > 1 ? "head" : "layer"}: ${counted(length, "entry", "entries")} before, ${length - event.width + event.kept} after`
      + (compacts(this.store) ? `; the cursor at entry ${ordinal(cursor)} before, ${ordinal(event.cursor)} after.` : ".");
  }

  /** A cell an entry: the group before, and what became of it. */
  #cells() {
    const { event, patterns } = this.group;
    const heads = Array.from({ length: event.width }, (_, k) => event.start + k);
    const after = heads.slice(0, event.kept);
    const head = el("tr", {}, el("th", { textContent: "entry" }), ...heads.map((n) => el("th", { textContent: ordinal(n) })));
    if (event.kept) head.append(arrow("th"), ...after.map((n) => el("th", { textContent: ordinal(n) })));
    const rows = patterns.map((pattern) => {
      const { tokens, kept } = pattern;
      const row = el("tr", {}, this.#layers(pattern));
      row.append(...tokens.map((token, k) => this.#word(token, kept[k])));
      if (event.kept) row.append(arrow("td"), ...tokens.filter((_, k) => kept[k]).map((t) => this.#word(t, true)));
      return row;
    });
    this.table.replaceChildren(el("thead", {}, head), el("tbody", {}, ...rows));
  }

  /** Of a group too wide for that, what went. */
  #list() {
    const { patterns } = this.group;
    const rows = patterns.map((pattern) => {
      const { tokens, kept } = pattern;
      const went = tokens.filter((_, k) => !kept[k]);
      const words = el("td", { className: "lc-went" }, ...went.slice(0, MOST).map((t) => this.#face(t, false)));
      if (went.length > MOST) words.append(`and ${count(went.length - MOST)} more`);
      return el("tr", {}, this.#layers(pattern), words);
    });
    const head = el("tr", {}, el("th", { textContent: this.store.heads > 1 ? "layer · head" : "layers" }), el("th", { textContent: "dropped" }));
    this.table.replaceChildren(el("thead", {}, head), el("tbody", {}, ...rows));
  }

  #layers(pattern) {
    const { layers, head } = pattern;
    const text = layersInWords(layers, this.store.layers).replace(/^layers? (?=\d)/, "");
    const node = el("th", { scope: "row", textContent: head === null ? text : `${text} · ${ordinal(head)}` });
    node.title = head !== null
      ? followers(pattern, this.store.layers).replace(/,$/, "")
      : layers.length === this.store.layers ? "every layer" : `layers ${layers.join(", ")}`;
    return node;
  }

  #word(token, kept) {
    return el("td", {}, this.#face(token, kept));
  }

  #face(token, kept) {
    const text = this.store.tokens[token];
    const node = el(kept ? "b" : "del", { textContent: visible(text.trim() ? text.trim() : text) });
    node.title = `token ${ordinal(token)}, ${kept ? "kept" : "dropped"}`;
    return node;
  }
}

function arrow(tag) {
  const node = el(tag, { className: "lc-arrow", textContent: "→" });
  node.setAttribute("aria-label", "after");
  return node;
}
