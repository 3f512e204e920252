// The losses of two runs over the text: token by token, the running difference, and the perplexity so
// far. Lies below the difference map and shares its columns, so it zooms, pans and points with it.

import { css, readPalette } from "./colors.js";
import { Columns, LEFT } from "./columns.js";
import { pixelRatio } from "./dom.js";
import { Gestures } from "./gestures.js";

const HEAD = 18, GAP = 12, FOOT = 4;
const PLOTS = { loss: 74, running: 84, perplexity: 74 };
const SETTLED = [100, 0.25]; // tokens, or the share of them, after which a perplexity means something
export const CURVES_HEIGHT = Object.values(PLOTS).reduce((sum, height) => sum + height + HEAD + GAP, FOOT);

export class Curves extends Columns {
  constructor(canvas, pair, view, losses) {
    super(canvas);
    Object.assign(this, { view, losses, store: pair });
    canvas.style.height = `${CURVES_HEIGHT}px`;
    this.refreshPalette();
    this.gestures = new Gestures(this);
  }

  refreshPalette() {
    this.palette = readPalette(this.canvas);
    this.request();
  }

  // What Gestures asks of a map.

  get plot() {
    return { x: LEFT, y: 0, width: this.across, bottom: CURVES_HEIGHT, height: CURVES_HEIGHT };
  }

  cellAt(x) {
    const token = Math.floor(this.columnAt(x));
    const inside = x >= LEFT && x <= LEFT + this.plot.width && token >= 0 && token < this.losses.length;
    return inside ? { token, layer: this.view.locked?.layer ?? null } : null;
  }

  draw() {
    const { context: g, palette, losses, plot, view } = this;
    const ratio = pixelRatio();
    g.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.blank();
    if (!losses.length) return;
    this.ends = [Math.max(0, Math.floor(view.visible[0])), Math.min(losses.length, Math.ceil(view.visible[1]))];
    this.now = Math.min(this.store.seen(view.clock), losses.length) - 1;
    const { a, b } = this.store;
    let y = HEAD;
    this.#plot(y, PLOTS.loss, "loss of each token, nats", [a.nll, b.nll], { from: 0, digits: 1 });
    y += PLOTS.loss + GAP + HEAD;
    this.#plot(y, PLOTS.running, "running difference A − B (rising: B knows more)", [losses.running], { from: 0, to: 0, digits: 1, filled: true });
    y += PLOTS.running + GAP + HEAD;
    this.#plot(y, PLOTS.perplexity, "perplexity so far", [losses.perplexity.a, losses.perplexity.b], { skip: Math.min(SETTLED[0], SETTLED[1] * losses.length), digits: 1, log: true });
    g.fillStyle = palette.panel; // what comes after the clock is faint
    g.globalAlpha = 0.66;
    const x = Math.max(LEFT, this.xOf(this.now + 1));
    g.fillRect(x, 0, Math.max(0, plot.x + plot.width - x + 1), CURVES_HEIGHT);
    g.globalAlpha = 1;
    this.#crosshair(g);
    this.#brush(g);
  }

