// The live map as a whole: builds its parts inside one element and feeds them.
//
//   const instrument = mount(element, { onGap });   // element stays, its content is ours
//   instrument.receive(message);                    // docs/live-map.md

import { Clock } from "./clock.js";
import { Compactions } from "./compactions.js";
import { button, el } from "./dom.js";
import { Figures } from "./figures.js";
import { Legend } from "./legend.js";
import { MapView } from "./map.js";
import { Readout } from "./readout.js";
import { RunStore } from "./store.js";
import { View } from "./view.js";
import { Words } from "./words.js";

const MODES = { state: "What is held", attention: "Attention" };
const WORDS_EVERY_MS = 120; // the text and the list need not keep up with every frame

const KEYS = [
  ["← → ↑ ↓", "move the cell"],
  ["+  −  0", "zoom in, out, all"],
  ["space", "play or pause"],
  ["[  ]", "previous, next compaction"],
  ["L", "follow the newest step"],
  ["M", "change what the map shows"],
  ["Esc", "unlock"],
];

export function mount(element, { onGap = () => {} } = {}) {
  return new Instrument(element, onGap);
}

class Instrument {
  constructor(element, onGap) {
    this.onGap = onGap;
    this.applied = 0;
    this.applySeconds = [];
    this.store = new RunStore();
    this.view = new View(this.store);
    this.#build(element);
    this.view.onChange((what) => this.#viewChanged(what));
    new MutationObserver(() => this.map.refreshPalette()).observe(document.body, { attributeFilter: ["class"] });
    this.#keys(element);
    this.#update();
  }

  #build(element) {
    const { store, view } = this;
    this.status = el("p", { className: "lc-status" });
    this.status.setAttribute("role", "status");
    const figures = el("dl", { className: "lc-figures" });
    const modes = el("div", { className: "lc-modes" });
    modes.setAttribute("role", "group");
    modes.setAttribute("aria-label", "What the map shows");
    this.modeButtons = Object.entries(MODES).map(([name, label]) => {
      const node = button(label, "Change what the map shows (M)", () => view.setMode(name));
      node.dataset.mode = name;
      return node;
    });
    modes.append(...this.modeButtons);
    const legend = el("div", { className: "lc-legends" });
    const middle = () => (view.visible[0] + view.visible[1]) / 2;
    const zoom = el(
      "div", { className: "lc-zoom" },
      button("−", "Zoom out", () => view.zoom(2, middle())),
      button("+", "Zoom in", () => view.zoom(0.5, middle())),
      button("All", "Show all tokens (0)", () => view.fit()),
    );
    const help = el("details", { className: "lc-help" }, el("summary", { textContent: "Keys" }));
    help.append(el("dl", {}, ...KEYS.flatMap(([k, what]) => [el("dt", { textContent: k }), el("dd", { textContent: what })])));
    const toolbar = el("div", { className: "lc-toolbar" }, modes, legend, zoom, help);

    const canvas = el("canvas", { className: "lc-canvas", tabIndex: 0 });
    canvas.setAttribute("role", "application");
    canvas.setAttribute("aria-label", "Map of layers by tokens: what each layer still holds. Arrow keys move from cell to cell.");
    this.empty = el("p", { className: "lc-empty" });
    const stage = el("div", { className: "lc-stage" }, canvas, this.empty);
    const clock = el("div", { className: "lc-clock" });
    const readout = el("div", {});
    const words = el("section", { className: "lc-words" }, el("h3", { textContent: "The text" }),
      el("p", { className: "lc-note", textContent: "Darker words are held by more layers; what the model wrote is underlined." }));
    const list = el("section", { className: "lc-compactions" }, el("h3", { textContent: "Compactions" }));
    element.classList.add("lc");
    element.replaceChildren(
      this.status, figures, toolbar, stage, clock, readout,
      el("div", { className: "lc-columns" }, words, list),
    );

    this.canvas = canvas;
    this.map = new MapView(canvas, store, view);
    this.figures = new Figures(figures, store, view);
    this.legend = new Legend(legend, view);
    this.clock = new Clock(clock, store, view, () => this.map.palette);
    this.readout = new Readout(readout, store, view);
    this.words = new Words(words, store, view);
    this.compactions = new Compactions(list, store, view);
  }

  receive(message) {
    const start = performance.now();
    const before = this.store.run;
    const result = this.store.apply(message);
    if (result === "gap") this.onGap(message.run, (snapshot) => this.receive(snapshot));
    if (result !== "applied") return;
    if (this.store.run !== before) {
      this.clock.stop();
      this.view.reset();
      this.words.clear();
    }
    this.applied++;
    this.#update();
    this.applySeconds.push((performance.now() - start) / 1000);
    if (this.applySeconds.length > 500) this.applySeconds.splice(0, 250);
  }

  #viewChanged(what) {
    this.map.request();
    this.readout.update();
    if (what === "mode") this.#chrome();
    if (what === "clock") {
      this.clock.update();
      this.figures.update();
    }
    if (what === "clock" || what === "focus") this.#slowly();
  }

  #update() {
    this.#chrome();
    this.map.request();
    this.clock.update();
    this.figures.update();
    this.readout.update();
    this.#slowly();
  }

  /** Text and list: soon, and at most so often. */
  #slowly() {
    if (this.slow) return;
    this.slow = setTimeout(() => {
      this.slow = 0;
      this.words.update();
      this.compactions.update();
    }, WORDS_EVERY_MS);
  }

  #chrome() {
    const { store, view } = this;
    for (const node of this.modeButtons) {
      node.setAttribute("aria-pressed", String(node.dataset.mode === view.mode));
    }
    this.legend.update();
    this.status.dataset.state = store.state.name;
    this.status.textContent = store.state.message || "";
    this.empty.hidden = store.steps > 0;
    this.empty.textContent = store.state.name === "running" || store.state.name === "loading"
      ? "Starting…"
      : "Press Run: every column will be a token, every row a layer of the model, "
        + "and you will see which layer still holds which token.";
  }

  #keys(element) {
    const pan = () => (this.view.visible[0] + this.view.visible[1]) / 2;
    const actions = {
      ArrowLeft: () => this.view.move(-1, 0),
      ArrowRight: () => this.view.move(1, 0),
      ArrowUp: () => this.view.move(0, -1),
      ArrowDown: () => this.view.move(0, 1),
      "+": () => this.view.zoom(0.5, this.view.focus?.token ?? pan()),
      "=": () => this.view.zoom(0.5, this.view.focus?.token ?? pan()),
      "-": () => this.view.zoom(2, this.view.focus?.token ?? pan()),
      0: () => this.view.fit(),
      " ": () => this.clock.toggle(),
      "[": () => this.clock.jump(-1),
      "]": () => this.clock.jump(1),
      l: () => this.view.follow(),
      m: () => this.view.setMode(this.view.mode === "state" ? "attention" : "state"),
      Escape: () => this.view.lock(null),
    };
    element.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const onControl = event.target.closest("button, input, summary");
      const arrows = event.key.startsWith("Arrow");
      // Buttons and the scrub bar keep the keys that are theirs.
      if (onControl && (arrows || event.key === " " || event.key === "Enter")) return;
      if (arrows && event.target !== this.canvas) return;
      const action = actions[event.key] || actions[event.key.toLowerCase()];
      if (!action) return;
      event.preventDefault();
      action();
    });
  }
}
