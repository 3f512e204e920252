// The live map as a whole: builds its parts inside one element and feeds them.
//
//   const instrument = mount(element, options);   // element stays, its content is ours
//   instrument.receive(message);                  // messages and options: docs/live-map.md
//
// For tests and the curious, `element.__lacache` is the instrument: see `stats`.

import { Clock } from "./clock.js";
import { Closeup } from "./closeup.js";
import { Compactions } from "./compactions.js";
import { button, el, throttled } from "./dom.js";
import { eventsOf } from "./events.js";
import { Figures } from "./figures.js";
import { helpMenu, listen, listenForHelp } from "./keys.js";
import { Legend } from "./legend.js";
import { MapView } from "./map.js";
import { Readout } from "./readout.js";
import { Remark } from "./remark.js";
import { watchRoom } from "./room.js";
import { Runs } from "./runs.js";
import { RunStore } from "./store.js";
import { Switches } from "./switches.js";
import { TokenPanel } from "./token.js";
import { Tour } from "./tour.js";
import { View } from "./view.js";
import { Words } from "./words.js";

const MODES = {
  state: ["Held", "What each layer holds, and what it dropped"],
  attention: ["Attention", "Where the last query looked"],
  holding: ["Layers holding", "How many layers hold each token"],
  when: ["Dropped when", "At which step each layer dropped each token"],
};
const CHIPS = { loading: "Starting", running: "Running", done: "Done", stopped: "Stopped", failed: "Failed" };
const SLOW_MS = 120; // the text and the list need not keep up with every frame
const SUMMARY_MS = 4000;
const RETRY_MS = 600;
const MEASURED = 512;

export function mount(element, options = {}) {
  return new Instrument(element, options);
}

