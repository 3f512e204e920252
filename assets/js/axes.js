// The axes of the map: layers down, tokens or cache slots across, and where the model's own text begins.

import { count } from "./dom.js";
import { whole } from "./margins.js";

export function axes(g, map) {
  const { palette, store, plot } = map;
  g.fillStyle = palette.muted;
  g.font = palette.font;
  layerAxis(g, store.layers, plot);
  columnAxis(g, map);
}

function layerAxis(g, layers, plot) {
  const every = [1, 5, 10, 20, 50].find((n) => n * plot.row >= 14) || layers;
  g.textBaseline = "middle";
  g.textAlign = "right";
  for (let layer = 1; layer <= layers; layer++) {
    const wanted = layer === 1 || layer === layers || layer % every === 0;
    const crowded = layer !== layers && (layers - layer) * plot.row < 12;
    const first = layer !== 1 && layer * plot.row < 15;
    if (wanted && !crowded && !first) {
      g.fillText(String(layer), plot.x - 6, plot.y + (layer - 0.5) * plot.row);
    }
  }
  g.save();
  g.translate(9, plot.y + plot.height / 2);
  g.rotate(Math.PI / 2);
  g.textAlign = "center";
  g.fillText("layer, deeper →", 0, 0);
  g.restore();
}

function columnAxis(g, map) {
  const { plot, palette } = map;
  const [first, last] = map.view.visible;
  const target = (last - first) / Math.max(2, plot.width / 90);
  const power = Math.pow(10, Math.floor(Math.log10(Math.max(1, target))));
  const step = Math.max(1, [1, 2, 5, 10].find((n) => n * power >= target) * power);
  const y = plot.bottom + 7;
  g.textBaseline = "top";
  g.textAlign = "right";
  const right = plot.x + plot.width;
  const name = map.view.slots ? "cache slot" : "token";
  g.fillText(name, right, y);
  const promptX = promptMark(map);
  const free = right - g.measureText(name).width - 8;
  g.textAlign = "center";
  for (const number of numbers(first, last, step)) {
    const x = map.xOf(number - 0.5);
    const label = count(number);
    const half = g.measureText(label).width / 2;
    g.fillRect(whole(x), plot.bottom, 1, 4);
    const marked = promptX !== null && Math.abs(x - promptX) < half + 8;
    if (x + half < free && !marked) g.fillText(label, Math.max(x, plot.x - LABEL_OUT + half), y);
  }
  if (promptX !== null) {
    const x = promptX;
    g.fillStyle = palette.text;
    g.beginPath();
    g.moveTo(x, plot.bottom + 1);
    g.lineTo(x - 4, plot.bottom + 7);
    g.lineTo(x + 4, plot.bottom + 7);
    g.fill();
    g.fillStyle = palette.muted;
    const text = "written by the model";
    const wide = g.measureText(text).width + 8;
    if (!map.view.range) { // else the strip lies there
      const after = x + wide < plot.x + plot.width;
      g.textAlign = after ? "left" : "right";
      g.fillText(after ? `${text} →` : `↑ ${text}`, after ? x - 4 : Math.max(x + 4, wide + 12), plot.bottom + 23);
    }
  }
}

/** The columns that are named, counted from 1: the first one, and every one that the step divides. */
function numbers(first, last, step) {
  const found = first < 1 && step > 2 ? [1] : [];
  for (let n = Math.max(step, Math.ceil((first + 0.5) / step) * step); n - 0.5 <= last; n += step) found.push(n);
  return found;
}

/** Where the given text ends and the model's begins; null when that is not in sight. */
function promptMark(map) {
  const { promptTokens, mode } = map.store.setup;
  const [first, last] = map.view.visible;
  if (map.view.slots) return null; // there the words of both lie apart in every layer
  const inSight = mode === "generate" && promptTokens > first && promptTokens < last;
  return inSight ? map.xOf(promptTokens) : null;
}

const LABEL_OUT = 10; // how far a label may reach to the left of the plot
