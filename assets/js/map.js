// The map: layers by tokens on a canvas, with the number of layers holding each token above it.
// Draws what View and RunStore say, and turns pointer moves into changes of the View.

import { readPalette } from "./colors.js";
import { Raster } from "./raster.js";

const LEFT = 34, RIGHT = 8, TOP = 58, BOTTOM = 22, MARGIN = 34;

export class MapView {
  constructor(canvas, store, view) {
    Object.assign(this, { canvas, store, view });
    this.context = canvas.getContext("2d");
    this.raster = new Raster();
    this.drawSeconds = [];
    this.pointers = new Map();
    this.refreshPalette();
    new ResizeObserver(() => this.#resize()).observe(canvas);
    this.#listen();
  }

  refreshPalette() {
    this.palette = readPalette(this.canvas);
    this.raster.setPalette(this.palette);
    this.request();
  }

  /** Draws in the next animation frame; many requests make one drawing. */
  request() {
    if (this.pending) return;
    this.pending = requestAnimationFrame(() => {
      this.pending = 0;
      const start = performance.now();
      this.#draw();
      this.drawSeconds.push((performance.now() - start) / 1000);
      if (this.drawSeconds.length > 500) this.drawSeconds.splice(0, 250);
    });
  }

  #resize() {
    const { clientWidth, clientHeight } = this.canvas;
    const ratio = window.devicePixelRatio || 1;
    const width = Math.round(clientWidth * ratio), height = Math.round(clientHeight * ratio);
    if (!width || (this.canvas.width === width && this.canvas.height === height)) return;
    this.canvas.width = width;
    this.canvas.height = height;
    this.request();
  }

  get plot() {
    const { clientWidth, clientHeight } = this.canvas;
    return {
      x: LEFT, y: TOP,
      width: Math.max(10, clientWidth - LEFT - RIGHT),
      height: Math.max(10, clientHeight - TOP - BOTTOM),
    };
  }

  tokenAt(x) {
    const [first, last] = this.view.visible;
    return first + ((x - LEFT) / this.plot.width) * (last - first);
  }

  xOf(token) {
    const [first, last] = this.view.visible;
    return LEFT + ((token - first) / (last - first)) * this.plot.width;
  }

  cellAt(x, y) {
    const { plot, store } = this;
    const token = Math.floor(this.tokenAt(x));
    const layer = Math.floor(((y - plot.y) / plot.height) * store.layers);
    if (x < LEFT || token < 0 || token >= store.length || y < TOP - MARGIN) return null;
    return { token, layer: Math.max(0, Math.min(store.layers - 1, layer)) };
  }

  #draw() {
    const { context: g, store, view, palette, plot } = this;
    const ratio = window.devicePixelRatio || 1;
    g.setTransform(ratio, 0, 0, ratio, 0, 0);
    g.clearRect(0, 0, this.canvas.clientWidth, this.canvas.clientHeight);
    const [first, last] = view.visible;
    const from = Math.floor(first), to = Math.ceil(last);
    const clock = view.clock;
    const columns = this.raster.draw(store, clock, view.mode, from, to, Math.round(plot.width * ratio));

