// What a measurement gives: how it goes, figures, a table, files. It asks the server by the id of the
// measurement, which this browser remembers, so a reload finds it going on or finished.
//
//   mount(element, { kind, plotly, empty, server... }).receive({ follow: id })

import { CellPanel } from "./cell_panel.js";
import { button, el, enable, svg } from "./dom.js";
import { mount as mountMap } from "./instrument.js";
import { Earlier } from "./earlier.js";
import { dashes, Plot, seriesColour } from "./plot.js";
import { question } from "./fact.js";
import { download } from "./save.js";
import { table } from "./table.js";

const CHIPS = { waiting: "Waiting", loading: "Starting", running: "Measuring", done: "Done", stopped: "Stopped", failed: "Not possible" };
const OVER = ["done", "stopped", "failed"];
const POLL_MS = 600;
const PATIENCE_MS = 3000; // between questions when the server does not answer
const NO_ANSWER = "The server does not answer; asking again. What was finished is kept.";
const REPLACED = "The measurement that was going on was stopped. What it had finished is kept: see Earlier.";

export function mount(element, options) {
  return new MeasurementView(element, options);
}

class MeasurementView {
  constructor(element, options) {
    Object.assign(this, { element, options, turn: 0, id: null, plots: [] });
    this.#build();
    this.#watchTheme();
    element.__measurement = this;
    const [newest] = this.earlier.ids;
    if (!newest) return;
    this.follow(newest, true);
    options.chosen(newest);
  }

