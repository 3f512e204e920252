// How two runs differ, as colours: what both hold, only one, neither. A column of several tokens, and a
// layer whose heads differ, is a mixture by their shares. Drawn by Raster and MapView like any run.

import { css, mix, packed } from "./colors.js";
import { el, pixelRatio } from "./dom.js";
import { MARGIN, MARGIN_TOP } from "./margins.js";
import { SIDES, holds } from "./pair.js";

const LEAST = 0.3; // of what one run alone holds, so that a single token among many stays visible

export class Difference {
  constructor(pair) {
    this.pair = pair;
  }

  setPalette(palette) {
    // By a * 2 + b: whether A and B hold it.
    this.colours = [palette.dropped, palette.b, palette.a, palette.both];
  }

  begin(columns, pair, view) {
    this.columns = columns;
    Object.assign(this, pair.compared(view.clock));
  }

  line(out, layer) {
    const { from, to, used } = this.columns;
    const { pair, steps } = this;
    const [rowsA, rowsB] = SIDES.map((side) => pair[side].rowsOfLayer[layer].map((row) => pair[side].evictedAt[row]));
    const heads = Math.max(rowsA.length, rowsB.length);
    const counts = new Float64Array(4);
    for (let c = 0; c < used; c++) {
      if (c && from[c] === from[c - 1] && to[c] === to[c - 1]) {
        out[c] = out[c - 1];
        continue;
      }
      const end = Math.min(to[c], this.shared);
      if (end <= from[c]) break; // not in both texts, or a run has not come that far
      counts.fill(0);
      for (let head = 0; head < heads; head++) {
        const a = rowsA[Math.min(head, rowsA.length - 1)], b = rowsB[Math.min(head, rowsB.length - 1)];
        for (let t = from[c]; t < end; t++) counts[2 * holds(a[t], steps[0]) + holds(b[t], steps[1])]++;
      }
      out[c] = packed(this.#mixed(counts, heads * (end - from[c])));
    }
  }

  #mixed(counts, all) {
    const { colours } = this;
    const alone = counts[1] + counts[2];
    const plain = mix(colours[0], colours[3], counts[3] / (counts[0] + counts[3] || 1));
    if (!alone) return plain;
    return mix(plain, mix(colours[1], colours[2], counts[2] / alone), Math.max(LEAST, alone / all));
  }
}

/** Above the map: by how many layers A holds a token more, upwards, and B, downwards. */
export function ahead(g, { raster, palette, plot }) {
  const middle = MARGIN_TOP + MARGIN / 2;
  const pixel = 1 / pixelRatio();
  for (let c = 0, from = 0; c < raster.used; c = from) {
    const value = raster.mean[c];
    while (from < raster.used && raster.mean[from] === value) from++;
    const height = (Math.abs(value) / raster.top) * (MARGIN / 2);
    if (!height) continue;
    g.fillStyle = css(value > 0 ? palette.a : palette.b);
    g.fillRect(plot.x + c * pixel, value > 0 ? middle - height : middle, (from - c) * pixel, height);
  }
  g.fillStyle = palette.bar;
  g.fillRect(plot.x, middle, plot.width, pixel);
}

export function aheadAxis(g, { palette, plot }) {
  g.fillStyle = palette.muted;
  g.font = palette.font;
  g.textAlign = "right";
  g.textBaseline = "middle";
  g.fillText("A", plot.x - 6, MARGIN_TOP + 5);
  g.fillText("B", plot.x - 6, MARGIN_TOP + MARGIN - 5);
  if (plot.width <= 420) return;
  g.textAlign = "left";
  g.textBaseline = "alphabetic";
  g.fillText("who holds a token in more layers", plot.x, 10);
}

const LEGEND = [["both", "both hold it"], ["a", "only A"], ["b", "only B"], ["dropped", "neither"], ["unseen", "not in both yet, or never"]];

export function differenceLegend() {
  return LEGEND.map(([name, text]) => el("span", {}, el("i", { className: `lc-swatch lc-swatch-${name}` }), text));
}

/** A cell of the difference, in words. */
export function inWords(found) {
  if (!found) return "not in both texts";
  const { both, a, b, neither, of } = found;
  const names = { both: "both hold it", a: "only A holds it", b: "only B holds it", neither: "neither holds it" };
  const [only] = Object.entries({ both, a, b, neither }).filter(([, heads]) => heads === of);
  if (only) return names[only[0]];
  return Object.entries({ "by both": both, "only by A": a, "only by B": b, "by neither": neither })
    .filter(([, heads]) => heads).map(([who, heads]) => `${heads} of ${of} heads ${who}`).join(", ");
}
