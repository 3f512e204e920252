// What is known of the cell that is looked at, in words. A second copy, renewed less often, is what
// screen readers read out.

import { counted, el, ordinal, percent, setChildren, throttled, visible } from "./dom.js";
import { standIn } from "./standin.js";

const SAY_EVERY_MS = 900;
const HINT = "Point at a cell or a word to see what became of it. A click keeps it, Escape lets it go.";
const CONTEXT = 7; // tokens of the text shown to either side

const WORDS = {
  unseen: "not seen yet",
  dropped: "dropped",
  sink: "held for good (sink)",
  reserve: "held (among the newest)",
  held: "held",
};

/** How many layers hold a token, in words. */
export function heldBy(store, token, clock) {
  if (store.joinedAt[token] > clock) return "no layer yet: it joins the cache later";
  return `${store.holders(token, clock)} of ${counted(store.layers, "layer")}`;
}

export class Readout {
  /** `name` says which run it speaks of, where there are several. */
  constructor(root, store, view, name = "") {
    Object.assign(this, { root, store, view, name });
    this.context = el("p", { className: "lc-context" });
    this.facts = el("dl", { className: "lc-facts" });
    this.spoken = el("p", { className: "lc-hidden" });
    this.spoken.setAttribute("aria-live", "polite");
    root.append(this.context, this.facts, this.spoken);
    this.say = throttled(() => (this.spoken.textContent = this.text()), SAY_EVERY_MS);
  }

  get cell() {
    const cell = this.view.focus;
    return cell && cell.token < this.store.length ? cell : null;
  }

  update() {
    const { cell } = this;
    this.root.classList.toggle("lc-locked", Boolean(this.view.locked));
    if (!cell) {
      if (this.context.textContent !== HINT) this.context.textContent = HINT;
      this.context.className = "lc-hint";
      if (this.spoken.textContent) this.spoken.textContent = ""; // of another run, perhaps
      this.#example();
      return;
    }
    this.context.className = "lc-context";
    this.#around(cell.token);
    this.#show(this.parts(cell));
    this.say();
  }

  #show(parts) {
    setChildren(this.facts, parts.map(([name, value, extra]) => {
      const shown = el("dd", { textContent: value });
      if (extra) shown.append(extra);
      return el("div", {}, el("dt", { textContent: name }), shown);
    }));
  }

  /** What would be said of a token, while none is pointed at. */
  #example() {
    const { store, view } = this;
    const cell = standIn(store, view.clock);
    if (!cell) {
      this.facts.replaceChildren();
      return;
    }
    const word = visible(store.tokens[cell.token].trim() || store.tokens[cell.token]);
    this.#show([["for example", `“${word}”`], ...this.parts(cell).filter(([name]) => name !== "loss"), [cell.why, ""]]);
  }

  /** The token among its neighbours. */
  #around(token) {
    const { tokens, length } = this.store;
    const piece = (from, to) => tokens.slice(Math.max(0, from), Math.min(length, to)).join("").replace(/\s+/g, " ");
    const before = piece(token - CONTEXT, token), after = piece(token + 1, token + 1 + CONTEXT);
    const own = tokens[token];
    this.context.replaceChildren(
      token > CONTEXT ? "… " : "", before, own.trim() && own.startsWith(" ") ? " " : "",
      el("mark", { textContent: visible(own.trim() ? own.replace(/^ +| +$/g, "") : own) }),
      after, token + CONTEXT < length ? " …" : "",
    );
  }

  /** Name, value and what stands behind it, for each thing that is known of a cell. */
  parts({ token, layer }) {
    const { store, view } = this;
    const clock = view.clock;
    const parts = [["token", ordinal(token)]];
    if (layer !== null) {
      const state = store.cell(layer, token, clock);
      const holding = store.headsHolding(layer, token, clock);
      const some = holding > 0 && store.heads > 1; // nothing of the layer's heads where they are alike
      const held = some ? `held by ${holding} of ${counted(store.heads, "head")}` : WORDS[state];
      parts.push([`layer ${ordinal(layer)}`, held + this.#since(state, layer, token)]);
      const head = store.heads > 1 ? `, head ${ordinal(view.head)}` : "";
      const slot = head && !view.slots ? -1 : store.moment.slot(store.rowOf(layer, view.head), token, clock);
      if (slot >= 0) parts.push([`slot${head}`, ordinal(slot)]);
    }
    parts.push(["held by", heldBy(store, token, clock), layerDots(store, token, clock)]);
    const loss = store.nll[token];
    if (!Number.isNaN(loss)) parts.push(["loss", loss.toFixed(2)]);
    if (layer !== null) parts.push(...this.#attention(layer, token));
    return parts;
  }

  /** What the last query gave the cell or, where that is shown, all observed ones. */
  #attention(layer, token) {
    const { store, view } = this;
    if (view.mode === "attention" && view.accumulated) {
      const { count: queries } = store.accumulated.upTo(view.clock);
      if (!queries) return [];
      const share = store.accumulated.share(layer, token);
      const over = `mean of ${counted(queries, "query", "queries")}`;
      return [["attention", share === null ? "none" : `${percent(share)} of the layer's, ${over}`]];
    }
    const frame = store.frame(view.clock);
    if (!frame) return [];
    const own = view.slots && store.heads > 1; // what is shown is one head's
    const share = store.share(frame, layer, token, own ? view.head : null);
    const whose = own ? `head ${ordinal(view.head)}'s` : "the layer's";
    const when = frame.step === view.clock ? "" : ` at step ${ordinal(frame.step)}`;
    return [["attention", share === null ? "none" : `${percent(share)} of ${whose}${when}`]];
  }

  #since(state, layer, token) {
    if (state !== "dropped") return "";
    const { store } = this;
    const gone = store.goneAt[store.rowOfLayer[layer]][token];
    return `${store.heads > 1 ? " by the last head" : ""} at step ${ordinal(gone)}, after ${counted(store.seen(gone), "token")}`;
  }

  text() {
    const { cell } = this;
    if (!cell) return "";
    const said = this.parts(cell).map(([name, value]) => `${name}: ${value}`).join("; ");
    return `${this.name && `${this.name}: `}“${visible(this.store.tokens[cell.token])}”; ${said}.`;
  }
}

/** One mark a layer: filled where the token is held, as far up as heads of the layer hold it. */
export function layerDots(store, token, clock) {
  if (store.joinedAt[token] > clock) return ""; // none could hold it
  const marks = Array.from({ length: store.layers }, (_, layer) => {
    const held = store.headsHolding(layer, token, clock);
    const mark = el("i", { className: held ? "lc-dot lc-dot-held" : "lc-dot" });
    if (held && held < store.heads) mark.style.setProperty("--lc-share", `${(100 * held) / store.heads}%`);
    return mark;
  });
  const dots = el("span", { className: "lc-dots" }, ...marks);
  dots.setAttribute("aria-hidden", "true");
  return dots;
}
