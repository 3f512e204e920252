// What is shown, and how close: the buttons above the map, and what their keys do. Also the words of a
// run's state.

import { button, el } from "./dom.js";
import { Switches } from "./switches.js";

export const MODES = {
  state: ["Held", "What each layer holds, and what it dropped"],
  attention: ["Attention", "Where the last query looked"],
  holding: ["Layers holding", "How many layers hold each token"],
  when: ["Dropped when", "At which step each layer dropped each token"],
};
export const CHIPS = { loading: "Starting", running: "Running", done: "Done", stopped: "Stopped", failed: "Failed" };

export class Toolbar {
  /** `more` are nodes that stand behind the help. */
  constructor(view, help, more = []) {
    this.view = view;
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
      button("minus", "Zoom out", () => this.#zoom(2)),
      button("plus", "Zoom in", () => this.#zoom(0.5)),
      button("All", "Show the whole run (Home)", () => view.fit()),
    );
    this.switches = new Switches(view);
    this.node = el("div", { className: "lc-toolbar" },
      el("div", { className: "lc-shown" }, modes, ...this.switches.nodes),
      el("div", { className: "lc-group" }, zoom, help.box, ...more));
  }

  update() {
    for (const node of this.modeButtons) {
      node.setAttribute("aria-pressed", String(node.dataset.mode === this.view.mode));
    }
    this.node.classList.toggle("lc-by-head", this.view.store.heads > 1);
    this.switches.update();
  }

  /** What keys do here. */
  get actions() {
    const { view, switches } = this;
    const names = Object.keys(MODES);
    const zoomIn = () => this.#zoom(0.5);
    return {
      "+": zoomIn,
      "=": zoomIn,
      "-": () => this.#zoom(2),
      Home: () => view.fit(),
      0: () => view.fit(),
      m: () => view.setMode(names[(names.indexOf(view.mode) + 1) % names.length]),
      x: () => switches.toggleAxis(),
      h: () => view.slots && view.nextHead(),
      a: () => switches.toggleQueries(),
    };
  }

  /** Around the cell that is spoken of, else around the middle. */
  #zoom(factor) {
    const { view } = this;
    const { focus, visible } = view;
    const at = focus ? view.columnOf(focus.token, focus.layer ?? 0) : -1;
    view.zoom(factor, at < 0 ? (visible[0] + visible[1]) / 2 : at + 0.5);
  }
}

/** A message without the word that the chip before it says already. */
export function withoutLabel(message, label) {
  const rest = label && message.startsWith(label) ? message.slice(label.length) : "";
  return /^[:.] \S/.test(rest) ? rest.charAt(2).toUpperCase() + rest.slice(3) : message;
}
