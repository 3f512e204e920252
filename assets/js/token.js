// The token that is locked or pointed at, with all that is known of it: what it is, which layers held
// it how long, and the attention it received over the run. Of a fixed height, so that nothing jumps.

import { button, count, el, ordinal, paced, percent, setChildren, setText, svg, throttled, visible } from "./dom.js";
import { drops, received } from "./history.js";
import { heldBy, layerDots } from "./readout.js";
import { standIn } from "./standin.js";

const SOON_MS = 60; // a pointer passes over many tokens
const LIVE_MS = 700; // while a run goes on and nobody points at anything
const DECADES = 5; // of the attention's scale, from 0.001 % to all
const EMPTY = "Point at a word or a cell to see which layers held it how long, and how much attention it received.";

export class TokenPanel {
  constructor(root, store, view) {
    Object.assign(this, { root, store, view });
    this.free = button("Unlock", "Let the token go (Escape)", () => view.lock(null));
    this.said = el("p", { className: "lc-note" });
    const head = el(
      "div", { className: "lc-head" },
      el("div", {}, el("h2", { textContent: "The token" }), this.said),
      el("div", { className: "lc-group" }, this.free),
    );
    this.face = el("p", { className: "lc-face" });
    this.facts = el("dl", { className: "lc-facts" });
    this.lives = chart("Layers", "1", "");
    this.attention = chart("Attention", "100 %", "0.001 %");
    this.ends = el("p", { className: "lc-ends" }, el("span"), el("span"));
    this.full = el("div", { className: "lc-token" }, this.face, this.facts, this.lives.node, this.attention.node, this.ends);
    this.empty = el("p", { className: "lc-box-empty", textContent: EMPTY });
    this.box = el("div", { className: "lc-box" }, this.full, this.empty);
    root.append(head, this.box);
    this.soon = throttled(() => this.#show(), SOON_MS);
    this.due = paced(LIVE_MS);
  }

  update() {
    if (this.view.focus || !this.store.running) this.soon();
    else if (this.due()) this.#show();
  }

  #show() {
    const { store, view } = this;
    const pointed = view.focus && view.focus.token < store.length ? view.focus : null;
    const cell = pointed || standIn(store, view.clock);
    this.free.hidden = !view.locked;
    this.box.classList.toggle("lc-locked", Boolean(view.locked));
    this.full.hidden = !cell;
    this.empty.hidden = Boolean(cell);
    this.root.classList.toggle("lc-nothing", !cell);
    setText(this.said, view.locked ? "Locked" : pointed ? "Under the pointer; a click keeps it" : capital(cell?.why || "None is pointed at"));
    if (!cell) return;
    this.#facts(cell);
    this.#lives(cell);
    this.#attention(cell);
    setText(this.ends.firstChild, "step 1");
    setText(this.ends.lastChild, `step ${count(store.steps)}`);
  }

