// Where one run forgot what the other still knew: the tokens with the largest difference in loss and,
// for the one that is chosen, which earlier tokens the other could still look at.

import { button, count, counted, el, ordinal, percent, visible } from "./dom.js";
import { NOTABLE, onlyInReach } from "./losses.js";

const MOST = 14; // tokens in the list
const WORDS = 60; // earlier tokens that are spelled out
const BEFORE = 4; // tokens of the text before each
const LOOKED = 5; // of the earlier tokens, those that got most attention

export class Forgot {
  /** `choose(token)` brings clock and maps to where the token was predicted. */
  constructor(root, pair, view, losses, choose) {
    Object.assign(this, { root, pair, view, losses, choose, of: "a", chosen: null });
    this.heading = el("h2");
    this.swap = button("The other way", "Where the other one lost more", () => {
      this.of = this.of === "a" ? "b" : "a";
      this.chosen = null;
      this.update();
    });
    this.note = el("p", { className: "lc-note" });
    this.list = el("ol", { className: "lc-lost" });
    const columns = ["", "A", "B", "A − B"].map((name) => el("span", { textContent: name }));
    this.columns = el("div", { className: "lc-lost-head", ariaHidden: "true" }, ...columns);
    this.told = el("div", { className: "lc-told" });
    this.told.setAttribute("aria-live", "polite");
    this.list.addEventListener("click", (event) => {
      const item = event.target.closest("button");
      if (!item) return;
      this.chosen = Number(item.dataset.token);
      this.choose(this.chosen);
      this.update();
    });
    root.append(
      el("div", { className: "lc-head" }, el("div", {}, this.heading, this.note), el("div", { className: "lc-group" }, this.swap)),
      el("div", { className: "lc-box lc-lost-box" }, el("div", { className: "lc-lost-list", tabIndex: 0 }, this.columns, this.list), this.told),
    );
    const scroll = root.querySelector(".lc-lost-list");
    scroll.setAttribute("role", "region");
    scroll.setAttribute("aria-label", "Tokens with the largest difference");
  }

  update() {
    const { pair, view, losses, of } = this;
    const other = of === "a" ? "B" : "A", own = of.toUpperCase();
    const seen = pair.seen(view.clock);
    const found = losses.largest(losses.length, of, MOST);
    set(this.heading, found.length ? `Where ${own} forgot what ${other} still knew` : `Where ${own} lost more than ${other}`);
    if (this.chosen !== null && this.chosen >= losses.length) this.chosen = null;
    const key = `${losses.run}/${losses.length}/${of}/${this.chosen}/${found.filter((t) => t < seen).length}/${pair.running}`;
    if (this.shown === key) return;
    this.shown = key;
    set(this.note, found.length
      ? `The tokens that surprised ${own} most against ${other}, by ${NOTABLE} nats or more.`
      : losses.length ? `Nowhere${pair.running ? " yet" : ""}: no token surprised ${own} by ${NOTABLE} nats more.` : "Once both have read.");
    this.columns.hidden = !found.length;
    this.list.replaceChildren(...found.map((token) => this.#item(token, token >= seen)));
    this.#tell();
  }

  #item(token, later) {
    const { pair, losses } = this;
    const item = el("button", { type: "button", className: later ? "lc-later" : "" },
      el("span", { className: "lc-lost-word" }, el("i", { textContent: before(pair.tokens, token) }), word(pair.tokens[token])),
      el("span", { textContent: pair.a.nll[token].toFixed(2) }),
      el("span", { textContent: pair.b.nll[token].toFixed(2) }),
      el("b", { textContent: `${losses.difference(token) > 0 ? "+" : "−"}${Math.abs(losses.difference(token)).toFixed(2)}` }));
    item.dataset.token = token;
    item.title = `token ${ordinal(token)}`;
    item.setAttribute("aria-label", `${visible(pair.tokens[token])}, token ${ordinal(token)}: loss of A ${pair.a.nll[token].toFixed(2)}, of B ${pair.b.nll[token].toFixed(2)}`);
    if (token === this.chosen) item.setAttribute("aria-current", "true");
    return el("li", {}, item);
  }

  #tell() {
    const { pair, chosen, of } = this;
    if (chosen === null) {
      this.told.replaceChildren(el("p", { className: "lc-note", textContent: "Choose a token to see what the other one could still look at when it came." }));
      return;
    }
    const other = of === "a" ? "b" : "a";
    const found = onlyInReach(pair[other], pair[of], chosen);
    const layers = pair.layers;
    const name = other.toUpperCase(), own = of.toUpperCase();
    const said = [el("p", {}, el("b", { textContent: `“${visible(pair.tokens[chosen].trim() || pair.tokens[chosen])}”` }),
      found.length
        ? ` When it was predicted, ${name} still held ${counted(found.length, "earlier token")} that ${own} had dropped in every layer.`
        : ` When it was predicted, ${name} held no earlier token that ${own} had dropped in every layer; it may have held some in more layers.`)];
    const same = found.filter(([t]) => pair.longer.ids[t] === pair.longer.ids[chosen]);
    if (same.length) {
      const [at, held] = same.reduce((best, one) => (one[1] > best[1] ? one : best));
      said.push(el("p", {}, `The same token was token ${ordinal(at)} of the text: ${name} held it in ${held} of ${layers} layers, ${own} in none.`));
    }
    const looked = this.#looked(found.map(([t]) => t), other, chosen);
    if (looked.length) {
      said.push(el("p", {}, `Of these ${name} looked most at `, ...looked.flatMap(([t, share], k) =>
        [k ? ", " : "", this.#chip(t, same), ` ${percent(share)}`]), "."));
    }
    if (found.length) {
      const shown = found.slice(0, WORDS);
      said.push(el("p", { className: "lc-kept" }, ...shown.map(([t]) => this.#chip(t, same)), found.length > WORDS ? ` and ${count(found.length - WORDS)} more` : ""));
    }
    this.told.replaceChildren(...said);
  }

  #chip(token, same) {
    const { tokens } = this.pair;
    const node = el("mark", { textContent: visible(tokens[token].trim() || tokens[token]), title: `token ${ordinal(token)}` });
    if (same.some(([t]) => t === token)) node.className = "lc-same";
    return node;
  }

  /** Those of the tokens that got most of the mean attention, where that query was observed. */
  #looked(tokens, side, token) {
    const store = this.pair[side];
    const step = store.joinedAt[token - 1];
    const frame = store.frame(step);
    if (!frame || frame.step !== step) return [];
    const mean = (t) => {
      let sum = 0;
      for (let layer = 0; layer < store.layers; layer++) sum += store.share(frame, layer, t) || 0;
      return sum / store.layers;
    };
    return tokens.map((t) => [t, mean(t)]).sort((x, y) => y[1] - x[1]).slice(0, LOOKED).filter(([, share]) => share > 1e-4);
  }
}

function before(tokens, token) {
  return tokens.slice(Math.max(0, token - BEFORE), token).join("").replace(/\s+/g, " ");
}

function word(token) {
  const lead = token.startsWith(" ") ? " " : "";
  return el("span", {}, lead, el("mark", { textContent: visible(token.trim() || token) }));
}

function set(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
