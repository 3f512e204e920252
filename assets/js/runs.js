// Which run is shown: the recorded ones, the visitor's own, a saved trace; and saving the one that
// is shown. Everything that needs a server is a function in `options` (docs/live-map.md), and what
// is left out there is not offered.

import { snapshotOf } from "./copy.js";
import { count, el, setText } from "./dom.js";
import { eventHeading, eventName } from "./events.js";
import { menu } from "./menu.js";
import { keep, recall } from "./recall.js";
import { compactionsCsv, download, fileName, picture } from "./save.js";
import { decode } from "./store.js";
import { Versus } from "./versus.js";

const CHIPS = { recorded: "Recorded run", opened: "Opened run", measured: "Measured run" };
const SAVE_ON_SERVER = {
  npz: ["Trace", ".npz", "Everything about the run: opens here again, and in Python."],
  html: ["Page", ".html", "This instrument with this run in one file that needs no network."],
};
const SAVE_HERE = {
  png: ["Picture", ".png", "The map as it stands now, with its legend."],
  csv: ["Compactions", ".csv", "Every compaction as a row of a table."],
};

export class Runs {
  constructor(instrument, options) {
    Object.assign(this, { instrument, options, turn: 0 });
    this.recordings = options.recordings || [];
    this.known = new Map(); // snapshots of recordings, by id
    this.mine = null; // the visitor's own run, once another one is shown
    this.opened = null; // the last trace that was opened
    this.said = el("span", { className: "lc-said", hidden: true });
    this.said.setAttribute("role", "status");
    this.title = el("b");
    this.about = el("span");
    this.invitation = el("span", { className: "lc-invitation" });
    this.caption = el("div", { className: "lc-caption", hidden: true },
      el("p", {}, this.title, " ", this.about), this.invitation);
    this.versus = new Versus(this);
    this.caption.append(this.versus.node);
    this.nodes = [];
    this.#chooser();
    this.#saver();
    if (options.keeps) recall(options.keeps, (run) => instrument.onGap(run), (...found) => this.#recalled(...found));
  }

  #chooser() {
    const { onOpenFile } = this.options;
    if (!this.recordings.length && !onOpenFile) return;
    this.list = el("div", { className: "lc-choices" });
    this.chooser = menu("Runs", "Recorded runs, your own, and saved ones", el("div", {}, this.list));
    this.nodes.push(this.chooser.box);
    if (!onOpenFile) return;
    this.file = el("input", { type: "file", accept: ".npz", hidden: true });
    this.file.setAttribute("aria-label", "A saved trace");
    this.file.addEventListener("change", () => this.#openFile());
    this.chooser.box.append(this.file);
  }

  #saver() {
    const kinds = { ...(this.options.onExport ? SAVE_ON_SERVER : {}), ...SAVE_HERE };
    const choices = Object.entries(kinds).map(([kind, [label, ending, about]]) => {
      const node = choice(`${label} (${ending})`, about, () => {
        this.saver.close();
        this.save(kind);
      });
      node.dataset.kind = kind;
      return node;
    });
    const panel = el("div", {}, el("div", { className: "lc-choices" }, ...choices));
    this.saver = menu("Save", "Save the run that is shown", panel);
    this.nodes.push(this.saver.box);
  }

  /** What the chip says of a run that is not going on; null where its state says it. */
  get chip() {
    const { setup, state } = this.instrument.store;
    return ["done", "stopped"].includes(state.name) ? CHIPS[setup.origin] || null : null;
  }

  /** That the run is real: when it ran, and with what. */
  get provenance() {
    const { model, created, versions, origin } = this.instrument.store.setup;
    if (!CHIPS[origin]) return "";
    const when = created ? ` on ${day(created)}` : "";
    const what = Object.entries(versions || {}).map(([name, version]) => `${name} ${version}`);
    return `A real run of ${model}${when}${what.length ? `, with ${what.join(", ")}` : ""}.`;
  }

  /** The day of a recorded or opened run, for the line that names model and policy. */
  get day() {
    const { created, origin } = this.instrument.store.setup;
    return CHIPS[origin] && created ? `${origin === "measured" ? "measured" : "recorded"} ${day(created)}` : "";
  }

  update() {
    const { store } = this.instrument;
    if (this.shown !== store.run) {
      this.shown = store.run;
      if (store.setup.origin === "recorded") this.known.set(store.run, snapshotOf(store));
      const { origin, title, about } = store.setup;
      if (this.options.keeps && store.run !== null && !CHIPS[origin]) keep(this.options.keeps, { runs: [store.run] });
      this.caption.hidden = !CHIPS[origin] || !title;
      this.title.textContent = title || "";
      this.about.textContent = about || "";
      this.caption.title = this.provenance;
      this.say("");
      this.#choices();
    }
    this.versus.update();
    this.saver.opener.disabled = !store.steps;
    const csv = this.saver.box.querySelector("[data-kind=csv]");
    setText(csv.firstChild, `${eventHeading(store, true)} (${SAVE_HERE.csv[1]})`);
    setText(csv.lastChild, `Every ${eventName(store)} as a row of a table.`);
  }

  /** A word on what was asked for last; it stays until something else is asked for or shown. */
  say(text, bad = false) {
    this.said.textContent = text;
    this.said.hidden = !text;
    this.said.classList.toggle("lc-bad", bad);
  }

