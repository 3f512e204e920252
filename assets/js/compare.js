// Two runs side by side, on one clock: both maps, their difference, the losses of both, what they cost.
// Built from the parts of the instrument; values are {messages: [{pair, side, message}]}, where each
// message is one of docs/live-map.md.
//
// For tests and the curious, `element.__comparison` is the comparison.

import { Clock } from "./clock.js";
import { Costs, perplexity } from "./costs.js";
import { Curves } from "./curves.js";
import { Difference, ahead, aheadAxis, differenceLegend, inWords } from "./difference.js";
import { count, counted, el, ordinal, throttled, visible } from "./dom.js";
import { Feed } from "./feed.js";
import { Forgot } from "./forgot.js";
import { helpMenu, listen, listenForHelp } from "./keys.js";
import { Legend } from "./legend.js";
import { linkedViews } from "./linked.js";
import { Losses, parting } from "./losses.js";
import { MapView } from "./map.js";
import { Pair, SIDES } from "./pair.js";
import { Raster } from "./raster.js";
import { Readout } from "./readout.js";
import { watchRoom } from "./room.js";
import { keep, recall } from "./recall.js";
import { RunStore } from "./store.js";
import { watchTheme } from "./theme.js";
import { CHIPS, Toolbar, withoutLabel } from "./toolbar.js";
import { Words } from "./words.js";

const TALL = [250, 0.34, 370]; // of each run's map: least, share of the window's height, most
const SLOW_MS = 160;
const RECORDED = "recorded"; // the pair that the page opens with (app/pages/compare.py)
const TELL_MS = 300; // while runs go on: nobody reads numbers that change faster
const GIST_MS = 1200;
const ALIKE = 0.01; // of a perplexity: a smaller difference is none

export function mount(element, options = {}) {
  return new Comparison(element, options);
}

