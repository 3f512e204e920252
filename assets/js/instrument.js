// The live map as a whole: builds its parts inside one element and feeds them.
//
//   const instrument = mount(element, options);   // element stays, its content is ours
//   instrument.receive(message);                  // messages and options: docs/live-map.md
//
// For tests and the curious, `element.__lacache` is the instrument: see `stats`.

import { Clock } from "./clock.js";
import { Closeup } from "./closeup.js";
import { Compactions } from "./compactions.js";
import { el, ordinal, setText, throttled } from "./dom.js";
import { eventsOf } from "./events.js";
import { FactPanel } from "./fact.js";
import { Feed } from "./feed.js";
import { Figures } from "./figures.js";
import { helpMenu, listen, listenForHelp } from "./keys.js";
import { Legend } from "./legend.js";
import { MapView } from "./map.js";
import { Readout } from "./readout.js";
import { Remark } from "./remark.js";
import { watchRoom } from "./room.js";
import { Runs } from "./runs.js";
import { Spent } from "./spent.js";
import { RunStore } from "./store.js";
import { watchTheme } from "./theme.js";
import { TokenPanel } from "./token.js";
import { CHIPS, Toolbar, withoutLabel } from "./toolbar.js";
import { Tour } from "./tour.js";
import { View } from "./view.js";
import { Words } from "./words.js";

const SLOW_MS = 400; // the text and the list need not keep up with every frame
const TELL_MS = 300; // nobody reads numbers that change faster, and each time the page is laid out
const PATIENCE_MS = 150; // how much longer they wait for the next update, which has the page drawn anyway
const SUMMARY_MS = 4000;
const MEASURED = 512;

export function mount(element, options = {}) {
  return new Instrument(element, options);
}

