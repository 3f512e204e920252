// A table of results. Everything goes in as text; a row may have a button.

import { el } from "./dom.js";

/**
 * @param columns `[{label, hint}]`
 * @param rows `[{cells: [text], cell}]`; with `onOpen`, a row whose `cell` is a number can be opened
 */
export function table(caption, columns, rows, onOpen = null) {
  const head = columns.map(({ label, hint }) => el("th", { scope: "col", textContent: label, title: hint || "" }));
  if (onOpen) head.push(el("th", { scope: "col" }, el("span", { className: "lc-hidden", textContent: "Open" })));
  const body = rows.map(({ cells, cell }) => {
    const shown = cells.map((text, k) => (k ? el("td", { textContent: text }) : el("th", { scope: "row", textContent: text })));
    if (onOpen) {
      const last = el("td");
      if (typeof cell === "number") {
        const node = el("button", { type: "button", className: "lx-link", textContent: "Answers" });
        node.setAttribute("aria-label", `Answers: ${cells.slice(0, 3).join(", ")}`);
        node.addEventListener("click", () => onOpen(cell));
        last.append(node);
      }
      shown.push(last);
    }
    return el("tr", {}, ...shown);
  });
  const node = el("div", { className: "lx-table", tabIndex: 0 }, el("table", {},
    el("caption", { className: "lc-hidden", textContent: caption }), el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...body)));
  node.setAttribute("role", "region");
  node.setAttribute("aria-label", caption);
  return node;
}