class Comparison {
  constructor(element, { onGap = async () => null, keeps = "" }) {
    Object.assign(this, { element, keeps, pairs: {} });
    this.stores = { a: new RunStore(), b: new RunStore() };
    this.pair = new Pair(this.stores.a, this.stores.b);
    this.views = linkedViews(this.pair);
    this.losses = new Losses(this.pair);
    this.feeds = Object.fromEntries(SIDES.map((side) => [side, new Feed(this.stores[side], onGap,
      (message) => this.#take({ pair: this.pairs[side], side, message }))]));
    this.#build();
    for (const view of Object.values(this.views)) view.onChange((what) => this.#viewChanged(view, what));
    this.slowly = throttled(() => this.#slow(), SLOW_MS);
    this.summarise = throttled(() => set(this.gist, this.#gistText()), GIST_MS);
    this.tellSoon = throttled(() => this.#tell(), TELL_MS);
    watchTheme(element, () => this.#themed(), () => {
      for (const map of this.maps) map.resize();
      this.clock.drawTicks(true);
    });
    this.#keys();
    element.__comparison = this;
    this.#update();
    if (keeps) recall(keeps, onGap, (...found) => this.#recalled(...found));
  }

  #build() {
    const { pair, views, losses } = this;
    this.chip = el("span", { className: "lc-chip" });
    this.message = el("span", { className: "lc-message" });
    this.message.setAttribute("role", "status");
    this.title = el("b");
    this.about = el("span");
    this.caption = el("div", { className: "lc-caption", hidden: true }, el("p", {}, this.title, " ", this.about));
    this.gist = el("p", { className: "lc-gist" });
    this.help = helpMenu(["<  >", "V"]);
    this.toolbar = new Toolbar(views.a, this.help);
    const legend = el("div", { className: "lc-legend lc-shared-legend" });
    this.sides = Object.fromEntries(SIDES.map((side) => [side, this.#side(side)]));
    const clock = el("div", { className: "lc-clock" });
    this.verdict = el("p", { className: "lc-note lc-verdict" });
    const difference = canvas("Difference of the two maps: layers by tokens. Arrow keys move from cell to cell.");
    this.differenceSection = el("section", { className: "lc-difference" },
      el("div", { className: "lc-head" }, el("h2", { textContent: "What only one of them holds" }), this.verdict),
      el("div", { className: "lc-stage" }, el("div", { className: "lc-legend" }, ...differenceLegend()), difference));
    const curves = el("canvas", { className: "lc-curves" });
    curves.setAttribute("role", "img");
    this.curvesSection = el("section", { className: "lc-losses" },
      el("div", { className: "lc-head" }, el("h2", { textContent: "Loss and perplexity" }),
        el("p", { className: "lc-note" }, key("a", "A"), key("b", "B"), "lower is better")),
      el("div", { className: "lc-stage" }, curves));
    this.parted = el("section", { className: "lc-parted" });
    const forgot = el("section", { className: "lc-forgot" });
    const costs = el("section", { className: "lc-costs-section" });
    this.readText = el("section", { className: "lc-words lc-words-pair" }, el("h2", { textContent: "The text" }),
      el("p", { className: "lc-note" }, key("both", "some layer of both holds it"), key("a", "only A"), key("b", "only B")));
    this.texts = SIDES.map((side) => el("section", { className: "lc-words" },
      el("h2", { textContent: `What ${side.toUpperCase()} wrote` }),
      el("p", { className: "lc-note" }, "Held by no layer ", el("i", { className: "lc-words-scale" }), " all layers")));

    this.element.classList.add("lc", "lc-compare");
    this.resizing = watchRoom(this.element);
    this.element.replaceChildren(
      el("div", { className: "lc-status" }, this.chip, this.message), this.caption, this.gist,
      this.toolbar.node, legend, el("div", { className: "lc-pair" }, this.sides.a.node, this.sides.b.node), clock,
      this.parted, this.differenceSection, this.curvesSection,
      el("div", { className: "lc-columns" }, forgot, this.readText, ...this.texts, costs),
    );
    const palette = () => this.sides.a.map.palette;
    for (const side of SIDES) this.sides[side].start();
    this.difference = new MapView(difference, pair, views.pair, {
      raster: new Raster(new Difference(pair)), parts: { above: ahead, aboveAxis: aheadAxis }, tall: TALL,
    });
    this.maps = [this.sides.a.map, this.sides.b.map, this.difference];
    this.curves = new Curves(curves, pair, views.pair, losses);
    this.clock = new Clock(clock, pair, views.pair, palette);
    this.legend = new Legend(legend, this.stores.b, views.b, palette);
    this.forgot = new Forgot(forgot, pair, views.pair, losses, (token) => this.#goTo(token));
    this.costs = new Costs(costs, pair, views.pair);
    this.pairWords = new Words(this.readText, pair, views.pair, {
      shadeOf: (token, clock) => pair.kept(token, clock),
      label: "The text, token by token, by which run still holds it",
    });
    this.ownWords = SIDES.map((side, k) => new Words(this.texts[k], this.stores[side], views[side], {
      label: `The text of ${side.toUpperCase()}, token by token`,
    }));
  }

  /** The map of one run with its name above and what is known of a cell below. */
  #side(side) {
    const store = this.stores[side], view = this.views[side];
    const name = side.toUpperCase();
    const label = el("b"), figures = el("span", { className: "lc-note" });
    const plane = canvas(`Map of run ${name}: layers by tokens. Arrow keys move from cell to cell; what is known of the cell is read out.`);
    const empty = el("p", { className: "lc-empty" });
    const readout = el("div", { className: "lc-readout" });
    const node = el("section", { className: `lc-side lc-side-${side}` },
      el("h2", { className: "lc-side-head" }, el("i", { className: "lc-side-name", textContent: name }), label, figures),
      el("div", { className: "lc-stage" }, plane, empty), readout);
    node.setAttribute("aria-label", `Run ${name}`);
    const part = { node, label, figures, empty, plane, store, view };
    part.start = () => {
      part.map = new MapView(plane, store, view, { tall: TALL });
      part.readout = new Readout(readout, store, view, name);
    };
    return part;
  }

  /** Takes messages in: the one way by which data comes. */
  receive({ messages }) {
    for (const message of messages) this.#take(message);
  }

  /** The visitor's pair from before the page was loaded anew, unless another one is looked at by now. */
  #recalled(found, { pair, runs }, again) {
    const shown = SIDES.every((side, k) => (again ? this.stores[side].run === runs[k] : this.pairs[side] === RECORDED));
    if (shown) SIDES.forEach((side, k) => this.#take({ pair, side, message: found[k] }));
    return shown;
  }

  #keep() {
    const { pairs, stores } = this;
    if (!this.keeps || pairs.a !== pairs.b || pairs.a === RECORDED) return;
    keep(this.keeps, { pair: pairs.a, runs: SIDES.map((side) => stores[side].run) });
  }

  #take({ pair, side, message }) {
    const store = this.stores[side];
    const before = store.run;
    if (!this.feeds[side].take(message)) return;
    if (message.kind !== "notice") this.pairs[side] = pair;
    this.pair.refresh(this.pairs.a !== undefined && this.pairs.a === this.pairs.b);
    if (store.run !== before) {
      this.#keep();
      this.clock.stop();
      for (const view of Object.values(this.views)) view.reset();
      for (const map of this.maps) map.fitHeight();
      this.forgot.chosen = null;
      this.#update();
    } else if (store.running && message.kind === "delta") {
      this.#draw();
      this.tellSoon();
    } else this.#update();
  }

  /** To where a token was predicted: everything before it has been seen. */
  #goTo(token) {
    const { pair, views } = this;
    this.clock.stop();
    views.pair.setClock(pair.timelineAt(token));
    const [first, end] = views.pair.visible;
    if (token < first || token + 1 > end) views.pair.show(token + 0.5 - (end - first) / 2, end - first);
    views.pair.lock({ token, layer: null });
  }

  #viewChanged(view, what) {
    for (const side of SIDES) if (view === this.views[side]) this.sides[side].map.request();
    if (view === this.views.pair) {
      this.difference.request();
      this.curves.request();
    }
    if (what === "range") return;
    for (const side of SIDES) if (view === this.views[side]) this.sides[side].readout.update();
    if (view !== this.views.pair) return; // the others follow each other; once is enough
    this.#verdict();
    if (what === "mode") this.#chrome();
    if (what === "clock") {
      this.clock.update();
      this.legend.update();
      this.summarise();
    }
    this.slowly();
  }

  #update() {
    this.#draw();
    this.#tell();
  }

  #draw() {
    this.losses.update();
    for (const map of this.maps) map.request();
    this.curves.request();
  }

  /** What is drawn, in words and numbers. */
  #tell() {
    this.#parting();
    this.#chrome();
    this.clock.update();
    for (const side of SIDES) this.sides[side].readout.update();
    this.#verdict();
    this.slowly();
    this.summarise();
  }

  #slow() {
    const reads = this.pair.setup.mode !== "generate";
    if (reads) this.pairWords.update();
    else for (const words of this.ownWords) words.update();
    this.forgot.update();
    this.costs.update();
    this.#figures();
    const { losses, views, pair } = this;
    const now = Math.min(pair.seen(views.pair.clock), losses.length) - 1;
    const text = now < 1 ? "Losses of both runs" : `Losses of both runs. After ${count(now + 1)} tokens the perplexity of A is `
      + `${losses.perplexity.a[now].toFixed(2)}, of B ${losses.perplexity.b[now].toFixed(2)}; the sum of A’s losses less B’s is ${losses.running[now].toFixed(1)} nats.`;
    this.curves.canvas.setAttribute("aria-label", text);
  }

  #chrome() {
    const { pair, stores } = this;
    this.toolbar.update();
    // What the colours mean is said of the run that has most to say: a ladder, or differing heads.
    const told = SIDES.find((side) => stores[side].setup.reserve) || SIDES.find((side) => stores[side].heads > 1) || "b";
    Object.assign(this.legend, { store: stores[told], view: this.views[told] });
    this.legend.update();
    const state = this.#state();
    const kept = SIDES.every((side) => stores[side].setup.origin === "recorded" && !stores[side].running);
    this.chip.dataset.state = kept ? "kept" : state.name;
    set(this.chip, kept ? "Recorded pair" : CHIPS[state.name] || "Ready");
    set(this.message, kept ? "" : withoutLabel(state.message || "", CHIPS[state.name]));
    const { title, about } = stores.a.setup;
    this.caption.hidden = !kept || !title;
    set(this.title, title || "");
    set(this.about, about || "");
    const reads = pair.setup.mode !== "generate";
    this.differenceSection.hidden = !pair.layers;
    this.curvesSection.hidden = !reads || !this.losses.length;
    this.readText.hidden = !reads;
    for (const section of this.texts) section.hidden = reads;
    this.forgot.root.hidden = !reads;
    this.element.classList.toggle("lc-writes", !reads);
    for (const side of SIDES) {
      const { label, empty, node, store } = this.sides[side];
      set(label, store.setup.label ? [store.setup.label, settingsInWords(store.setup)].filter(Boolean).join(", ") : "");
      empty.hidden = store.length > 0;
      set(empty, store.running ? "Its first tokens are on their way." : "Press Run both: the map of this run will be here.");
      const old = pair.running && !pair.matched && !store.running && store.length > 0;
      node.classList.toggle("lc-before", old); // from the pair that was shown before
    }
    this.#figures();
  }

  #figures() {
    for (const side of SIDES) {
      const { figures, store } = this.sides[side];
      const step = this.pair.stepOf(side, this.views.pair.clock);
      if (!store.steps || step < 0) {
        set(figures, "");
        continue;
      }
      const { union, seen } = store.summary(step);
      const over = step === store.steps - 1 && ofItself(store) ? " · ended its text by itself" : "";
      set(figures, `remembers ${count(union)} of ${count(seen)}${over}`);
    }
  }

  /** The state of both as one. */
  #state() {
    const states = SIDES.map((side) => this.stores[side].state);
    const found = ["failed", "running", "loading", "stopped"].map((name) => states.find((state) => state.name === name)).find(Boolean);
    if (found?.name === "running") return { name: "running", message: "" };
    if (found) return found;
    return states.every((state) => state.name === "done") ? { name: "done", message: "" } : { name: "empty", message: "" };
  }

