// A cell of the needle's heatmap: what was asked and answered in it, and the way to each run's map.
// What a model wrote goes in as text.

import { button, el } from "./dom.js";

export class CellPanel {
  /** `open(record, note)` shows a run, or says in `note` why it cannot. */
  constructor(root, open) {
    Object.assign(this, { root, open });
    root.hidden = true;
  }

  show(cell) {
    this.root.hidden = !cell;
    if (!cell) return;
    const rows = cell.answers.map((answer) => {
      const verdict = el("span", { className: "lc-chip", textContent: answer.correct ? "Right" : "Wrong" });
      verdict.dataset.state = answer.correct ? "done" : "failed";
      const note = el("span", { className: "lx-note lx-bad" });
      note.setAttribute("role", "status");
      const go = button("Open on the map", "Which layers held the needle, token by token", () => this.open(answer.record, note));
      return el("li", {}, verdict,
        el("span", { className: "lx-answer" }, "hidden: ", el("b", { textContent: answer.key }),
          ", answered: ", el("q", { textContent: answer.answer.trim() || " " }),
          ` (over all layers, ${answer.layers} of the needle was still held)`),
        answer.record ? go : el("span", { className: "lx-note", textContent: "this run was not kept" }), note);
    });
    this.root.replaceChildren(
      el("h3", { textContent: `${cell.label}: ${cell.length.toLocaleString("en-US")} tokens, depth ${cell.depth}` }),
      el("ul", {}, ...rows),
    );
  }
}
