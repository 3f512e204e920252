// A compaction, close up: the group before and after, which words each layer pattern kept, where the
// cursor went, and a sentence. Speaks of the compaction that View names.

import { button, count, counted, el, ordinal, paced, svg, visible } from "./dom.js";
import { compacts, eventName } from "./events.js";
import { Groups } from "./groups.js";
import { drawStrip } from "./strip.js";
import { followers, layersInWords, tell } from "./telling.js";

const WIDE = 24; // entries of a group beyond which only what went is shown
const MOST = 40, MOST_OF_A_HEAD = 12; // words in a row; heads have many rows
const NAMED = 2; // heads that did the same, by name
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
    this.due = paced(LIVE_MS);
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
    if (!store.running || !view.following || this.shown === null || this.due()) this.#show();
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
    const corner = this.store.heads > 1 ? "layer · head ↓ entry →" : "layers ↓ entry →";
    const head = el("tr", {}, el("th", { textContent: corner }), ...heads.map((n) => el("th", { textContent: ordinal(n) })));
    if (event.kept) head.append(arrow("th"), ...after.map((n) => el("th", { textContent: ordinal(n) })));
    const rows = alike(patterns, ({ tokens, kept }) => [tokens, kept]).map((same) => {
      const [{ tokens, kept }] = same;
      const row = el("tr", {}, this.#layers(same));
      row.append(...tokens.map((token, k) => this.#word(token, kept[k])));
      if (event.kept) row.append(arrow("td"), ...tokens.filter((_, k) => kept[k]).map((t) => this.#word(t, true)));
      return row;
    });
    this.table.replaceChildren(el("thead", {}, head), el("tbody", {}, ...rows));
  }

  /** Of a group too wide for that, what went. */
  #list() {
    const { patterns } = this.group;
    const most = this.store.heads > 1 ? MOST_OF_A_HEAD : MOST;
    const gone = ({ tokens, kept }) => tokens.filter((_, k) => !kept[k]);
    const rows = alike(patterns, gone).map((same) => {
      const went = gone(same[0]);
      const words = el("td", { className: "lc-went" }, ...went.slice(0, most).map((t) => this.#face(t, false)));
      if (went.length > most) words.append(`and ${count(went.length - most)} more`);
      return el("tr", {}, this.#layers(same), words);
    });
    const head = el("tr", {}, el("th", { textContent: this.store.heads > 1 ? "layer · head" : "layers" }), el("th", { textContent: "dropped" }));
    this.table.replaceChildren(el("thead", {}, head), el("tbody", {}, ...rows));
  }

  /** Who follows patterns that do the same: the title names all of them, the cell as many as fit. */
  #layers(same) {
    const [{ layers, head }] = same;
    const of = this.store.layers;
    const all = layers.length === of ? "every layer" : `layers ${layers.join(", ")}`;
    if (head === null) {
      const text = layersInWords(layers, of).replace(/^layers? (?=\d)/, "");
      return el("th", { scope: "row", textContent: text, title: all });
    }
    const names = same.map((one) => `${one.layers[0]} · ${ordinal(one.head)}`);
    const every = names.length === of * this.store.heads;
    const more = names.length > NAMED ? ` and ${count(names.length - NAMED)} more` : "";
    return el("th", {
      scope: "row",
      textContent: every ? "every head" : names.slice(0, NAMED).join(", ") + more,
      title: every ? "every head of every layer" : same.map((one) => followers(one, of).replace(/,$/, "")).join("; "),
    });
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

/** The patterns, those together of which the same is shown: of heads that is often so. */
function alike(patterns, shown) {
  const found = new Map();
  for (const pattern of patterns) {
    const key = String(shown(pattern));
    if (found.has(key)) found.get(key).push(pattern);
    else found.set(key, [pattern]);
  }
  return [...found.values()];
}

function arrow(tag) {
  const node = el(tag, { className: "lc-arrow", textContent: "→" });
  node.setAttribute("aria-label", "after");
  return node;
}