  /** Where what both wrote differs first: marked on the maps and said in words. */
  #parting() {
    const { pair, stores, parted } = this;
    const writes = pair.matched && pair.setup.mode === "generate";
    const at = writes ? parting(stores.a, stores.b) : -1;
    pair.parted = at < 0 ? Infinity : at;
    for (const map of this.maps) map.parted = at;
    parted.hidden = !writes;
    const wrote = (name, store) => {
      const text = store.tokens.slice(at, at + 12).join("").trim();
      if (text) return `${name} went on: “${visible(text)}”`;
      return store.running ? `${name} goes on` : `${name} ended${ofItself(store)}`;
    };
    set(parted, at < 0
      ? `Both write the same so far: ${counted(Math.max(0, Math.min(stores.a.length, stores.b.length) - pair.setup.promptTokens), "token")}.`
      : `The texts part at token ${ordinal(at)}, after ${counted(Math.max(0, at - pair.setup.promptTokens), "token")} that both wrote alike. `
        + `${wrote("A", stores.a)}; ${wrote("B", stores.b)}.`);
  }

  #verdict() {
    const { pair, views } = this;
    const cell = views.pair.focus;
    if (!pair.layers) set(this.verdict, "");
    else if (cell && cell.token < pair.length && cell.layer !== null) {
      set(this.verdict, `token ${ordinal(cell.token)}, layer ${ordinal(cell.layer)}: ${inWords(pair.cell(cell.layer, cell.token, views.pair.clock))}`);
    } else {
      const { both, a, b, neither } = pair.cells(views.pair.clock);
      set(this.verdict, `of the cells, each a token in a layer: ${count(both)} held by both, ${count(a)} by A alone, ${count(b)} by B alone, ${count(neither)} by neither`);
    }
  }

  /** The comparison in a few sentences, for everybody. */
  #gistText() {
    const { pair, stores, views, losses } = this;
    if (!pair.matched || !pair.steps) return "";
    const clock = views.pair.clock;
    const name = (side) => `${side.toUpperCase()} (${stores[side].setup.label})`;
    const { seen, steps } = pair.compared(clock);
    const both = SIDES.map((side, k) => stores[side].seen(steps[k]));
    const { a, b } = pair.totals(clock);
    const alone = [["a", a], ["b", b]].filter(([, tokens]) => tokens).map(([side, tokens]) =>
      `${name(side)} still holds ${counted(tokens, "token")} that ${name(side === "a" ? "b" : "a")} has dropped in every layer`);
    const held = alone.length ? alone.join("; ") : `${name("a")} and ${name("b")} remember the same tokens, each in one layer or more`;
    const length = both[0] === both[1] ? counted(seen, "token") : `${counted(both[0], "token")} of A and ${count(both[1])} of B`;
    const { ended } = pair;
    const over = ended && pair.seen(clock) > stores[ended].length
      ? `${ended.toUpperCase()} ended after ${counted(stores[ended].length, "token")}${ofItself(stores[ended])}; there the two are compared. ` : "";
    const shared = seen > pair.parted ? `, of the ${counted(pair.parted, "token")} that both texts share` : "";
    const after = `${over}After ${length}${shared}, ${held}.`;
    if (Math.min(seen, losses.length) < 2) return after;
    const [x, y] = SIDES.map((side, k) => perplexity(stores[side], steps[k]));
    const better = Math.abs(x - y) < ALIKE * Math.min(x, y) ? `about the same (within ${100 * ALIKE} %)` : x > y ? "lower with B" : "lower with A";
    return `${after} Perplexity so far: A ${x.toFixed(2)}, B ${y.toFixed(2)}: ${better}.`;
  }

  #themed() {
    for (const map of this.maps) map.refreshPalette();
    this.curves.refreshPalette();
    this.legend.refresh();
    this.clock.drawTicks(true);
  }

  #keys() {
    const { views, clock, toolbar, help, element } = this;
    // Arrows move in the map that has the keyboard; everything else is shared anyway.
    const here = () => (document.activeElement === this.sides.b.plane ? views.b
      : document.activeElement === this.difference.canvas ? views.pair : views.a);
    listen(element, this.maps.map((map) => map.canvas), {
      ...toolbar.actions,
      ...clock.actions,
      ArrowLeft: () => here().move(-1, 0),
      ArrowRight: () => here().move(1, 0),
      ArrowUp: () => here().move(0, -1),
      ArrowDown: () => here().move(0, 1),
      Escape: () => here().lock(null),
    });
    listenForHelp(element, help.toggle);
  }
}

/** Why a text is over, where the model itself ended it. */
function ofItself({ state }) {
  return state.reason === "stop token" ? " by itself" : "";
}

/** What sets a run apart from others of its policy. */
function settingsInWords({ policy, budget, settings = {} }) {
  if (!budget) return "";
  const more = policy === "lacache" ? `, span ${settings.span}${settings.overlap ? `, overlap ${settings.overlap}` : ""}` : "";
  return `budget ${count(budget)}${more}`;
}

function canvas(label) {
  const node = el("canvas", { className: "lc-canvas", tabIndex: 0 });
  node.setAttribute("role", "application");
  node.setAttribute("aria-label", label);
  return node;
}

function key(name, text) {
  return el("span", { className: "lc-key-item" }, el("i", { className: `lc-swatch lc-swatch-${name}` }), text);
}

function set(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