class Instrument {
  constructor(element, options) {
    const { onGap = async () => null } = options;
    Object.assign(this, { element, options, onGap, applied: 0, gaps: 0, applyMs: [] });
    this.store = new RunStore();
    this.view = new View(this.store);
    this.#build();
    this.view.onChange((what) => this.#viewChanged(what));
    this.slowly = throttled(() => {
      this.words.update();
      setTimeout(() => { // so that a frame can go in between
        this.compactions.update();
        this.closeup.update();
      });
    }, SLOW_MS);
    this.summarise = throttled(() => (this.summary.textContent = this.#summaryText()), SUMMARY_MS);
    this.#watchTheme();
    listen(element, this.canvas, this.#actions());
    listenForHelp(element, this.help.toggle);
    element.__lacache = this;
    this.#update();
  }

  #build() {
    const { store, view } = this;
    this.runs = new Runs(this, this.options);
    this.tour = new Tour(this, this.runs);
    this.chip = el("span", { className: "lc-chip" });
    this.message = el("span", { className: "lc-message" });
    this.message.setAttribute("role", "status");
    this.setup = el("span", { className: "lc-setup" });
    const figures = el("dl", { className: "lc-figures" });
    const modes = el("div", { className: "lc-modes" });
    modes.setAttribute("role", "group");
    modes.setAttribute("aria-label", "What the map shows");
    this.modeButtons = Object.entries(MODES).map(([name, [label, hint]]) => {
      const node = button(label, `${hint} (M for the next)`, () => view.setMode(name));
      node.dataset.mode = name;
      return node;
    });
    modes.append(...this.modeButtons);
    const zoom = el(
      "div", { className: "lc-zoom" },
      button("minus", "Zoom out", () => view.zoom(2, this.#centre())),
      button("plus", "Zoom in", () => view.zoom(0.5, this.#centre())),
      button("All", "Show the whole run (Home)", () => view.fit()),
    );
    this.switches = new Switches(view);
    this.help = helpMenu();
    const shown = el("div", { className: "lc-shown" }, modes, ...this.switches.nodes);
    const toolbar = el("div", { className: "lc-toolbar" }, shown, el("div", { className: "lc-group" }, zoom, this.help.box, ...this.runs.nodes));

    const legend = el("div", { className: "lc-legend" });
    this.canvas = el("canvas", { className: "lc-canvas", tabIndex: 0 });
    this.canvas.setAttribute("role", "application");
    this.canvas.setAttribute("aria-label", "Map of layers by tokens. Arrow keys move from cell to cell; what is known of the cell is read out.");
    this.empty = el("p", { className: "lc-empty" });
    this.remark = new Remark(store, view);
    const stage = el("div", { className: "lc-stage" }, legend, this.canvas, this.empty, this.remark.node);
    const clock = el("div", { className: "lc-clock" });
    const readout = el("div", { className: "lc-readout" });
    this.summary = el("p", { className: "lc-hidden" });

    const scale = el("i", { className: "lc-words-scale" });
    const note = el("p", { className: "lc-note" }, "Held by no layer ", scale, " all layers");
    const words = el("section", { className: "lc-words" }, el("h2", { textContent: "The text" }), note);
    const list = el("section", { className: "lc-compactions" }, el("h2"));
    const closeup = el("section", { className: "lc-closeup" });
    const token = el("section", { className: "lc-token-panel" });
    this.element.classList.add("lc");
    this.resizing = watchRoom(this.element);
    this.element.replaceChildren(
      el("div", { className: "lc-status" }, this.chip, this.message, this.runs.said, this.setup),
      this.runs.caption, figures, toolbar, this.tour.card, stage, clock, readout,
      el("div", { className: "lc-columns" }, words, token, closeup, list), this.summary,
    );
    const palette = () => this.map.palette;
    this.map = new MapView(this.canvas, store, view);
    this.figures = new Figures(figures, store, view);
    this.legend = new Legend(legend, store, view, palette);
    this.clock = new Clock(clock, store, view, palette);
    this.readout = new Readout(readout, store, view);
    this.words = new Words(words, store, view);
    this.compactions = new Compactions(list, store, view);
    this.closeup = new Closeup(closeup, store, view);
    this.token = new TokenPanel(token, store, view);
  }

  /** Takes a message in: the one way by which data comes. */
  receive(message) {
    const start = performance.now();
    const before = this.store.run;
    const result = this.store.apply(message);
    if (result === "gap") this.#fetch(message.run);
    if (result !== "applied") return;
    if (this.store.run !== before) {
      this.map.fitHeight();
      this.clock.stop();
      this.view.reset();
    }
    this.applied++;
    this.#update();
    this.applyMs.push(performance.now() - start);
    if (this.applyMs.length > MEASURED) this.applyMs.splice(0, MEASURED / 2);
  }

  /** Shows a run that somebody chose, even one that was left before. */
  show(snapshot) {
    this.store.past.delete(snapshot.run);
    this.receive(snapshot);
  }

  /** Asks for a snapshot, one request at a time, until the run is whole again or gone. */
  async #fetch(run) {
    if (this.fetching) return;
    this.fetching = true;
    this.gaps++;
    try {
      const snapshot = await this.onGap(run);
      if (snapshot) this.receive(snapshot);
    } catch {
      // The server did not answer; the next message asks again.
    }
    setTimeout(() => (this.fetching = false), this.store.waiting === null ? 0 : RETRY_MS);
  }

  /** What the instrument knows and how fast it was, in plain numbers. */
  get stats() {
    const { store, view, map } = this;
    return {
      applied: this.applied, gaps: this.gaps, run: store.run, seq: store.seq, steps: store.steps,
      tokens: store.length, compactions: store.compactions.length, mode: view.mode, axis: view.axis, clock: view.clock,
      following: view.following, range: view.visible, zoomed: view.range !== null, locked: view.locked,
      drawn: map.drawn, drawMs: map.drawMs.slice(), applyMs: this.applyMs.slice(),
    };
  }

  #viewChanged(what) {
    this.map.request();
    if (what === "mode") this.#chrome();
    if (what === "range") return;
    this.readout.update();
    this.token.update();
    if (what === "clock") {
      this.clock.update();
      this.remark.update();
      this.figures.update();
      this.legend.update();
      this.summarise();
    }
    if (what !== "mode") this.slowly();
  }

  #update() {
    this.#chrome();
    this.map.request();
    this.clock.update();
    this.figures.update();
    if (this.view.focus || !this.store.steps || !this.readoutShown) this.readout.update();
    this.readoutShown = this.store.steps > 0;
    this.token.update();
    this.slowly();
    if (this.store.steps) this.summarise();
  }

  #chrome() {
    const { store, view } = this;
    for (const node of this.modeButtons) {
      node.setAttribute("aria-pressed", String(node.dataset.mode === view.mode));
    }
    this.switches.update();
    this.legend.update();
    this.remark.update();
    this.runs.update();
    this.tour.update();
    const { name, message } = store.state;
    const kept = this.runs.chip; // a recorded or opened run says so
    this.chip.dataset.state = kept ? "kept" : name;
    set(this.chip, kept || CHIPS[name] || "Ready");
    this.chip.title = this.setup.title = this.runs.provenance;
    set(this.message, withoutLabel(message || "", CHIPS[name]));
    const { label, budget, model } = store.setup;
    const said = [label, budget ? `budget ${budget}` : "no budget", model, this.runs.day];
    set(this.setup, label ? said.filter(Boolean).join(" · ") : "");
    this.empty.hidden = store.length > 0;
    set(this.empty, store.running
      ? "Starting: the first tokens are on their way."
      : "Press Run: every column will be a token, every row a layer of the model, "
        + "and you will see which layer still holds which token.");
  }

  #summaryText() {
    const { store } = this;
    if (!store.steps) return "";
    const clock = this.view.clock;
    const { seen, held, union, oldest } = store.summary(clock);
    const last = oldest < 0 ? "" : ` The oldest of them after the sinks is token ${oldest}.`;
    return `${store.setup.label}, step ${clock + 1} of ${store.steps}: ${seen} tokens seen, each of ${store.layers} layers `
      + `holds ${held} entries, ${union} different tokens are held by at least one layer, `
      + `${eventsOf(store, store.compactionsBy(clock))}.${last}`;
  }

  #watchTheme() {
    const refresh = () => {
      if (!this.element.isConnected) return;
      this.map.refreshPalette();
      this.legend.refresh();
      this.clock.drawTicks(true);
    };
    const observer = new MutationObserver(() => {
      if (this.element.isConnected) refresh();
      else observer.disconnect();
    });
    for (const node of [document.documentElement, document.body]) {
      observer.observe(node, { attributes: true, attributeFilter: ["class", "style"] });
    }
    const ratio = () => {
      if (!this.element.isConnected) return;
      this.map.resize();
      this.clock.drawTicks(true);
      watchRatio();
    };
    const watchRatio = () => matchMedia(`(resolution: ${window.devicePixelRatio}dppx)`)
      .addEventListener("change", ratio, { once: true });
    watchRatio();
  }

  #centre() {
    const { focus, visible } = this.view;
    const at = focus ? this.view.columnOf(focus.token, focus.layer ?? 0) : -1;
    return at < 0 ? (visible[0] + visible[1]) / 2 : at + 0.5;
  }

