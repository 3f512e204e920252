// A button with a panel under it. Escape and going elsewhere close it; focus then returns.

import { button, el } from "./dom.js";

/** The box with both; `panel` is filled by whoever asks for it. `close` puts the panel away, `toggle` opens it too. */
export function menu(face, hint, panel) {
  panel.classList.add("lc-panel");
  panel.id = `lc-panel-${Math.random().toString(36).slice(2)}`;
  const show = (open) => {
    panel.hidden = !open;
    opener.setAttribute("aria-expanded", String(open));
  };
  const opener = button(face, hint, () => show(panel.hidden));
  opener.setAttribute("aria-controls", panel.id);
  const box = el("div", { className: "lc-help" }, opener, panel);
  let from = null; // where the keyboard was before
  const toggle = () => {
    if (!panel.hidden) {
      close();
      from?.focus({ preventScroll: true });
    } else {
      from = document.activeElement;
      opener.focus(); // so that Escape and going elsewhere close it
      show(true);
    }
  };
  const close = () => {
    if (panel.contains(document.activeElement)) opener.focus();
    show(false);
  };
  box.addEventListener("focusout", (event) => {
    // Nothing gains focus where the page as a whole loses it, as it does to a file dialog.
    if (document.hasFocus() && !box.contains(event.relatedTarget)) show(false);
  });
  box.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || panel.hidden) return;
    event.stopPropagation();
    close();
  });
  show(false);
  return { box, opener, close, toggle };
}