  #facts({ token }) {
    const { store, view } = this;
    const own = store.tokens[token];
    const spaces = own.trim() ? own.length - own.replace(/^ +/, "").length : 0;
    setChildren(this.face, [el("mark", {}, el("i", { textContent: "␣".repeat(spaces) }), visible(own.slice(spaces)))]);
    const loss = store.nll[token];
    const facts = [
      ["id", count(store.ids[token])],
      ["token", `${ordinal(token)} of ${count(store.length)}`],
      ["loss", Number.isNaN(loss) ? "not known" : loss.toFixed(2)],
      ...(store.heads > 1 ? [["heads", this.#headsInWords(token)]] : []),
      ["held by", heldBy(store, token, view.clock)],
    ].map(([name, value]) => el("div", {}, el("dt", { textContent: name }), el("dd", { textContent: value })));
    facts.at(-1).append(layerDots(store, token, view.clock));
    setChildren(this.facts, facts);
  }

  /** A line a layer, or a thinner one a head, from the step in which the token joined to the one that dropped it. */
  #lives({ token, layer }) {
    const { store, view, lives } = this;
    const end = store.steps;
    const joined = store.joinedAt[token];
    const { heads } = store;
    const thick = 0.76 / heads;
    const bar = (at) => store.rowsOfLayer[at].map((row, head) => {
      const gone = store.evictedAt[row][token];
      return `M${joined} ${at + 0.12 + head * thick}H${gone < 0 ? end : Math.max(gone, joined + 0.4)}v${thick}H${joined}z`;
    }).join("");
    const all = store.rowOfLayer.map((_, at) => at).filter((at) => at !== layer);
    lives.draw(end, store.layers, view.clock, [
      svg("path", { class: "lc-chart-bars", d: all.map(bar).join("") }),
      ...(layer === null ? [] : [svg("path", { class: "lc-chart-own", d: bar(layer) })]),
    ]);
    setText(lives.low, count(store.layers));
    lives.say(this.#dropsInWords(token));
  }

  /** How many of all heads hold it. */
  #headsInWords(token) {
    const { store, view } = this;
    let held = 0;
    for (let layer = 0; layer < store.layers; layer++) held += store.headsHolding(layer, token, view.clock);
    return `${held} of ${store.layers * store.heads}`;
  }

  #dropsInWords(token) {
    const { store } = this;
    const found = drops(store, token);
    if (!found.length) return "no layer dropped it";
    const said = found.slice(0, 2).map(([step, layers], k) => `${layers}${k ? " at" : " dropped it at step"} ${ordinal(step)}`);
    const rest = found.slice(2).reduce((sum, [, layers]) => sum + layers, 0);
    return said.join(", ") + (rest ? `, ${rest} later` : "");
  }

  /** Two lines on a logarithmic scale: the layer's, and the mean of all layers. */
  #attention({ token, layer }) {
    const { store, view, attention } = this;
    const { steps, mean, layer: own } = received(store, token, layer);
    const height = (share) => Math.min(DECADES, Math.max(0, -Math.log10(share || 1e-9)));
    const line = (values) => {
      let d = "", on = false;
      steps.forEach((step, k) => {
        if (Number.isNaN(values[k])) on = false;
        else {
          d += `${on ? "L" : "M"}${step} ${height(values[k]).toFixed(3)}`;
          if (!on) d += "h.01"; // a single point is seen too
          on = true;
        }
      });
      return d;
    };
    attention.draw(store.steps, DECADES, view.clock, [
      svg("path", { class: "lc-chart-mean", d: line(mean) }),
      ...(own ? [svg("path", { class: "lc-chart-line", d: line(own) })] : []),
    ]);
    let now = steps.length - 1;
    while (now >= 0 && steps[now] > view.clock) now--;
    const amount = (values) => (now < 0 || Number.isNaN(values[now]) ? "none" : percent(values[now]).replace("under", "<"));
    const said = [["mean", `mean: ${amount(mean)}`]];
    if (own) said.unshift(["line", `layer ${layer + 1}: ${amount(own)}`]);
    attention.say(store.frames.length ? said : "not observed in this run");
  }
}

function capital(words) {
  return words[0].toUpperCase() + words.slice(1);
}

/** A small chart over the run's clock, with names at the top and bottom of its height. */
function chart(title, top, bottom) {
  const said = el("span");
  const picture = svg("svg", { class: "lc-chart", preserveAspectRatio: "none", role: "img" });
  const low = el("span", { textContent: bottom });
  const node = el(
    "div", { className: "lc-charted" },
    el("p", {}, el("span", { textContent: title }), said),
    el("div", { className: "lc-chart-axis" }, el("span", { textContent: top }), low), picture,
  );
  return {
    node, low,
    draw(span, height, clock, parts) {
      picture.setAttribute("viewBox", `0 0 ${span} ${height}`);
      picture.replaceChildren(
        ...parts,
        svg("rect", { class: "lc-chart-later", x: clock + 1, y: 0, width: Math.max(0, span - clock - 1), height }),
        svg("path", { class: "lc-chart-clock", d: `M${clock + 0.5} 0V${height}` }),
      );
    },
    say(words) {
      const parts = typeof words === "string" ? [["", words]] : words;
      setChildren(said, parts.map(([name, text]) =>
        el("span", {}, ...(name ? [el("i", { className: `lc-key lc-key-${name}` })] : []), text)));
      picture.setAttribute("aria-label", `${title}: ${parts.map(([, text]) => text).join(", ")}`);
    },
  };
}