  #build() {
    this.chip = el("span", { className: "lc-chip" });
    this.message = el("span", { className: "lc-message" });
    this.message.setAttribute("role", "status");
    this.left = el("span", { className: "lx-left" });
    this.ahead = button("Stop that one", "", () => this.#ask("stop", this.ahead.dataset.id));
    const { kind } = this.options;
    this.earlier = new Earlier(kind, (ids) => this.#ask("earlier", { kind, ids }), (id) => {
      this.follow(id);
      this.options.chosen(id); // its settings are in the form again
    });
    this.fill = el("i");
    this.bar = el("div", { className: "lx-bar", hidden: true }, this.fill);
    this.bar.setAttribute("role", "progressbar");
    this.bar.setAttribute("aria-label", "Progress of the measurement");
    this.title = el("h2");
    this.made = el("p", { className: "lx-note" });
    this.notes = el("ul", { className: "lx-notes", hidden: true });
    this.switch = this.#switch();
    this.legend = el("ul", { className: "lx-legend", hidden: true });
    this.figures = el("div", { className: "lx-figures" });
    this.cell = el("section", { className: "lx-cell", tabIndex: -1 });
    this.cell.setAttribute("aria-label", "The answers of a cell");
    this.panel = new CellPanel(this.cell, (record, note) => this.#openRun(record, note));
    this.mapBox = el("section", { className: "lx-map", hidden: true });
    this.mapBox.setAttribute("aria-label", "The run on the map");
    this.numbers = el("div");
    this.files = el("div", { className: "lx-files", hidden: true },
      button("CSV", "The numbers as a table (.csv)", () => this.#save("csv")),
      button("JSON", "The numbers as the command line gives them (.json)", () => this.#save("json")),
      this.copy = button("Copy command", "The command that measures the same in a terminal", () => this.#copy()),
      this.said = el("span", { className: "lx-note" }));
    this.said.setAttribute("role", "status");
    this.empty = el("div", { className: "lx-empty" }, ...this.options.empty.map((text) => el("p", { textContent: text })));
    this.element.classList.add("lc", "lx-m");
    this.element.replaceChildren(
      el("div", { className: "lc-status" }, this.chip, this.message, this.left, this.ahead, this.earlier.node),
      this.bar, this.notes, this.empty,
      el("div", { className: "lx-what" }, this.title, this.made),
      this.switch, this.legend, this.figures, this.cell, this.mapBox, this.numbers, this.files,
    );
    this.#show(null);
  }

  /** What a heatmap's colours mean: right answers, or layers that held the needle. */
  #switch() {
    const node = el("div", { className: "lx-switch", hidden: true });
    const modes = el("div", { className: "lc-modes" });
    modes.setAttribute("role", "group");
    modes.setAttribute("aria-label", "What the heatmaps show");
    this.other = false;
    const faces = [["Answers right", "Share of answers with the key in them", false],
      ["Needle still held", "Of the needle’s tokens in all layers, the share that was held when the question came", true]];
    const buttons = faces.map(([label, hint, other]) => button(label, hint, () => {
      this.other = other;
      update();
      this.#draw();
    }));
    const update = () => buttons.forEach((b, k) => b.setAttribute("aria-pressed", String(faces[k][2] === this.other)));
    modes.append(...buttons);
    update();
    node.append(modes, el("span", { className: "lx-scale" }, "none ", el("i"), " all"), el("span", { className: "lx-note", textContent: "A click on a cell shows its answers." }));
    return node;
  }

  /** The one way by which the page speaks: which measurement to follow. */
  receive({ follow }) {
    if (!follow) return;
    const going = this.id && this.state && !OVER.includes(this.state.name);
    if (going) this.stop();
    this.unsaid?.();
    this.earlier.remember(follow);
    this.follow(follow);
    this.replaced = going ? follow : null;
    this.#notes([]);
    if (this.element.getBoundingClientRect().top > innerHeight * 0.7) this.element.scrollIntoView({ block: "start" });
  }

  stop() {
    return this.#ask("stop", this.id);
  }

  /** Ask until it is over. */
  async follow(id, quietly = false) {
    const turn = ++this.turn;
    this.id = this.earlier.shown = id;
    let version = -1;
    while (turn === this.turn && this.element.isConnected) {
      const found = await this.options.look({ id, version }).catch(() => null);
      if (turn !== this.turn) return;
      if (!found || "problem" in found) {
        this.message.textContent = found?.problem || NO_ANSWER;
        await pause(PATIENCE_MS);
        continue;
      }
      if (found.gone) {
        if (quietly) {
          this.earlier.forget(id);
          this.#show(null);
        } else this.#state({ name: "failed", message: "This measurement is no longer kept." });
        return;
      }
      this.#state(found.state, found.progress, found.ahead);
      if (found.version !== version && found.table) this.#show(found);
      version = found.version;
      if (OVER.includes(found.state.name)) return;
      await pause(POLL_MS);
    }
  }

  #state(state, progress = null, ahead = null) {
    this.state = state;
    this.chip.dataset.state = { waiting: "loading" }[state.name] || state.name;
    this.chip.textContent = CHIPS[state.name];
    const { message } = state;
    this.message.textContent = message.replace(/^Stopped\. /, "") || progress?.what || "";
    this.left.textContent = progress?.remaining || "";
    this.ahead.hidden = !ahead;
    this.ahead.dataset.id = ahead?.id || "";
    this.ahead.title = ahead?.title || "";
    if (ahead) this.message.textContent = `Waiting for another measurement to end: ${ahead.title}`;
    const going = !OVER.includes(state.name);
    enable(this.options.stopButton, going);
    if (state.name === "failed") this.#besideControls(message);
    this.bar.hidden = !going;
    const share = Math.round(100 * (progress?.fraction || 0));
    this.fill.style.width = `${share}%`;
    this.bar.setAttribute("aria-valuenow", String(share));
  }

  /** Said beside the settings too, until they say something else. */
  #besideControls(text) {
    const box = document.getElementById(this.options.beside);
    if (!box) return;
    const said = el("p", { className: "lx-bad", textContent: text });
    box.append(said);
    const observer = new MutationObserver(() => {
      observer.disconnect();
      said.remove();
    });
    setTimeout(() => observer.observe(box, { childList: true, subtree: true, characterData: true }));
    this.unsaid = () => said.remove();
  }

  #show(found) {
    const before = this.found?.id;
    this.found = found;
    const some = Boolean(found && found.table.rows.length);
    this.empty.hidden = some;
    this.files.hidden = !some;
    this.switch.hidden = !some || found.kind !== "needle";
    if (!found) {
      this.chip.textContent = "Ready";
      this.chip.dataset.state = "empty";
      this.ahead.hidden = true;
      enable(this.options.stopButton, false);
      return;
    }
    if (before !== found.id) {
      this.panel.show(null);
      this.mapBox.hidden = true;
      this.said.textContent = "";
    }
    this.title.textContent = some ? found.title : "";
    this.made.textContent = some ? found.made : "";
    this.#notes(found.notes);
    this.copy.title = found.command;
    this.numbers.replaceChildren(...(some
      ? [table(`Numbers: ${found.title}`, found.table.columns, found.table.rows, found.kind === "needle" ? (n) => this.#openCell(n) : null)]
      : []));
    this.#draw();
  }

  #notes(notes) {
    const said = this.replaced === this.id ? [REPLACED, ...notes] : notes;
    this.notes.replaceChildren(...said.map((text) => el("li", { textContent: text })));
    this.notes.hidden = !said.length;
  }