class Instrument {
  constructor(element, options) {
    const { onGap = async () => null } = options;
    Object.assign(this, { element, options, onGap, applied: 0, applyMs: [], unsaid: 0, telling: 0, late: 0, toldAt: -Infinity, due: [] });
    this.store = new RunStore();
    this.feed = new Feed(this.store, (run) => this.onGap(run), (message) => this.receive(message));
    this.view = new View(this.store);
    this.#build();
    this.view.onChange((what) => this.#viewChanged(what));
    this.works = [() => {
      this.words.write();
      if (!this.view.focus) this.readout.update();
    }, () => {
      this.compactions.write();
      this.closeup.update();
    }, () => {
      this.words.scroll();
      this.compactions.scroll();
    }];
    this.slowly = throttled(() => {
      this.due = this.works.slice();
      // While a run goes on they go along with what is told of its updates.
      clearTimeout(this.patience);
      this.patience = setTimeout(() => this.#catchUp(), this.store.running ? TELL_MS + PATIENCE_MS : 0);
    }, SLOW_MS);
    this.summarise = throttled(() => (this.summary.textContent = this.#summaryText()), SUMMARY_MS);
    watchTheme(element, () => {
      this.map.refreshPalette();
      this.legend.refresh();
      this.clock.drawTicks(true);
    }, () => {
      this.map.resize();
      this.clock.drawTicks(true);
    });
    listen(element, [this.canvas], this.#actions());
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
    this.help = helpMenu();
    this.toolbar = new Toolbar(view, this.help, this.runs.nodes);

    const legend = el("div", { className: "lc-legend" });
    this.canvas = el("canvas", { className: "lc-canvas", tabIndex: 0 });
    this.canvas.setAttribute("role", "application");
    this.canvas.setAttribute("aria-label", "Map of layers by tokens. Arrow keys move from cell to cell; what is known of the cell is read out.");
    this.empty = el("p", { className: "lc-empty" });
    this.remark = new Remark(store, view);
    const stage = el("div", { className: "lc-stage" }, legend, this.canvas, this.empty, this.remark.node);
    const clock = el("div", { className: "lc-clock" });
    const readout = el("div", { className: "lc-readout" });
    const spent = el("section", { className: "lc-spent" });
    this.summary = el("p", { className: "lc-hidden" });

    const scale = el("i", { className: "lc-words-scale" });
    const note = el("p", { className: "lc-note" }, "Held by no layer ", scale, " all layers");
    const words = el("section", { className: "lc-words" }, el("h2", { textContent: "The text" }), note);
    const list = el("section", { className: "lc-compactions" }, el("h2"));
    const closeup = el("section", { className: "lc-closeup" });
    const token = el("section", { className: "lc-token-panel" });
    const fact = el("section", { className: "lc-fact-panel" });
    fact.setAttribute("aria-label", "The needle");
    this.element.classList.add("lc");
    this.resizing = watchRoom(this.element);
    this.element.replaceChildren(
      el("div", { className: "lc-status" }, this.chip, this.message, this.runs.said, this.setup),
      this.runs.caption, fact, figures, this.toolbar.node, this.tour.card, stage, clock, readout, spent,
      el("div", { className: "lc-columns" }, words, token, closeup, list), this.summary,
    );
    const palette = () => this.map.palette;
    this.map = new MapView(this.canvas, store, view);
    this.figures = new Figures(figures, store, view);
    this.spent = new Spent(spent, store);
    this.legend = new Legend(legend, store, view, palette);
    this.clock = new Clock(clock, store, view, palette);
    this.readout = new Readout(readout, store, view);
    this.words = new Words(words, store, view);
    this.compactions = new Compactions(list, store, view);
    this.closeup = new Closeup(closeup, store, view);
    this.fact = new FactPanel(fact, store, view);
    this.token = new TokenPanel(token, store, view);
  }

  /** Takes a message in: the one way by which data comes. */
  receive(message) {
    const start = performance.now();
    const before = this.store.run;
    if (!this.feed.take(message)) return;
    if (this.store.run !== before) {
      this.map.fitHeight();
      this.clock.stop();
      this.view.reset();
    }
    this.applied++;
    this.map.request();
    if (message.kind === "delta") this.#tellSoon();
    else this.#tell();
    // What is listed of the run before must not stand beside the new one's map.
    if (this.store.run !== before) for (const work of this.works) work();
    this.unsaid += performance.now() - start;
    if (!this.telling) this.#measured();
  }

  /** What goes on is written into the page in a frame with the map; not in every one, while it goes on. */
  #tellSoon() {
    const wait = this.store.running ? this.toldAt + TELL_MS - performance.now() : 0;
    if (wait <= 0) this.telling ||= requestAnimationFrame(() => this.#tell());
    else this.late ||= setTimeout(() => this.#tell(), wait + PATIENCE_MS);
  }

  #measured() {
    this.applyMs.push(this.unsaid);
    this.unsaid = 0;
    if (this.applyMs.length > MEASURED) this.applyMs.splice(0, MEASURED / 2);
  }

  /** What failed is no longer spoken of. */
  clearFailure() {
    if (this.store.clearFailure()) this.#update();
  }

  /** Shows a run that somebody chose, even one that was left before. */
  show(snapshot) {
    this.store.past.delete(snapshot.run);
    this.receive(snapshot);
  }

  /** What the instrument knows and how fast it was, in plain numbers. */
  get stats() {
    const { store, view, map } = this;
    return {
      applied: this.applied, gaps: this.feed.gaps, run: store.run, seq: store.seq, steps: store.steps,
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
      this.spent.update();
      this.legend.update();
      this.summarise();
    }
    if (what !== "mode") this.slowly();
  }

  #update() {
    this.map.request();
    this.#tell();
  }

  /** Everything but the map. */
  #tell() {
    const start = performance.now();
    const later = this.telling; // an update that waited for its frame
    cancelAnimationFrame(later);
    clearTimeout(this.late);
    this.telling = this.late = 0;
    this.toldAt = start;
    this.#chrome();
    this.clock.update();
    this.figures.update();
    this.spent.update();
    if (this.view.focus || !this.store.steps || !this.readoutShown) this.readout.update();
    this.readoutShown = this.store.steps > 0;
    this.token.update();
    this.slowly();
    if (this.store.steps) this.summarise();
    for (const work of this.due.splice(0)) work();
    if (!later) return;
    this.unsaid += performance.now() - start;
    this.#measured();
  }

  /** The text and the lists, one after the other so that a frame can go in between. */
  #catchUp() {
    this.due.shift()?.();
    if (this.due.length) this.patience = setTimeout(() => this.#catchUp());
  }

  #chrome() {
    const { store, view } = this;
    this.toolbar.update();
    this.legend.update();
    this.remark.update();
    this.runs.update();
    this.tour.update();
    this.fact.update();
    const { name, message } = store.state;
    const kept = this.runs.chip; // a recorded or opened run says so
    this.chip.dataset.state = kept ? "kept" : name;
    setText(this.chip, kept || CHIPS[name] || "Ready");
    this.chip.title = this.setup.title = this.runs.provenance;
    // A run that starts has nothing to show yet: what is there is of the run before.
    const before = name === "loading" && store.length > 0;
    this.element.classList.toggle("lc-before", before);
    setText(this.message, kept ? message || "" : withoutLabel(message || "", CHIPS[name]));
    const { label, budget, model } = store.setup;
    const said = [label, budget ? `budget ${budget}` : "no budget", model, this.runs.day];
    const told = said.filter(Boolean).join(" · ");
    setText(this.setup, !label ? "" : before ? `until then: ${told}` : told);
    this.empty.hidden = store.length > 0;
    setText(this.empty, store.running
      ? "Starting: the map begins with the first tokens that are read."
      : "Press Run: every column will be a token, every row a layer of the model, "
        + "and you will see which layer still holds which token.");
  }

  #summaryText() {
    const { store } = this;
    if (!store.steps) return "";
    const clock = this.view.clock;
    const { seen, held, union, oldest } = store.summary(clock);
    const last = oldest < 0 ? "" : ` The oldest of them after the sinks is token ${ordinal(oldest)}.`;
    return `${store.setup.label}, step ${clock + 1} of ${store.steps}: ${seen} tokens seen, each of ${store.layers} layers `
      + `holds ${held} entries, ${union} different tokens are held by at least one layer, `
      + `${eventsOf(store, store.compactionsBy(clock))}.${last}`;
  }

  #actions() {
    const { view, clock } = this;
    return {
      ...this.toolbar.actions,
      ArrowLeft: () => view.move(-1, 0),
      ArrowRight: () => view.move(1, 0),
      ArrowUp: () => view.move(0, -1),
      ArrowDown: () => view.move(0, 1),
      ...clock.actions,
      "<": () => this.closeup.go(-1),
      ">": () => this.closeup.go(1),
      v: () => this.runs.versus.next(),
      Escape: () => view.lock(null),
    };
  }
}
