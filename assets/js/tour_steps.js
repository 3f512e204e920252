// What the tour says and shows: five steps over two recorded runs, one ladder and one window, of the
// same text. Where a step looks and every number that it names is computed from the run itself.

import { bytes, count, counted, visible } from "./dom.js";
import { bestKept } from "./standin.js";

const AROUND = 20; // tokens in sight on either side of what is shown closely

/** The runs that the steps need, or null where the recordings have none of a kind. */
export function runsOfTour(recordings) {
  const ladder = recordings.find((r) => r.policy === "lacache" && r.outcome);
  const window = recordings.find((r) => r.policy === "streaming_llm" && r.outcome);
  return ladder && window ? { ladder: ladder.id, window: window.id } : null;
}

/**
 * Each: the run that it needs, a title, and `show(store)`, which says what to do:
 * `text`, `clock` (`from`, if it should move there), `range`, `lock`, and the `part` that it is about.
 */
export const STEPS = [
  { run: "ladder", title: "What a cache is", show: cache },
  { run: "window", title: "What a window loses", show: loses },
  { run: "ladder", title: "The rungs", show: rungs },
  { run: "ladder", title: "A compaction", show: compaction },
  { run: "ladder", title: "A restart pass", show: restart },
];

function cache(store) {
  const last = Math.max(0, (store.compactions.get(0)?.step ?? store.steps) - 1);
  const { held } = store.summary(last);
  const { budget, bytesPerEntry } = store.setup;
  return {
    text: `Every column is a token of the text, every row one of the model's ${store.layers} layers. To write the next `
      + `word, each layer looks back at a key and a value that it keeps of every token: ${bytes(bytesPerEntry)} a token, `
      + `without end. Here memory ends at a budget of ${count(budget)} tokens. The first ${count(held)} still fit.`,
    from: 0,
    clock: last,
    part: "stage",
  };
}

function loses(store) {
  const asked = question(store);
  const { token, step } = firstLoss(store, asked);
  const { budget, numSink } = store.setup;
  const gone = step < 0
    ? `“${fact(store)}” is still there.`
    : `The words that say where the key lies, “${fact(store)}”, were gone at step ${count(step + 1)}, in every layer at once.`;
  return {
    text: `A window keeps the first ${count(numSink)} tokens and the newest ${count(budget - numSink)}, in every layer the same. `
      + `${gone} Asked for them at the end, the model can only guess: “${answer(store)}”.`,
    from: Math.max(0, step - 1),
    clock: asked,
    lock: { token, layer: Math.floor(store.layers / 2) },
    part: "stage",
  };
}

function rungs(store) {
  const asked = question(store);
  const token = bestKept(store, asked);
  const { union, held, seen } = store.summary(asked);
  const remembered = union === seen ? `all ${count(seen)}` : `${count(union)} of ${count(seen)}`;
  const layers = store.holders(token, asked);
  return {
    text: `The same text and the same memory, but neighbouring tokens stay in different layers, like the rungs of a ladder: `
      + `“${word(store, token)}” is still held by ${layers} of ${store.layers}. So ${count(held)} entries a layer remember `
      + `${remembered} tokens. Asked where the key lies, the model writes “${answer(store)}”.`,
    clock: asked,
    range: around(token, token),
    lock: { token, layer: holder(store, token, asked) },
    part: "stage",
  };
}

function compaction(store) {
  const asked = question(store);
  const c = [...store.compactions].find((one) => one.step > asked && !one.restart) || store.compactions.get(0);
  const groups = store.evictedAt.map((_, row) => entries(store, row, c));
  const tokens = [...new Set(groups.flat())].sort((a, b) => a - b);
  const drops = store.evictedAt.map((evicted, row) => groups[row].filter((t) => evicted[t] === c.step));
  const parts = drops.map((gone, row) =>
    `${count(store.layersOfRow[row])} layers drop ${gone.map((t) => `“${word(store, t)}”`).join(" and ")}`);
  return {
    text: `Token ${count(c.seen)} finds the cache full, so one group of ${count(c.width)} neighbouring entries is thinned: `
      + `${joined(parts)}. Each layer keeps ${count(c.kept)} and has room for ${count(c.width - c.kept)}. `
      + "No layer loses both, so no word is lost to all of them.",
    from: c.step - 1,
    clock: c.step,
    slowly: true,
    range: around(tokens[0], tokens.at(-1)),
    lock: { token: tokens[0], layer: store.rowOfLayer.indexOf(drops.findIndex((gone) => gone.includes(tokens[0]))) },
    part: "stage",
  };
}

function restart(store) {
  const c = [...store.compactions].find((one) => one.restart) || store.compactions.get(store.compactions.length - 1);
  const last = store.steps - 1;
  const after = store.summary(last);
  return {
    text: `At token ${count(c.seen)} no group was left to thin, so a new pass began at the old end (the tall tick on the clock). `
      + "It thins what is already thin: the far past fades, it does not end at a wall. At the end of this run the cache "
      + `remembers ${counted(after.union, "token")}, where a window would remember ${count(store.setup.budget)}.`,
    from: c.step - 1,
    clock: last,
    lock: null,
    part: "clock",
  };
}

/** The step that read the last token of the given text: what comes next is the model's answer. */
function question(store) {
  return store.joinedAt[Math.max(0, store.setup.promptTokens - 1)];
}

/** What the model wrote first. */
function answer(store) {
  return store.setup.outcome.wrote;
}

function fact(store) {
  return store.setup.outcome.said;
}

function factTokens(store) {
  const [first, last] = store.setup.fact;
  return Array.from({ length: last - first + 1 }, (_, k) => first + k);
}

/** The last of the fact's tokens that was lost to every layer, and when; step -1: none was. */
function firstLoss(store, asked) {
  const lost = factTokens(store).filter((t) => store.holders(t, asked) === 0);
  if (!lost.length) return { token: store.setup.fact[1], step: -1 };
  const token = lost.at(-1);
  return { token, step: Math.max(...store.evictedAt.map((row) => row[token])) };
}

function holder(store, token, step) {
  const found = store.rowOfLayer.findIndex((row) => store.held(row, token, step));
  return Math.max(0, found);
}

/** Text positions of a compacted group in a pattern, as they were before it. */
function entries(store, row, c) {
  const found = [];
  for (let t = 0, entry = 0; entry < c.start + c.width && t < store.length; t++) {
    const gone = store.evictedAt[row][t];
    if (gone >= 0 && gone < c.step) continue;
    if (entry >= c.start) found.push(t);
    entry++;
  }
  return found;
}

function around(first, last) {
  return [first - AROUND, last - first + 1 + 2 * AROUND];
}

function word(store, token) {
  return visible(store.tokens[token].trim() || store.tokens[token]);
}

function joined(parts) {
  return parts.length < 2 ? parts.join("") : `${parts.slice(0, -1).join(", ")} and ${parts.at(-1)}`;
}
