// Paints what an element shows onto a canvas: backgrounds, outlines, dashed edges, canvases and text, which is
// all that the map and its legend are made of. Knows nothing of what they mean.

const COLOUR = /(?:rgba?|color|oklab|oklch|lab|lch|hsla?)\([^()]*\)/g;
const HATCH = 4; // pixels from line to line

/** `g` must be moved so that its origin is the window's. */
export function paint(g, node) {
  if (node.nodeType === Node.TEXT_NODE) return text(g, node);
  if (node.nodeType !== Node.ELEMENT_NODE) return;
  const style = getComputedStyle(node);
  if (style.display === "none" || style.visibility === "hidden") return;
  const box = node.getBoundingClientRect();
  if (node instanceof HTMLCanvasElement) {
    if (node.width && node.height) g.drawImage(node, box.x, box.y, box.width, box.height);
    return;
  }
  background(g, box, style);
  for (const child of node.childNodes) paint(g, child);
}

function background(g, { x, y, width, height }, style) {
  if (!width && !height) return;
  g.fillStyle = style.backgroundColor;
  g.fillRect(x, y, width, height);
  const image = style.backgroundImage;
  const colours = image.match(COLOUR) || [];
  if (image.startsWith("linear-gradient") && colours.length > 1) {
    const across = g.createLinearGradient(x, 0, x + width, 0);
    colours.forEach((colour, k) => across.addColorStop(k / (colours.length - 1), colour));
    g.fillStyle = across;
    g.fillRect(x, y, width, height);
  } else if (image.startsWith("repeating-linear-gradient") && colours.length) {
    hatch(g, { x, y, width, height }, colours.at(-1));
  }
  if (style.boxShadow.endsWith("inset")) { // an outline of one pixel
    g.strokeStyle = style.boxShadow.match(COLOUR)[0];
    g.lineWidth = 1;
    g.strokeRect(x + 0.5, y + 0.5, width - 1, height - 1);
  }
  if (style.borderLeftStyle === "dashed") {
    g.strokeStyle = style.borderLeftColor;
    g.lineWidth = parseFloat(style.borderLeftWidth);
    stroke(g, [[x + g.lineWidth / 2, y, x + g.lineWidth / 2, y + height]], [4, 3]);
  }
}

function hatch(g, { x, y, width, height }, colour) {
  g.save();
  g.beginPath();
  g.rect(x, y, width, height);
  g.clip();
  g.strokeStyle = colour;
  g.lineWidth = 1;
  const lines = [];
  for (let at = -height; at < width; at += HATCH) lines.push([x + at, y, x + at + height, y + height]);
  stroke(g, lines);
  g.restore();
}

function stroke(g, lines, dash = []) {
  g.setLineDash(dash);
  g.beginPath();
  for (const [x0, y0, x1, y1] of lines) {
    g.moveTo(x0, y0);
    g.lineTo(x1, y1);
  }
  g.stroke();
  g.setLineDash([]);
}

/** A text where it stands, line by line. */
function text(g, node) {
  if (!node.data.trim()) return;
  const style = getComputedStyle(node.parentElement);
  g.font = `${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
  g.fillStyle = style.color;
  g.textBaseline = "middle";
  const range = document.createRange();
  let line = null;
  const flush = () => line && g.fillText(line.text, line.x, line.y);
  for (let k = 0; k < node.data.length; k++) {
    range.setStart(node, k);
    range.setEnd(node, k + 1);
    const box = range.getBoundingClientRect();
    if (!box.width) continue; // white space that is not shown
    const y = box.top + box.height / 2;
    if (!line || Math.abs(line.y - y) > 2) {
      flush();
      line = { text: "", x: box.left, y };
    }
    line.text += node.data[k];
  }
  flush();
}
