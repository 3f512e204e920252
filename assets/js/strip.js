// A layer's cache as a bar, before and after a compaction: sinks, what this pass has compacted, what
// it has not, the newest, the group and where the cursor went. An SVG drawn in its own pixels.

import { count, ordinal, svg } from "./dom.js";
import { compacts } from "./events.js";

const LEFT = 50, RIGHT = 46;
const BAR = 11, BEFORE = 20, AFTER = 54, HEIGHT = 84;
const THINNEST = 3; // a group in pixels, however long the cache is
const LETTER = 5.8; // about so wide

let made = 0; // strips, so that each names a texture of its own

/** Fills the element, so many pixels wide, with the bars of a group as groups.js tells it. */
export function drawStrip(node, room, store, group) {
  const { event, length, cursor } = group;
  const width = Math.max(160, room);
  const scale = (width - LEFT - RIGHT) / length;
  const x = (entry) => LEFT + entry * scale;
  const wide = (entries) => Math.max(entries ? THINNEST : 0, entries * scale);
  const after = length - event.width + event.kept;
  const group0 = x(event.start), group1 = group0 + wide(event.width), kept1 = group0 + wide(event.kept);

  const ladder = compacts(store) && event.cursor !== cursor; // other policies have no passes
  const before = parts(store, length, ladder && !event.restart ? event.start : length);
  node.dataset.texture ||= `lc-strip-texture-${++made}`;
  node.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
  node.replaceChildren(
    texture(node.dataset.texture),
    // What the group becomes.
    svg("polygon", {
      class: "lc-strip-flow",
      points: `${group0},${BEFORE + BAR} ${group1},${BEFORE + BAR} ${kept1},${AFTER} ${group0},${AFTER}`,
    }),
    ...bar(before, x, BEFORE, node.dataset.texture),
    ...bar(parts(store, after, ladder ? event.cursor : after), x, AFTER, node.dataset.texture),
    ...(ladder ? names(before, x, event.restart) : []),
    svg("rect", { class: "lc-strip-group", x: group0, y: BEFORE - 1, width: group1 - group0, height: BAR + 2 }),
    svg("rect", { class: "lc-strip-kept", x: group0, y: AFTER - 1, width: kept1 - group0, height: BAR + 2 }),
    label(LEFT - 8, BEFORE + 9, "before", "end"), label(LEFT - 8, AFTER + 9, "after", "end"),
    label(x(length) + 7, BEFORE + 9, count(length)), label(x(after) + 7, AFTER + 9, count(after)),
  );
  if (!ladder) return;
  node.append(
    mark(x(cursor), BEFORE - 3, -1), mark(x(event.cursor), AFTER + BAR + 3, 1),
    named(x(event.cursor), AFTER + BAR + 15, `cursor ${ordinal(event.cursor)}`, width),
  );
}

/** The parts of a cache, [name, from, to]; `done` is how far the pass has come. */
function parts(store, length, done) {
  const sinks = Math.min(store.setup.numSink || 0, length);
  const newest = Math.max(sinks, length - (store.setup.reserve || 0));
  const middle = Math.max(sinks, Math.min(done, newest));
  return [["sink", 0, sinks], ["done", sinks, middle], ["held", middle, newest], ["reserve", newest, length]]
    .filter(([, from, to]) => to > from);
}

function bar(found, x, y, hatch) {
  return found.flatMap(([name, from, to]) => {
    const place = { x: x(from), y, width: x(to) - x(from), height: BAR };
    const part = svg("rect", { class: `lc-strip-${name}`, ...place });
    return name === "reserve" ? [part, svg("rect", { fill: `url(#${hatch})`, ...place })] : [part];
  });
}

/** What the parts are, where there is room to say it. */
function names(found, x, restart) {
  const said = {
    done: restart ? ["compacted in the last pass", "last pass"] : ["compacted in this pass", "this pass"],
    held: ["still to come"],
    reserve: ["newest, never compacted", "newest"],
  };
  return found.flatMap(([name, from, to]) => {
    const text = (said[name] || []).find((words) => words.length * LETTER < x(to) - x(from) - 14);
    return text ? [label(x(from) + 8, BEFORE - 8, text)] : [];
  });
}

/** The newest are told by a texture too, as on the map. */
function texture(id) {
  const pattern = svg("pattern", { id, width: 6, height: 6, patternUnits: "userSpaceOnUse" });
  pattern.append(svg("path", { class: "lc-strip-hatch", d: "M-1 7L7 -1M-1 1L1 -1M5 7L7 5" }));
  return svg("defs", {}, pattern);
}

function mark(x, y, up) {
  return svg("path", { class: "lc-strip-cursor", d: `M${x} ${y}l-4 ${up * 6}h8z` });
}

function label(x, y, text, anchor = "start") {
  return svg("text", { x, y, "text-anchor": anchor }, text);
}

/** A label beside a mark, on the side where there is room. */
function named(x, y, text, width) {
  return x > width / 2 ? label(x - 8, y - 6, text, "end") : label(x + 8, y - 6, text);
}