  #draw() {
    const figures = this.found?.figures || [];
    const ids = figures.map((f) => f.id).join(" ");
    if (this.drawn !== ids) {
      this.drawn = ids;
      this.plots.forEach((one) => one.plot.remove());
      this.plots = figures.map(({ id }) => {
        const title = el("h3"), note = el("p", { className: "lx-note" }), box = el("div", { className: "lx-plot" });
        const card = el("figure", { className: `lx-figure lx-figure-${id}` }, el("figcaption", {}, title, note), box);
        const onClick = this.found.kind === "needle" ? (n) => this.#openCell(n) : null;
        return { title, note, card, plot: new Plot(box, this.options.plotly, onClick) };
      });
      this.figures.replaceChildren(...this.plots.map((one) => one.card));
      this.figures.dataset.kind = this.found?.kind || "";
    }
    figures.forEach((figure, k) => {
      const { title, note, plot } = this.plots[k];
      title.textContent = figure.title;
      note.textContent = figure.note;
      plot.show(this.other && figure.other ? figure.other : figure.spec);
    });
    this.#legend();
  }

  #legend() {
    const items = this.found?.legend || [];
    this.legend.hidden = !items.length;
    const style = getComputedStyle(this.element);
    this.legend.replaceChildren(...items.map(({ name, series, dash }) => {
      const line = svg("svg", { viewBox: "0 0 26 8", "aria-hidden": "true" },
        svg("path", { d: "M0 4H26", stroke: seriesColour(series, style), "stroke-width": 2.5, "stroke-dasharray": dashes(dash) }));
      return el("li", {}, line, name);
    }));
  }

  #openCell(n) {
    const cell = this.found?.cells?.[n];
    if (!cell) return;
    this.panel.show(cell);
    this.mapBox.hidden = true;
    this.cell.focus({ preventScroll: true });
    this.cell.scrollIntoView({ block: "nearest" });
  }

  async #openRun(record, note) {
    const snapshot = await this.#ask("open", { id: this.id, record }, note);
    if (!snapshot) return;
    this.mapBox.hidden = false;
    if (!this.map) {
      const root = el("div");
      this.mapBox.replaceChildren(root);
      this.map = mountMap(root, { onGap: (run) => this.options.snapshot(run), onExport: (run, kind) => this.options.exportRun([run, kind]) });
    }
    this.map.show(snapshot);
    this.map.view.setClock(question(this.map.store));
    this.mapBox.scrollIntoView({ block: "start" });
    this.map.canvas.focus({ preventScroll: true });
  }

  async #save(kind) {
    const file = await this.#ask("file", { id: this.id, kind });
    if (file) download(file.name, new Blob([file.text], { type: file.type }));
  }

  async #copy() {
    try {
      await navigator.clipboard.writeText(this.found.command);
      this.said.textContent = "Copied.";
    } catch {
      this.said.textContent = this.found.command;
    }
  }

  /** The server's answer; null when there is none or it is a problem, which `said` then says. */
  async #ask(what, given, said = this.said) {
    let found = null;
    try {
      found = await this.options[what](given);
    } catch {
      // Said below, as an answer that never came is.
    }
    if (found && typeof found === "object" && "problem" in found) {
      said.textContent = found.problem;
      return null;
    }
    if (found === null) said.textContent = what === "open" ? "This run is no longer kept. Measuring again makes it anew." : "The server did not answer. Please try again.";
    else said.textContent = "";
    return found;
  }

  #watchTheme() {
    const observer = new MutationObserver(() => {
      if (!this.element.isConnected) return observer.disconnect();
      for (const { plot } of this.plots) plot.refresh();
      this.#legend();
    });
    for (const node of [document.documentElement, document.body]) {
      observer.observe(node, { attributes: true, attributeFilter: ["class"] });
    }
  }
}

function pause(ms) {
  return new Promise((done) => setTimeout(done, ms));
}
