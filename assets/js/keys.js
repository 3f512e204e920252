// The keyboard, and the button that lists what its keys do.

import { el } from "./dom.js";
import { menu } from "./menu.js";

const LIST = [
  ["← → ↑ ↓", "move the cell (on the map)"],
  ["+  −", "zoom in, out"],
  ["Home", "show the whole run"],
  ["Space", "play or pause"],
  [",  .", "one step back, on"],
  ["[  ]", "previous, next compaction"],
  ["<  >", "the same, one by one within a step"],
  ["L", "go to the last step, follow a run"],
  ["M", "change what the map shows"],
  ["X", "by text or by cache slot"],
  ["H", "the next head's slots, where heads differ"],
  ["A", "attention: last query, all so far"],
  ["V", "the same text under the next policy"],
  ["Esc", "unlock the cell"],
  ["?", "open or close this list"],
];
const MOUSE = "Wheel zooms, dragging selects a stretch or pans, a double click shows all.";

/** Listens on the whole instrument; `actions` says what each key does. */
export function listen(root, canvases, actions) {
  root.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { key, target } = event;
    const action = actions[key] || actions[key.toLowerCase()];
    if (!action) return;
    // Buttons, the scrub bar and what scrolls keep the keys that are theirs.
    const theirs = key === " " || key === "Home" || key.startsWith("Arrow");
    const onMap = canvases.includes(target);
    if (theirs && !onMap && (key !== " " || target.closest("button, input, select, summary"))) return;
    event.preventDefault();
    action();
  });
}

const TYPED = "input:not([type=range], [type=checkbox], [type=radio]), textarea, select, [contenteditable]";

/** Opens and closes the list of keys from anywhere on the page, except where somebody types. */
export function listenForHelp(root, toggle) {
  const heard = (event) => {
    if (!root.isConnected) {
      document.removeEventListener("keydown", heard);
      return;
    }
    if (event.key !== "?" || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest?.(TYPED)) return;
    event.preventDefault();
    toggle();
  };
  document.addEventListener("keydown", heard);
}

/** The menu that lists them, but for those named. */
export function helpMenu(without = []) {
  const list = el("dl", {}, ...LIST.filter(([keys]) => !without.includes(keys)).flatMap(([keys, what]) => [
    el("dt", {}, ...keys.split(/\s+/).map((k) => el("kbd", { textContent: k }))),
    el("dd", { textContent: what }),
  ]));
  return menu("?", "Keys and gestures (?)", el("div", {}, list, el("p", { textContent: MOUSE })));
}
