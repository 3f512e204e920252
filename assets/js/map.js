// The map: layers by tokens or cache slots on a canvas with its margins, and the whole run as a strip
// below it once somebody has zoomed in. Draws what View and RunStore say.

import { brush, crosshair, overview } from "./annotations.js";
import { axes } from "./axes.js";
import { readPalette } from "./colors.js";
import { Columns, LEFT } from "./columns.js";
import { atRatio, fitCanvas, pixelRatio } from "./dom.js";
import { markFact } from "./fact.js";
import { Gestures } from "./gestures.js";
import { margin, marginAxis, parting, sideMargin, windowLine } from "./margins.js";
import { Raster } from "./raster.js";

const TOP = 62, BOTTOM = 40;
const TALL = [400, 0.5, 600]; // least, share of the window's height, most
const SMALL = [760, 350]; // in windows narrower than this, this height
const GRID_FROM = 5; // pixels: rows and columns at least so large are set apart by lines
const MEASURED = 512; // drawing times that are kept

// What stands around the cells; a map of something else brings other parts.
const PARTS = { above: margin, aboveAxis: marginAxis, side: sideMargin, window: windowLine };

export class MapView extends Columns {
  constructor(canvas, store, view, { raster = new Raster(), parts = PARTS, tall = TALL } = {}) {
    super(canvas);
    Object.assign(this, { store, view, raster, parts, tall });
    this.drawn = 0;
    this.drawMs = [];
    this.fitHeight();
    this.refreshPalette();
    this.gestures = new Gestures(this);
  }

  refreshPalette() {
    this.palette = readPalette(this.canvas);
    this.raster.setPalette(this.palette);
    this.texture = null;
    this.request();
  }

  /** The height that suits window and layers: every row equally many whole pixels. */
  fitHeight() {
    const [least, share, most] = this.tall;
    const { innerWidth, innerHeight } = window;
    const wanted = innerWidth < SMALL[0] ? Math.min(SMALL[1], most) : Math.max(least, Math.min(most, share * innerHeight));
    const { layers } = this.store;
    const ratio = pixelRatio();
    const room = wanted - TOP - BOTTOM;
    const row = Math.max(2, Math.round((room * ratio) / (layers || 1))) / ratio;
    this.row = layers ? row : room;
    const height = `${TOP + BOTTOM + (layers ? row * layers : room)}px`;
    if (this.canvas.style.height !== height) this.canvas.style.height = height;
  }

  resize() {
    this.fitHeight();
    super.resize();
  }

  resized() {
    this.texture = null;
  }

  /** Where the cells are, in CSS pixels that are whole pixels of the screen. */
  get plot() {
    const { row } = this;
    const ratio = pixelRatio();
    const height = row * Math.max(1, this.store.layers);
    const width = Math.floor(this.across * ratio) / ratio;
    return { x: LEFT, y: TOP, width, row, height, bottom: TOP + height };
  }

  cellAt(x, y) {
    const { plot, store, view } = this;
    if (x < LEFT || x > LEFT + plot.width || y < 16 || y > plot.bottom) return null;
    const layer = Math.max(0, Math.min(store.layers - 1, Math.floor((y - plot.y) / plot.row)));
    const token = store.layers ? view.tokenIn(Math.floor(this.columnAt(x)), layer) : -1;
    return token < 0 ? null : { token, layer };
  }

  /** Does `work` while the map is drawn with so many pixels for one of CSS, for a sharper picture. */
  pictured(ratio, work) {
    const again = () => {
      fitCanvas(this.canvas);
      this.texture = null;
      this.draw();
    };
    try {
      atRatio(ratio, () => {
        again();
        work();
      });
    } finally {
      again();
    }
  }

  draw() {
    const start = performance.now();
    this.#draw();
    this.drawn++;
    this.drawMs.push(performance.now() - start);
    if (this.drawMs.length > MEASURED) this.drawMs.splice(0, MEASURED / 2);
  }

  #draw() {
    const { context: g, store, view, plot, parts } = this;
    const ratio = pixelRatio();
    g.setTransform(ratio, 0, 0, ratio, 0, 0);
    const tall = this.canvas.height / ratio;
    this.blank();
    if (!store.layers || !store.length) return;
    const [first, last] = view.visible;
    this.raster.draw(store, view, first, last, Math.round(plot.width * ratio));
    g.imageSmoothingEnabled = false;
    g.drawImage(this.raster.canvas, plot.x, plot.y, plot.width, plot.height);

    g.save();
    g.beginPath();
    g.rect(plot.x, 0, plot.width + 1, tall);
    g.clip();
    if (view.mode === "state" && parts.side) this.#hatchReserve(g, plot);
    this.#grid(g, plot, first, last);
    parts.above?.(g, this);
    parts.window?.(g, this);
    parting(g, this);
    markFact(g, this);
    crosshair(g, this);
    brush(g, this);
    g.restore();
    axes(g, this);
    parts.aboveAxis?.(g, this);
    parts.side?.(g, this);
    overview(g, this);
  }

  /** The recent reserve is told by a texture too, not by its colour alone. */
  #hatchReserve(g, plot) {
    const { store, view } = this;
    const filled = view.slots ? store.moment.entries(view.clock).lengths[0] : store.seen(view.clock);
    const recent = Math.max(store.setup.numSink || 0, filled - (store.setup.reserve || 0));
    const x = Math.max(plot.x, this.xOf(recent)), end = Math.min(plot.x + plot.width, this.xOf(filled));
    if (end - x < 3) return;
    // By slot the newest are bright in light and dark.
    const colour = view.slots ? "#000000" : this.palette.panel;
    if (this.textureOf !== colour) this.texture = null;
    this.texture ||= this.#texture(g, colour);
    g.fillStyle = this.texture;
    g.fillRect(x, plot.y, end - x, plot.height);
  }

  #texture(g, colour) {
    this.textureOf = colour;
    const tile = document.createElement("canvas");
    tile.width = tile.height = 6;
    const t = tile.getContext("2d");
    t.strokeStyle = colour;
    t.globalAlpha = 0.55;
    for (const shift of [-6, 0, 6]) {
      t.beginPath();
      t.moveTo(shift - 1, 7);
      t.lineTo(shift + 7, -1);
      t.stroke();
    }
    return g.createPattern(tile, "repeat");
  }

  #grid(g, plot, first, last) {
    const ratio = pixelRatio();
    const thin = 1 / ratio;
    g.fillStyle = this.palette.line;
    if (plot.row >= GRID_FROM) {
      for (let k = 1; k < this.store.layers; k++) g.fillRect(plot.x, plot.y + k * plot.row - thin, plot.width, thin);
    }
    if (plot.width / (last - first) >= GRID_FROM) {
      for (let t = Math.ceil(first); t < last; t++) {
        const x = Math.round((this.xOf(t) - plot.x) * ratio) / ratio + plot.x;
        g.fillRect(x - thin, plot.y, thin, plot.height);
      }
    }
  }
}
