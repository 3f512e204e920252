// Making elements. Text always goes in as text: nothing that a model or a user wrote is interpreted.

export function el(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

/** A button; `hint` is its tooltip, and its name too when the text is only a symbol. */
export function button(text, hint, onClick) {
  const node = el("button", { type: "button", className: "lc-button", textContent: text, title: hint });
  if (!/[a-z]/i.test(text)) node.setAttribute("aria-label", hint);
  node.addEventListener("click", onClick);
  return node;
}

export function count(number) {
  return Number(number).toLocaleString("en-US");
}

/** A token as it can be seen: white space made visible where there is nothing else. */
export function visible(token) {
  const shown = token.replace(/\n/g, "⏎").replace(/\t/g, "⇥");
  return shown.trim() === "" ? shown.replace(/ /g, "␣") || "∅" : shown;
}

export function bytes(number) {
  if (number >= 1e9) return `${(number / 1e9).toFixed(2)} GB`;
  if (number >= 1e6) return `${(number / 1e6).toFixed(1)} MB`;
  return `${(number / 1e3).toFixed(0)} KB`;
}
