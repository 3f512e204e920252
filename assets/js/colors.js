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
  const get = (name) => style.getPropertyValue(`--lc-${name}`).trim();
  const palette = {};
  for (const name of ["text", "muted", "line", "focus", "panel", "bar", "peak", "window", "accent", "edge", "fact"]) {
    palette[name] = get(name);
  }
  for (const name of [...STATES, "few", "many", "both", "a", "b"]) palette[name] = parse(get(name));
  palette.font = `11px ${style.fontFamily || "sans-serif"}`;
  return palette;
}

export function mix(a, b, share) {
  return [0, 1, 2].map((k) => Math.round(a[k] + (b[k] - a[k]) * share));
}

/** A colour as the little-endian pixel of an ImageData. */
export function packed([r, g, b]) {
  return (0xff000000 | (b << 16) | (g << 8) | r) >>> 0;
}

/** 256 colours, dark to bright: bytes of an attention frame, or moments of a run. */
export function brightScale() {
  return Array.from({ length: 256 }, (_, v) => {
    const at = (v / 255) * (SCALE.length - 1);
    const k = Math.min(SCALE.length - 2, Math.floor(at));
    return mix(SCALE[k], SCALE[k + 1], at - k);
  });
}

export function css([r, g, b]) {
  return `rgb(${r} ${g} ${b})`;
}

/** A CSS gradient through some of the colours of a scale. */
export function gradient(colours) {
  const stops = Array.from({ length: 17 }, (_, k) => css(colours[Math.round((k / 16) * (colours.length - 1))]));
  return `linear-gradient(90deg, ${stops.join(", ")})`;
}
