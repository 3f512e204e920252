// What the colours mean, for the mode that is on.

import { css, massScale } from "./colors.js";
import { el } from "./dom.js";

const STATES = [
  ["sink", "sink: never dropped"],
  ["held", "held"],
  ["reserve", "newest, not compacted yet"],
  ["dropped", "dropped in this layer"],
];

export class Legend {
  constructor(root, view) {
    Object.assign(this, { root, view });
    this.state = el("div", { className: "lc-legend" });
    for (const [name, label] of STATES) {
      const swatch = el("i", { className: `lc-swatch lc-swatch-${name}` });
      this.state.append(el("span", {}, swatch, label));
    }
    const scale = massScale();
    const stops = Array.from({ length: 17 }, (_, k) => {
      const v = Math.round((k / 16) * 255);
      return css(scale.subarray(3 * v, 3 * v + 3));
    });
    const bar = el("i", { className: "lc-scale" });
    bar.style.background = `linear-gradient(90deg, ${stops.join(", ")})`;
    this.attention = el(
      "div", { className: "lc-legend" },
      el("span", { textContent: "share of the last query's attention" }),
      el("span", {}, "0.001 %", bar, "100 %"),
    );
    root.append(this.state, this.attention);
  }

  update() {
    this.state.hidden = this.view.mode !== "state";
    this.attention.hidden = this.view.mode !== "attention";
  }
}
