// Compactions in words, made from what happened: numbers, layers and the tokens themselves.

import { bytes, count, counted, ordinal, visible } from "./dom.js";
import { compacts } from "./events.js";

const PATTERNS = 2; // patterns that a sentence spells out; a third one too when it is the last
const WORDS = 4; // tokens of a list that are spelled out
const WIDE = 24; // entries of a group above which what stayed is not spelled out

/** "entry 17", "entries 17–18", counted from 1. */
export function entries({ start, width }) {
  return width === 1 ? `entry ${ordinal(start)}` : `entries ${span(start, width)}`;
}

/** "17", "17–18", counted from 1. */
export function span(start, width) {
  return width === 1 ? ordinal(start) : `${ordinal(start)}–${ordinal(start + width - 1)}`;
}

/** Layers, counted from 1: "layer 7", "layers 1–3", "layers 1, 3, 5 … 29", "every layer". */
export function layersInWords(layers, of) {
  if (layers.length === of) return "every layer";
  if (layers.length === 1) return `layer ${layers[0]}`;
  const step = layers[1] - layers[0];
  const even = layers.every((layer, k) => layer === layers[0] + k * step);
  if (even && step === 1) return `layers ${layers[0]}–${layers.at(-1)}`;
  if (layers.length <= 3) return `layers ${layers.join(", ")}`;
  if (even) return `layers ${layers.slice(0, 3).join(", ")} … ${layers.at(-1)}`;
  return `layers ${layers.slice(0, 3).join(", ")} and ${layers.length - 3} more`;
}

/** Who follows a pattern: its layers or, where heads differ, one head. */
export function followers({ layers, head }, of) {
  return head === null ? layersInWords(layers, of) : `${layersInWords(layers, of)}, head ${ordinal(head)},`;
}

/** Tokens as they are read: what follows each other in the text is one quotation. */
export function quoted(store, tokens) {
  const runs = [];
  tokens.slice(0, WORDS).forEach((token, k) => {
    if (k && token === tokens[k - 1] + 1) runs[runs.length - 1] += store.tokens[token];
    else runs.push(store.tokens[token]);
  });
  const more = tokens.length > WORDS ? ` and ${count(tokens.length - WORDS)} more` : "";
  return runs.map((run) => `“${visible(run.trim() || run)}”`).join(", ") + more;
}

/** What a compaction did, in a sentence or two. */
export function tell(store, group) {
  const { event, patterns } = group;
  const when = `At token ${count(event.seen)} `;
  const freed = event.width - event.kept;
  if (!event.kept && patterns.every(({ tokens }) => same(tokens, patterns[0].tokens))) {
    return when + droppedByAll(store, group);
  }
  const each = store.heads > 1 ? "each head of each layer" : "each layer";
  const what = !event.kept
    ? `${each} dropped its ${entries(event)}`
    : event.width > WIDE
      ? `${each} dropped ${count(freed)} of the ${count(event.width)} ${entries(event)}`
      : `${each} kept ${event.kept} of the ${event.width} ${entries(event)}`;
  const spelled = patterns.length <= PATTERNS + 1 ? patterns : patterns.slice(0, PATTERNS);
  const ways = spelled.map((pattern) => way(store, event, pattern));
  const others = patterns.length - spelled.length;
  if (others) ways.push(`${count(others)} other patterns as shown above`);
  return `${when}${restart(store, event)}${what}: ${ways.join("; ")}. ${gain(store, freed)}${cursor(store, group)}.`;
}

const same = (a, b) => a.length === b.length && a.every((token, k) => token === b[k]);

function way(store, event, pattern) {
  const { tokens, kept } = pattern;
  const stayed = tokens.filter((_, k) => kept[k]), went = tokens.filter((_, k) => !kept[k]);
  const who = followers(pattern, store.layers);
  if (event.width > WIDE || !stayed.length) return `${who} dropped ${quoted(store, went)}`;
  return `${who} kept ${quoted(store, stayed)} and dropped ${quoted(store, went)}`;
}

function droppedByAll(store, { event, patterns }) {
  const [{ tokens }] = patterns;
  const sinks = store.setup.numSink;
  const oldest = event.start !== sinks ? "" : sinks ? `, the oldest after the ${counted(sinks, "sink")}` : ", the oldest";
  const what = event.width === 1
    ? `${entries(event)}, ${quoted(store, tokens)}`
    : `the ${count(event.width)} ${entries(event)}, from ${quoted(store, [tokens[0]])} to ${quoted(store, [tokens.at(-1)])}`;
  const them = event.width === 1 ? "it" : "them";
  return `every layer dropped ${what}${oldest}: no layer holds ${them} any longer. ${gain(store, event.width)}.`;
}

function restart(store, event) {
  if (!event.restart) return "";
  const { reserve } = store.setup;
  return `a new pass began at the old end, since too few entries were left before the newest ${count(reserve)}; `;
}

function gain(store, freed) {
  const memory = store.setup.bytesPerEntry ? `, ${bytes(freed * store.setup.bytesPerEntry)} in all` : "";
  const where = store.heads > 1 ? "in each head" : "in each layer";
  return `That freed ${counted(freed, "entry", "entries")} ${where}${memory}`;
}

function cursor(store, { event, cursor: before }) {
  if (!compacts(store) || event.cursor === before) return "";
  return `; the cursor went ${event.cursor < before ? "back " : ""}from entry ${ordinal(before)} to ${ordinal(event.cursor)}`;
}
