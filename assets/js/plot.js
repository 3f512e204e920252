// A Plotly figure in an element that stays: its colours and fonts come from CSS variables, so light
// and dark are decided in the style sheet. plotly.js itself comes from the server (no CDN).

const CONFIG = { responsive: true, displaylogo: false, displayModeBar: false, showTips: false };
const DASHES = { solid: "", dash: "7 4", dot: "2 4", dashdot: "7 3 2 3", longdash: "12 4", longdashdot: "12 3 2 3" };
export const SERIES = 8; // colours that the style sheet has, --lx-s0 and on

let loading = null;

/** plotly.js, fetched once; it is not the one that Gradio may bring along under the same name. */
export function plotly(source) {
  loading ||= new Promise((done, failed) => {
    const before = window.Plotly;
    const script = document.createElement("script");
    script.src = source;
    script.onload = () => {
      const mine = window.Plotly;
      if (before) window.Plotly = before;
      done(mine);
    };
    script.onerror = () => {
      loading = null;
      script.remove();
      failed(new Error("plotly.js could not be loaded"));
    };
    document.head.append(script);
  });
  return loading;
}

export class Plot {
  /** `onClick(customdata)` is told which point was clicked. */
  constructor(node, source, onClick = null) {
    Object.assign(this, { node, source, onClick, turn: 0 });
  }

  async show(spec) {
    this.spec = spec;
    const turn = ++this.turn;
    let Plotly;
    try {
      Plotly = await plotly(this.source);
    } catch {
      this.node.textContent = "The figure could not be drawn: plotly.js did not load. The table has the numbers.";
      return;
    }
    if (turn !== this.turn || !this.node.isConnected) return;
    const { data, layout } = painted(structuredClone(spec), this.node);
    await Plotly.react(this.node, data, layout, CONFIG);
    if (this.onClick && !this.listening) {
      this.listening = true;
      this.node.on("plotly_click", ({ points }) => this.onClick(points[0].customdata));
    }
  }

  /** The theme changed. */
  refresh() {
    if (this.spec) this.show(this.spec);
  }

  remove() {
    this.turn++;
    if (this.node.data) window.requestAnimationFrame(() => plotly(this.source).then((P) => P.purge(this.node)));
  }
}

/** The colour of a line by its number. */
export function seriesColour(k, style) {
  return style.getPropertyValue(`--lx-s${k % SERIES}`).trim();
}

/** A short piece of a line, as a legend shows it. */
export function dashes(dash) {
  return DASHES[dash] ?? "";
}

function painted({ data, layout }, node) {
  const style = getComputedStyle(node);
  const colour = (name) => style.getPropertyValue(`--lx-${name}`).trim();
  const narrow = node.clientWidth < 420;
  for (const trace of data) {
    const { series, scale } = trace.meta || {};
    if (series !== undefined) {
      const own = seriesColour(series, style);
      trace.line = { ...trace.line, color: own };
      trace.marker = { ...trace.marker, color: own };
    }
    if (scale) {
      trace.colorscale = [[0, colour("scale0")], [0.5, colour("scale1")], [1, colour("scale2")]];
      trace.textfont = { size: 13 };
    }
  }
  const axis = {
    color: colour("muted"), gridcolor: colour("grid"), zerolinecolor: colour("grid"), linecolor: colour("grid"),
    automargin: true, fixedrange: false, nticks: narrow ? 5 : 8,
  };
  const font = { family: style.fontFamily, size: 12, color: colour("text") };
  for (const name of ["xaxis", "yaxis"]) {
    layout[name] = { ...axis, ...layout[name] };
    layout[name].title = { ...layout[name].title, font: { ...font, color: colour("muted") }, standoff: 8 };
  }
  return {
    data,
    layout: {
      hovermode: "x unified",
      ...layout,
      font,
      height: layout.height || (narrow ? 250 : 300),
      margin: { l: 48, r: 14, t: 8, b: 40 },
      showlegend: false,
      dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      hoverlabel: { bgcolor: colour("panel"), bordercolor: colour("grid"), font: { ...font } },
    },
  };
}
