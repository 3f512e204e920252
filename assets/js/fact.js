// Something that was said early and is needed late: its tokens are marked on the map and in the text.
// Of a needle, which was asked for at the end, a panel says which layers still held it when the
// question had been read, and whether the answer was right.

import { lowest } from "./arrays.js";
import { button, counted, el, percent } from "./dom.js";
import { MARGIN, MARGIN_TOP } from "./margins.js";

const BAND = 4; // pixels between the upper margin and the map
const AROUND = 24; // tokens in sight on either side

/** Whether a token belongs to it. */
export function inFact(store, token) {
  const { fact } = store.setup;
  return Boolean(fact) && token >= fact[0] && token <= fact[1];
}

/** By text position a band above its columns and lines at its edges; by slot a line under what a layer holds of it. */
export function markFact(g, map) {
  const { store, view, plot, palette } = map;
  const { fact } = store.setup;
  if (!fact || store.seen(view.clock) <= fact[0]) return;
  g.fillStyle = palette.fact;
  if (view.slots) {
    const { rows, lengths } = store.moment.entries(view.clock);
    const tall = Math.max(1.5, plot.row / 4);
    for (let layer = 0; layer < store.layers; layer++) {
      const p = store.rowOf(layer, view.head);
      const from = lowest(rows[p], lengths[p], fact[0]), to = lowest(rows[p], lengths[p], fact[1] + 1);
      if (to > from) g.fillRect(map.xOf(from), plot.y + (layer + 1) * plot.row - tall, map.xOf(to) - map.xOf(from), tall);
    }
    return;
  }
  const x = map.xOf(fact[0]), end = map.xOf(fact[1] + 1);
  const wide = Math.max(5, end - x);
  g.fillRect(x, MARGIN_TOP + MARGIN + 3, wide, BAND);
  g.globalAlpha = 0.8;
  for (const edge of [x, Math.max(x + wide, end)]) g.fillRect(edge - 0.5, MARGIN_TOP + MARGIN + 3, 1, plot.bottom - MARGIN_TOP - MARGIN);
  g.globalAlpha = 1;
}

/** The step that read the last token of the given text: what comes next is the model's answer. */
export function question(store) {
  return store.joinedAt[Math.max(0, store.setup.promptTokens - 1)];
}

/** For every layer the share of the fact's tokens that it holds after a step. */
export function sharesHeld(store, step) {
  const [first, last] = store.setup.fact;
  return Array.from({ length: store.layers }, (_, layer) => {
    let found = 0;
    for (let t = first; t <= last; t++) found += store.headsHolding(layer, t, step);
    return found / (store.heads * (last - first + 1));
  });
}

export class FactPanel {
  constructor(root, store, view) {
    Object.assign(this, { root, store, view });
    this.verdict = el("span", { className: "lc-chip" });
    this.answer = el("span");
    this.held = el("p", { className: "lc-fact-held" });
    this.layers = el("div", { className: "lc-fact-layers" });
    this.layers.setAttribute("role", "img");
    this.go = button("When it was asked", "Put the clock to the step in which the question had been read", () => this.show());
    this.near = button("Look at the needle", "Zoom to the needle's tokens", () => this.zoom());
    root.append(
      el("p", { className: "lc-fact-answer" }, this.verdict, this.answer),
      this.held,
      el("div", { className: "lc-fact-strip" }, el("span", { className: "lc-note", textContent: "layer 1" }), this.layers, this.last = el("span", { className: "lc-note" })),
      el("div", { className: "lc-group" }, this.go, this.near),
    );
    root.hidden = true;
  }

  update() {
    const { store, root } = this;
    const { needle, fact } = store.setup;
    root.hidden = !needle || !fact || store.length < store.setup.promptTokens; // not asked yet
    if (root.hidden || this.run === store.run) return;
    this.run = store.run;
    root.dataset.right = String(needle.correct);
    this.verdict.dataset.state = needle.correct ? "done" : "failed";
    this.verdict.textContent = needle.correct ? "Right" : "Wrong";
    this.answer.textContent = ` Hidden was “${needle.key}”. The model answered “${needle.answer.trim() || "nothing"}”.`;
    const shares = sharesHeld(store, question(store));
    const whole = shares.filter((s) => s === 1).length, none = shares.filter((s) => s === 0).length;
    const mean = shares.reduce((sum, s) => sum + s, 0) / shares.length;
    const parts = [
      whole ? `${whole} held all of it` : "",
      whole + none < shares.length ? `${shares.length - whole - none} held a part of it` : "",
      none ? `${none} held nothing of it` : "",
    ].filter(Boolean);
    this.held.textContent = `When the question had been read, of ${counted(shares.length, "layer")}: ${parts.join(", ")}; `
      + `on average ${mean ? percent(mean) : "0 %"} of the needle's ${counted(fact[1] - fact[0] + 1, "token")} (marked on the map).`;
    this.layers.replaceChildren(...shares.map((share, layer) => {
      const node = el("i", { title: `Layer ${layer + 1}: ${Math.round(share * 100)} % of the needle` });
      node.style.setProperty("--share", `${share * 100}%`);
      return node;
    }));
    this.layers.setAttribute("aria-label", `Share of the needle that each layer held: ${shares.map((s, k) => `layer ${k + 1} ${Math.round(100 * s)} %`).join(", ")}`);
    this.last.textContent = `layer ${shares.length}`;
  }

  /** The moment that decides: the question has been read, the answer not begun. */
  show() {
    this.view.setClock(question(this.store));
  }

  zoom() {
    const [first, last] = this.store.setup.fact;
    this.view.setAxis("text");
    this.view.show(first - AROUND, last - first + 1 + 2 * AROUND);
  }
}
