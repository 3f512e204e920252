// What the map and the curves below a map share: columns across a canvas, the same part of the run in
// both, and one drawing a frame however often it is asked for.

import { fitCanvas, pixelRatio } from "./dom.js";
import { SIDE } from "./margins.js";

export const LEFT = 40;

/** Who extends it has a `view` and a `plot`, and draws by `draw()`. */
export class Columns {
  constructor(canvas) {
    this.canvas = canvas;
    // Opaque, so that what lies under it is not painted and then blended with it.
    this.context = canvas.getContext("2d", { alpha: false });
    this.resizing = new ResizeObserver(() => this.resize());
    this.resizing.observe(canvas);
  }

  resize() {
    this.room = this.canvas.clientWidth;
    if (!fitCanvas(this.canvas)) return;
    this.resized?.();
    this.draw(); // at once: a resized canvas is blank
  }

  /** The width of the columns. Kept, as asking for it while drawing has the page laid out once more. */
  get across() {
    this.room ||= this.canvas.clientWidth;
    return Math.max(10, this.room - LEFT - SIDE);
  }

  /** All of the canvas as the panel that it lies on. */
  blank() {
    const { context: g, canvas } = this;
    g.fillStyle = this.palette.panel;
    g.fillRect(0, 0, canvas.width / pixelRatio(), canvas.height / pixelRatio());
  }

  /** Draws in the next animation frame; many requests make one drawing. */
  request() {
    if (this.pending) return;
    this.pending = requestAnimationFrame(() => {
      this.pending = 0;
      this.draw();
    });
  }

  /** The column at a place of the canvas, with its fraction: a token, or by slot a place in the cache. */
  columnAt(x) {
    const [first, last] = this.view.visible;
    return first + ((x - LEFT) / this.plot.width) * (last - first);
  }

  xOf(column) {
    const [first, last] = this.view.visible;
    return LEFT + ((column - first) / (last - first)) * this.plot.width;
  }
}
