// Pointer, wheel and touch on the map, turned into changes of the View.
//
// Mouse: move to point, click to lock, drag to zoom in on a stretch or, once zoomed in, to pan
// (Shift always selects a stretch), wheel to zoom, double click for all. Touch: tap to lock, drag
// sideways to pan, two fingers to zoom; up and down scrolls the page.

import { stripOf } from "./annotations.js";

const CLICK = 4; // pixels within which a press is no drag
const SCROLLING = 350; // milliseconds in which a wheel that scrolled the page goes on doing so

export class Gestures {
  constructor(map) {
    this.map = map;
    this.view = map.view;
    this.pointers = new Map();
    const canvas = map.canvas;
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    canvas.addEventListener("pointerup", (event) => this.#up(event));
    canvas.addEventListener("pointercancel", (event) => this.#cancel(event));
    canvas.addEventListener("pointerleave", () => this.view.setHover(null));
    canvas.addEventListener("dblclick", () => this.view.fit());
    canvas.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
  }

  #at(event) {
    const box = this.map.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  #onStrip(x, y) {
    const strip = stripOf(this.map);
    return strip && y >= strip.y - 6 && x >= strip.x && x <= strip.x + strip.width ? strip : null;
  }

  #down(event) {
    if (event.button) return;
    const [x, y] = this.#at(event);
    this.pointers.set(event.pointerId, [x, y]);
    this.map.canvas.setPointerCapture(event.pointerId);
    this.pressed = [x, y];
    this.moved = false;
    if (this.#onStrip(x, y)) this.kind = "strip";
    else if (event.shiftKey || (!this.view.range && event.pointerType !== "touch")) this.kind = "select";
    else this.kind = "pan";
    if (this.kind === "strip") this.#strip(x);
  }

  #move(event) {
    const [x, y] = this.#at(event);
    const before = this.pointers.get(event.pointerId);
    if (!before) {
      this.view.setHover(this.map.cellAt(x, y));
      return;
    }
    this.pointers.set(event.pointerId, [x, y]);
    const other = [...this.pointers].find(([id]) => id !== event.pointerId)?.[1];
    if (other) {
      this.#pinch(before, [x, y], other);
      return;
    }
    this.moved ||= Math.abs(x - this.pressed[0]) > CLICK;
    if (!this.moved) return;
    if (this.kind === "strip") this.#strip(x);
    else if (this.kind === "select") {
      const ends = [this.map.columnAt(this.pressed[0]), this.map.columnAt(x)].sort((a, b) => a - b);
      this.view.setBrush(ends);
    } else if (this.view.range) this.view.pan(this.map.columnAt(before[0]) - this.map.columnAt(x));
    else this.view.setHover(this.map.cellAt(x, y)); // a finger on the whole run
  }

  #pinch(before, now, other) {
    this.moved = true;
    const apart = (a) => Math.max(16, Math.hypot(a[0] - other[0], a[1] - other[1]));
    const factor = Math.max(0.5, Math.min(2, apart(before) / apart(now)));
    this.view.zoom(factor, this.map.columnAt((now[0] + other[0]) / 2));
  }

  #up(event) {
    if (!this.pointers.delete(event.pointerId)) return;
    const { view } = this;
    const stretch = view.brush;
    if (stretch) view.brush = null;
    if (this.kind === "strip" || this.pointers.size) return;
    if (!this.moved) {
      view.toggleLock(this.map.cellAt(...this.#at(event)));
    } else if (stretch) {
      const first = Math.max(0, Math.floor(stretch[0]));
      view.show(first, Math.max(8, Math.ceil(stretch[1]) - first));
    }
  }

  #cancel(event) {
    this.pointers.delete(event.pointerId);
    if (this.view.brush) this.view.setBrush(null);
  }

  #strip(x) {
    const strip = stripOf(this.map);
    if (!strip) return;
    const [first, last] = this.view.visible;
    const centre = ((x - strip.x) / strip.width) * this.view.total;
    this.view.show(centre - (last - first) / 2, last - first);
  }

  #wheel(event) {
    const { view, map } = this;
    const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY);
    const pinching = event.ctrlKey || event.metaKey;
    const unit = event.deltaMode === 1 ? 16 : event.deltaMode === 2 ? 400 : 1;
    if (sideways || event.shiftKey) {
      if (!view.range) return;
      event.preventDefault();
      const [first, last] = view.visible;
      const delta = (sideways ? event.deltaX : event.deltaY) * unit;
      view.pan((delta / map.plot.width) * (last - first));
      return;
    }
    // Who scrolls the page past the map is not caught by it; neither is who has zoomed out fully.
    const goesOn = event.timeStamp - Gestures.scrolled < SCROLLING;
    const pointless = event.deltaY > 0 && !view.range;
    if (!map.store.length || (!pinching && (goesOn || pointless))) {
      if (!pinching) Gestures.scrolled = event.timeStamp;
      return;
    }
    event.preventDefault();
    view.zoom(Math.exp(event.deltaY * unit * (pinching ? 0.008 : 0.0022)), map.columnAt(this.#at(event)[0]));
  }
}

/** When the page itself was last scrolled by a wheel. */
Gestures.scrolled = -Infinity;
window.addEventListener("wheel", (event) => {
  if (!(event.target instanceof HTMLCanvasElement)) Gestures.scrolled = event.timeStamp;
}, { passive: true, capture: true });