  #choices() {
    if (!this.list) return;
    const { store } = this.instrument;
    const nodes = this.recordings.map(({ id, label, about }) =>
      this.#choice(label, about, id === store.run, () => this.open(id)));
    if (nodes.length) nodes.unshift(el("p", { textContent: "Recorded runs of the real model" }));
    if (this.startTour) nodes.push(this.#choice("Take the tour", "Five short steps over these runs", false, this.startTour));
    const mine = !CHIPS[store.setup.origin] && store.run !== null;
    if (this.mine && !mine) {
      nodes.push(this.#choice("Your run", `${this.mine.setup.label}, ${count(this.mine.tokens.length)} tokens`,
        false, () => this.openMine()));
    }
    if (this.opened) {
      const { setup, run } = this.opened;
      nodes.push(this.#choice(setup.title, "The trace that you opened", run === store.run, () => this.show(this.opened)));
    }
    if (this.file) nodes.push(this.#choice("Open a trace…", "A file that was saved here or in Python", false, () => this.file.click()));
    this.list.replaceChildren(...nodes);
  }

  #choice(label, about, shown, act) {
    const node = choice(label, about, () => {
      this.chooser.close();
      act();
    });
    if (shown) node.setAttribute("aria-current", "true");
    return node;
  }

  /** Shows a run; the visitor's own, if it is left, can be had again. */
  show(snapshot) {
    const { store } = this.instrument;
    if (store.run !== null && !CHIPS[store.setup.origin] && store.run !== snapshot.run) this.mine = snapshotOf(store);
    this.instrument.show(snapshot);
  }

  /** The visitor's run from before the page was loaded anew, unless another one is looked at by now. */
  #recalled([snapshot], _, again) {
    const { store } = this.instrument;
    const wanted = again ? store.run === snapshot.run : store.run === null || store.setup.origin === "recorded";
    if (!wanted) return false;
    if (again) this.instrument.receive(snapshot);
    else {
      this.show(snapshot);
      this.say("Your last run in this tab, from before the page was loaded.");
    }
    return true;
  }

  /** The snapshot of a recording; asked for once. Null when it cannot be had, which is then said. */
  async recording(id) {
    if (!this.known.has(id)) {
      const found = await this.#ask("Opening the recorded run…", () => this.options.onOpen(id));
      if (!found) return null;
      this.known.set(id, found);
    }
    return this.known.get(id);
  }

  async open(id) {
    const found = await this.recording(id);
    if (found) this.show(found);
  }

  /** Shows another recording of the same text, as the one before was looked at. */
  async compare(id) {
    const { store, view } = this.instrument;
    if (id === store.run) return;
    const found = await this.recording(id);
    if (!found) return;
    const { outlook } = view;
    this.show(found);
    view.look(outlook);
  }

  /** Back to the visitor's own run, which may have gone on meanwhile. */
  async openMine() {
    this.show(this.mine);
    await this.refresh();
  }

  /** The run that is shown as the server knows it by now. */
  async refresh() {
    const { run } = this.instrument.store;
    const fresh = await this.instrument.onGap(run).catch(() => null);
    if (fresh && this.instrument.store.run === run) this.instrument.receive(fresh);
  }

  async #openFile() {
    const [file] = this.file.files;
    this.file.value = ""; // so that the same file can be chosen again
    if (!file) return;
    const { maxFileBytes, onOpenFile } = this.options;
    if (maxFileBytes && file.size > maxFileBytes) {
      this.say(`${file.name} is larger than the ${count(maxFileBytes >> 20)} MiB that can be opened.`, true);
      return;
    }
    const found = await this.#ask(`Opening ${file.name}…`, async () => onOpenFile(file.name, await base64(file)), `${file.name}: `);
    if (!found) return;
    this.opened = found;
    this.show(found);
  }

  async save(kind) {
    const { store } = this.instrument;
    if (kind === "csv") {
      download(fileName(store, kind), new Blob([compactionsCsv(store)], { type: "text/csv" }));
    } else if (kind === "png") {
      const image = await picture(this.instrument);
      if (image) download(fileName(store, kind), image);
    } else {
      const found = await this.#ask("Saving…", () => this.options.onExport(store.run, kind));
      if (found) download(found.name, new Blob([decode(found.base64, Uint8Array)], { type: found.type }));
    }
  }

  /** Asks the server and says so; null when there is no answer or another question came after it. */
  async #ask(saying, work, where = "") {
    const turn = ++this.turn;
    this.say(saying);
    let found = null;
    try {
      found = await work();
    } catch {
      // Said below, as an answer that never came is.
    }
    if (turn !== this.turn) return null;
    if (!found || "problem" in found) {
      this.say(where + (found?.problem || "The server did not answer. Please try again."), true);
      return null;
    }
    this.say("");
    return found;
  }
}

function choice(label, about, act) {
  const node = el("button", { type: "button", className: "lc-choice" }, el("b", { textContent: label }), el("span", { textContent: about }));
  node.addEventListener("click", act);
  return node;
}

function day(iso) {
  const date = new Date(iso);
  if (Number.isNaN(date.getTime())) return iso.slice(0, 10);
  return date.toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric", timeZone: "UTC" });
}

async function base64(file) {
  const reader = new FileReader();
  await new Promise((done, failed) => {
    reader.onload = done;
    reader.onerror = failed;
    reader.readAsDataURL(file);
  });
  return reader.result.slice(reader.result.indexOf(",") + 1);
}
