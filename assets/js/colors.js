// Colours come from CSS variables, so that light and dark are decided in one place, the style sheet.

export const STATES = ["dropped", "held", "reserve", "sink"];

// Anchor points of a perceptually even dark-to-bright scale that stays readable for colour-blind
// eyes (blue, grey, yellow); in between is interpolated.
const SCALE = [
  [0, 24, 62], [18, 52, 110], [62, 76, 108], [96, 100, 111], [128, 126, 121],
  [164, 153, 116], [202, 184, 98], [240, 218, 70], [255, 240, 120],
];

function parse(text) {
  const hex = text.trim().replace("#", "");
  return [0, 2, 4].map((k) => parseInt(hex.slice(k, k + 2), 16));
}

export function readPalette(element) {
  const style = getComputedStyle(element);
  const get = (name) => style.getPropertyValue(`--lc-${name}`);
  const palette = { text: get("text"), muted: get("muted"), line: get("line"), focus: get("focus") };
  for (const name of STATES) palette[name] = parse(get(name));
  palette.bar = get("bar");
  palette.window = get("window");
  return palette;
}

export function mix(a, b, share) {
  return [0, 1, 2].map((k) => Math.round(a[k] + (b[k] - a[k]) * share));
}

/** 256 colours for the bytes of an attention frame: 0 is the dark end. */
export function massScale() {
  const out = new Uint8Array(256 * 3);
  for (let v = 0; v < 256; v++) {
    const at = (v / 255) * (SCALE.length - 1);
    const k = Math.min(SCALE.length - 2, Math.floor(at));
    mix(SCALE[k], SCALE[k + 1], at - k).forEach((c, i) => (out[3 * v + i] = c));
  }
  return out;
}

export function css([r, g, b]) {
  return `rgb(${r} ${g} ${b})`;
}