  /** Least, mean and most per pixel become a line; `filled` marks whose side of zero it is on. */
  #plot(top, height, title, lines, { from = Infinity, to = -Infinity, skip = 0, digits, filled = false, log = false }) {
    const { context: g, palette, plot } = this;
    const [first, end] = this.ends;
    const drawn = lines.map((values) => this.#columns(values, Math.max(first, Math.floor(skip)), end));
    let low = from, high = to;
    for (const points of drawn) {
      for (const [, mean] of points) {
        low = Math.min(low, mean);
        high = Math.max(high, mean);
      }
    }
    if (!(high > low)) high = low + 1;
    const place = log ? Math.log : (value) => value;
    const yOf = (value) => top + height - ((place(value) - place(low)) / (place(high) - place(low))) * height;
    g.fillStyle = palette.muted;
    g.font = palette.font;
    g.textBaseline = "alphabetic";
    g.textAlign = "left";
    g.fillText(title, plot.x, top - 6);
    g.textAlign = "right";
    g.textBaseline = "middle";
    for (const value of [low, high]) g.fillText(value.toFixed(Math.abs(value) < 100 ? digits : 0), plot.x - 5, yOf(value) + (value === low ? -4 : 4));
    g.fillStyle = palette.edge;
    g.fillRect(plot.x, Math.round(yOf(Math.max(low, Math.min(high, 0)))), plot.width, 1);
    const colours = filled ? [palette.text] : [css(palette.a), css(palette.b)];
    g.save();
    g.beginPath();
    g.rect(plot.x, top - 2, plot.width, height + 4);
    g.clip();
    drawn.forEach((points, k) => {
      if (!points.length) return;
      if (filled) this.#fill(points, yOf);
      g.strokeStyle = colours[k];
      g.lineWidth = 1.5;
      g.lineJoin = "round";
      g.beginPath();
      points.forEach(([x, mean], n) => g[n ? "lineTo" : "moveTo"](x, yOf(mean)));
      g.stroke();
    });
    g.restore();
    g.textAlign = "left";
    const said = lines.map((values, k) => [values[this.now], colours[k]]).filter(([value]) => Number.isFinite(value));
    const spots = said.map(([value]) => Math.max(top + 5, Math.min(top + height - 5, yOf(value))));
    if (spots.length > 1 && Math.abs(spots[0] - spots[1]) < 12) { // both can be read
      const upper = spots[0] <= spots[1] ? 0 : 1;
      const middle = Math.max(top + 11, Math.min(top + height - 11, (spots[0] + spots[1]) / 2));
      spots[upper] = middle - 6;
      spots[1 - upper] = middle + 6;
    }
    said.forEach(([value, colour], k) => {
      g.fillStyle = colour;
      g.fillText(value.toFixed(digits), plot.x + plot.width + 5, spots[k]);
    });
  }

  /** Points [x, mean] of what lies between two tokens, one a pixel at most. */
  #columns(values, first, end) {
    const points = [];
    const pixels = Math.max(1, this.xOf(1) - this.xOf(0));
    const stride = Math.max(1, Math.floor(1 / (this.xOf(1) - this.xOf(0))));
    for (let t = first; t < end; t += stride) {
      let sum = 0, known = 0;
      for (let u = t; u < Math.min(end, t + stride); u++) {
        if (!Number.isFinite(values[u])) continue;
        sum += values[u];
        known++;
      }
      if (known) points.push([this.xOf(t + stride / 2), sum / known]);
    }
    if (points.length === 1) points.push([points[0][0] + pixels, points[0][1]]);
    return points;
  }

  #fill(points, yOf) {
    const { context: g, palette } = this;
    const zero = yOf(0), far = 4 * CURVES_HEIGHT;
    for (const [colour, y] of [[palette.b, -far], [palette.a, zero]]) { // above zero B was less surprised
      g.save();
      g.beginPath();
      g.rect(0, y, this.room, y < 0 ? zero + far : far);
      g.clip();
      g.fillStyle = css(colour);
      g.globalAlpha = 0.28;
      g.beginPath();
      g.moveTo(points[0][0], zero);
      for (const [x, value] of points) g.lineTo(x, yOf(value));
      g.lineTo(points.at(-1)[0], zero);
      g.fill();
      g.restore();
    }
  }

  #crosshair(g) {
    const { view, palette, plot } = this;
    if (!view.focus) return;
    const x = this.xOf(view.focus.token), width = Math.max(1.5, this.xOf(view.focus.token + 1) - x);
    if (x + width < plot.x || x > plot.x + plot.width) return;
    g.fillStyle = palette.focus;
    g.globalAlpha = view.locked ? 0.4 : 0.22;
    g.fillRect(Math.max(plot.x, x), 0, width, CURVES_HEIGHT);
    g.globalAlpha = 1;
  }

  #brush(g) {
    const { view, palette } = this;
    if (!view.brush) return;
    const [x, end] = view.brush.map((column) => this.xOf(column));
    g.fillStyle = palette.accent;
    g.globalAlpha = 0.18;
    g.fillRect(x, 0, end - x, CURVES_HEIGHT);
    g.globalAlpha = 1;
  }
}
