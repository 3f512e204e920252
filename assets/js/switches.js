// The switches beside the modes: by text position or by cache slot and, in attention mode, the last
// query or all observed ones.

import { button, el, ordinal } from "./dom.js";

const AXES = {
  text: ["By text", "Columns in the order of the text (X)"],
  slot: ["By cache slot", "Column j is each layer's j-th entry, as the model counts positions (X)"],
};
const QUERIES = {
  last: ["Last query", "Attention of the last query alone (A)"],
  accumulated: ["Accumulated", "Mean attention over all observed queries up to the clock (A)"],
};

export class Switches {
  constructor(view) {
    this.view = view;
    this.axis = segments(AXES, "What a column is", (name) => view.setAxis(name));
    this.queries = segments(QUERIES, "Which queries", (name) => view.setAccumulated(name === "accumulated"));
    this.head = button("Head", "The heads of a layer hold different tokens: show the slots of the next one (H)", () => view.nextHead());
    this.nodes = [this.axis, this.head, this.queries];
  }

  update() {
    const { view } = this;
    press(this.axis, view.axis);
    press(this.queries, view.accumulated ? "accumulated" : "last");
    this.queries.classList.toggle("lc-gone", view.mode !== "attention"); // its room stays: nothing moves
    const { heads } = view.store;
    this.head.hidden = heads < 2;
    this.head.classList.toggle("lc-gone", !view.slots);
    const face = `Head ${ordinal(view.head)} of ${heads}`;
    if (this.head.textContent !== face) this.head.textContent = face;
  }

  toggleAxis() {
    this.view.setAxis(this.view.slots ? "text" : "slot");
  }

  /** Between last and accumulated; the first press shows attention at all. */
  toggleQueries() {
    const { view } = this;
    if (view.mode !== "attention") view.setMode("attention");
    else view.setAccumulated(!view.accumulated);
  }
}

/** Buttons of which one is pressed. */
function segments(choices, label, choose) {
  const box = el("div", { className: "lc-modes lc-switch" });
  box.setAttribute("role", "group");
  box.setAttribute("aria-label", label);
  for (const [name, [face, hint]] of Object.entries(choices)) {
    const node = button(face, hint, () => choose(name));
    node.dataset.choice = name;
    box.append(node);
  }
  return box;
}

function press(box, chosen) {
  for (const node of box.children) node.setAttribute("aria-pressed", String(node.dataset.choice === chosen));
}
