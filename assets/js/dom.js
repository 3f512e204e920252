// Making elements. Text always goes in as text: nothing that a model or a user wrote is interpreted.

const SVG = "http://www.w3.org/2000/svg";
const ICONS = {
  play: "M4 2.5v11l9.5-5.5z",
  pause: "M3.5 2.5h3.4v11H3.5zM9.1 2.5h3.4v11H9.1z",
  previous: "M2.5 2.5h2v11h-2zM13.5 2.5v11L5.5 8z",
  next: "M11.5 2.5h2v11h-2zM2.5 2.5v11L10.5 8z",
  plus: "M7.1 3h1.8v4.1H13v1.8H8.9V13H7.1V8.9H3V7.1h4.1z",
  minus: "M3 7.1h10v1.8H3z",
};

export function el(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

/** An SVG element with attributes, and what stands in it. */
export function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

export function icon(name) {
  return svg("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, svg("path", { d: ICONS[name] }));
}

/** A button with a text or, where `face` names one, an icon; `hint` is its tooltip and its name. */
export function button(face, hint, onClick) {
  const node = el("button", { type: "button", className: "lc-button", title: hint });
  if (ICONS[face]) {
    node.append(icon(face));
    node.setAttribute("aria-label", hint);
  } else {
    node.textContent = face;
    if (!/[a-z]/i.test(face)) node.setAttribute("aria-label", hint);
  }
  node.addEventListener("click", onClick);
  return node;
}

const NUMBERS = new Intl.NumberFormat("en-US"); // made once: it takes longer than all its uses

export function count(number) {
  return NUMBERS.format(number);
}

/** What stands at a place, as people count: the screen counts layers, steps, tokens and entries from 1. */
export function ordinal(index) {
  return count(index + 1);
}

/** "1 token", "2,000 tokens". */
export function counted(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

/** A token as it can be seen: white space made visible where there is nothing else, part of a letter named. */
export function visible(token) {
  const shown = token.replace(/\n/g, "⏎").replace(/\t/g, "⇥");
  return shown.trim() === "" ? shown.replace(/ /g, "␣") || "(no text)" : shown;
}

export function bytes(number) {
  if (number >= 1e9) return `${(number / 1e9).toFixed(2)} GB`;
  if (number >= 1e6) return `${(number / 1e6).toFixed(1)} MB`;
  return `${(number / 1e3).toFixed(0)} KB`;
}

/** A share as a percentage with two digits that matter. */
export function percent(share) {
  const value = 100 * share;
  if (value === 0) return "under 0.001 %";
  if (value >= 10) return `${value.toFixed(0)} %`;
  return `${Number(value.toPrecision(2))} %`;
}

/** Sets a text only where it is another one, so that nothing is laid out or read out twice. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Sets the children only where they are others: what stands there already is not laid out again. */
export function setChildren(node, children) {
  const same = node.childNodes.length === children.length && children.every((child, k) => child.isEqualNode(node.childNodes[k]));
  if (!same) node.replaceChildren(...children);
}

/** Makes a button of the page usable or not, by its id; one that is not there is left alone. */
export function enable(id, on) {
  const node = document.getElementById(id);
  if (node) node.disabled = !on;
}

/** A function that runs `work` soon and at most once in `interval` milliseconds. */
export function throttled(work, interval) {
  let timer = 0;
  let last = -Infinity;
  return () => {
    if (timer) return;
    timer = setTimeout(() => {
      timer = 0;
      last = performance.now();
      work();
    }, Math.max(0, Math.min(interval, last + interval - performance.now())));
  };
}

/** A function that tells, when asked, whether it is `interval` milliseconds since it last said yes. */
export function paced(interval) {
  let last = -Infinity;
  return () => {
    const now = performance.now();
    if (now - last < interval) return false;
    last = now;
    return true;
  };
}

let pictureRatio = 0;

/** Pixels of the screen, or of the picture that is being made, for one of CSS. */
export function pixelRatio() {
  return pictureRatio || window.devicePixelRatio || 1;
}

/** Does `work` as if the screen had so many pixels for one of CSS. */
export function atRatio(ratio, work) {
  pictureRatio = ratio;
  try {
    work();
  } finally {
    pictureRatio = 0;
  }
}

/** Fits a canvas to its element and the screen's pixels; true when it had to change. */
export function fitCanvas(canvas) {
  const ratio = pixelRatio();
  const width = Math.round(canvas.clientWidth * ratio);
  const height = Math.round(canvas.clientHeight * ratio);
  if (!width || !height || (canvas.width === width && canvas.height === height)) return false;
  canvas.width = width;
  canvas.height = height;
  return true;
}