    g.save();
    g.beginPath();
    g.rect(plot.x, 0, plot.width, TOP + plot.height);
    g.clip();
    const left = this.xOf(from), width = this.xOf(to) - left;
    g.imageSmoothingEnabled = false;
    g.drawImage(this.raster.canvas, left, plot.y, width, plot.height);
    this.#rowLines(g, plot);
    this.#margin(g, left, width / columns);
    this.#windowLine(g, clock);
    this.#focus(g, plot);
    g.restore();
    this.#axes(g, plot, first, last);
  }

  #rowLines(g, plot) {
    const { layers } = this.store;
    const height = plot.height / layers;
    if (!layers || height < 5) return;
    g.fillStyle = this.palette.line;
    for (let layer = 1; layer < layers; layer++) {
      g.fillRect(plot.x, Math.round(plot.y + layer * height) - 0.5, plot.width, 1);
    }
  }

  #margin(g, left, columnWidth) {
    const { holders } = this.raster;
    const layers = this.store.layers || 1;
    const base = TOP - 6;
    const ratio = window.devicePixelRatio || 1;
    g.fillStyle = this.palette.bar;
    for (let c = 0; c < holders.length; c++) {
      const height = (holders[c] / layers) * MARGIN;
      if (!height) continue;
      // Whole pixels, or neighbouring bars would overlap into a pattern that is not there.
      const x = Math.round((left + c * columnWidth) * ratio) / ratio;
      const end = Math.round((left + (c + 1) * columnWidth) * ratio) / ratio;
      g.fillRect(x, base - height, Math.max(end - x, 1 / ratio), height);
    }
  }

  /** What a window of the same budget would hold: a bracket above, a dashed line through the map. */
  #windowLine(g, clock) {
    const { store, palette, plot } = this;
    const seen = store.seen(clock);
    if (!store.setup.budget || seen <= store.setup.budget) return;
    const x = this.xOf(store.windowStart(clock)), end = this.xOf(seen);
    g.strokeStyle = palette.window;
    g.lineWidth = 1.25;
    g.setLineDash([4, 3]);
    g.beginPath();
    g.moveTo(x, 14);
    g.lineTo(x, plot.y + plot.height);
    g.stroke();
    g.setLineDash([]);
    g.beginPath();
    g.moveTo(x, 14);
    g.lineTo(end, 14);
    g.stroke();
    g.fillStyle = palette.window;
    g.font = "11px system-ui, sans-serif";
    const label = "a window of the same budget starts here";
    const room = x - plot.x;
    g.textBaseline = "alphabetic";
    g.textAlign = room > 240 ? "right" : "left";
    g.fillText(label, room > 240 ? x - 6 : Math.max(x, plot.x) + 4, 11);
  }

  #focus(g, plot) {
    const cell = this.view.focus;
    if (!cell || !this.store.layers) return;
    const x = this.xOf(cell.token), width = Math.max(1.5, this.xOf(cell.token + 1) - x);
    const height = plot.height / this.store.layers;
    const y = plot.y + cell.layer * height;
    g.strokeStyle = this.palette.focus;
    g.lineWidth = this.view.locked ? 2 : 1;
    g.strokeRect(x - 0.5, TOP - MARGIN - 6, width + 1, plot.height + MARGIN + 6);
    g.strokeRect(plot.x, y - 0.5, plot.width, height + 1);
  }

  #axes(g, plot, first, last) {
    const { palette, store } = this;
    g.fillStyle = palette.muted;
    g.font = "11px system-ui, sans-serif";
    g.textBaseline = "middle";
    g.textAlign = "right";
    const height = plot.height / Math.max(1, store.layers);
    const every = Math.max(1, Math.ceil(13 / height));
    const nice = [1, 2, 3, 5, 6, 10, 15, 20].find((n) => n >= every) || every;
    for (let layer = 0; layer < store.layers; layer++) {
      if (layer === 0 || (layer + 1) % nice === 0) {
        g.fillText(String(layer + 1), LEFT - 6, plot.y + (layer + 0.5) * height);
      }
    }
    if (store.layers) {
      g.save();
      g.translate(8, plot.y + plot.height / 2);
      g.rotate(-Math.PI / 2);
      g.textAlign = "center";
      g.fillText("layer", 0, 0);
      g.restore();
    }
    g.textBaseline = "top";
    const target = (last - first) / Math.max(2, plot.width / 90);
    const power = Math.pow(10, Math.floor(Math.log10(Math.max(1, target))));
    const step = Math.max(1, [1, 2, 5, 10].find((n) => n * power >= target) * power);
    for (let token = Math.ceil(first / step) * step; token <= last; token += step) {
      const x = this.xOf(token);
      if (x > plot.x + plot.width - 40 && token < last) continue;
      g.textAlign = token === 0 ? "left" : "center";
      g.fillText(token.toLocaleString("en-US"), x, plot.y + plot.height + 6);
    }
    g.textAlign = "right";
    g.fillText("token", plot.x + plot.width, plot.y + plot.height + 6);
  }

  #listen() {
    const { canvas, view } = this;
    const at = (event) => {
      const box = canvas.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    canvas.addEventListener("pointermove", (event) => {
      const [x, y] = at(event);
      const before = this.pointers.get(event.pointerId);
      if (before) {
        const others = [...this.pointers].filter(([id]) => id !== event.pointerId);
        if (others.length) {
          const other = others[0][1][0];
          const factor = Math.abs(before[0] - other) / Math.max(8, Math.abs(x - other));
          view.zoom(Math.max(0.5, Math.min(2, factor)), this.tokenAt((x + other) / 2));
          this.moved = true;
        } else if (view.range && Math.abs(x - before[0]) > 0) {
          view.pan(this.tokenAt(before[0]) - this.tokenAt(x));
          this.moved = this.moved || Math.abs(x - this.pressed) > 4;
        }
        this.pointers.set(event.pointerId, [x, y]);
        return;
      }
      view.setHover(this.cellAt(x, y));
    });
    canvas.addEventListener("pointerdown", (event) => {
      const [x, y] = at(event);
      this.pointers.set(event.pointerId, [x, y]);
      this.pressed = x;
      this.moved = false;
      canvas.setPointerCapture(event.pointerId);
    });
    const release = (event) => this.pointers.delete(event.pointerId);
    canvas.addEventListener("pointercancel", release);
    canvas.addEventListener("pointerup", (event) => {
      release(event);
      if (this.moved) return;
      const cell = this.cellAt(...at(event));
      const same = view.locked && cell && cell.token === view.locked.token && cell.layer === view.locked.layer;
      view.lock(same ? null : cell);
    });
    canvas.addEventListener("pointerleave", () => view.setHover(null));
    canvas.addEventListener("dblclick", () => view.fit());
    canvas.addEventListener("wheel", (event) => {
      if (!(event.ctrlKey || event.metaKey) && Math.abs(event.deltaX) <= Math.abs(event.deltaY)) return;
      event.preventDefault();
      if (event.ctrlKey || event.metaKey) {
        view.zoom(Math.exp(event.deltaY * 0.004), this.tokenAt(at(event)[0]));
      } else {
        const [first, last] = view.visible;
        view.pan((event.deltaX / this.plot.width) * (last - first));
      }
    }, { passive: false });
  }
}