  #actions() {
    const { view, clock } = this;
    const zoomIn = () => view.zoom(0.5, this.#centre());
    const names = Object.keys(MODES);
    return {
      ArrowLeft: () => view.move(-1, 0),
      ArrowRight: () => view.move(1, 0),
      ArrowUp: () => view.move(0, -1),
      ArrowDown: () => view.move(0, 1),
      "+": zoomIn,
      "=": zoomIn,
      "-": () => view.zoom(2, this.#centre()),
      Home: () => view.fit(),
      0: () => view.fit(),
      " ": () => clock.toggle(),
      "[": () => clock.jump(-1),
      "]": () => clock.jump(1),
      "<": () => this.closeup.go(-1),
      ">": () => this.closeup.go(1),
      ",": () => clock.by(-1),
      ".": () => clock.by(1),
      l: () => clock.followOrHold(),
      m: () => view.setMode(names[(names.indexOf(view.mode) + 1) % names.length]),
      x: () => this.switches.toggleAxis(),
      h: () => view.slots && view.nextHead(),
      a: () => this.switches.toggleQueries(),
      Escape: () => view.lock(null),
    };
  }
}

/** A message without the word that the chip before it says already. */
function withoutLabel(message, label) {
  const rest = label && message.startsWith(label) ? message.slice(label.length) : "";
  return /^[:.] \S/.test(rest) ? rest.charAt(2).toUpperCase() + rest.slice(3) : message;
}

/** Sets a text only where it is another one, so that nothing is laid out or read out twice. */
function set(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
