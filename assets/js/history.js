// What became of one token over the run: in which step each layer dropped it, and the attention it
// received in every observed query. Knows nothing of pages.

import { shareOf } from "./attention.js";

const HELD = -1;

/** How many layers dropped the token, with their last head, at which step: [step, layers] by step. */
export function drops(store, token) {
  const at = new Map();
  store.goneAt.forEach((gone, row) => {
    if (gone[token] !== HELD) at.set(gone[token], (at.get(gone[token]) || 0) + store.layersOfRow[row]);
  });
  return [...at].sort((a, b) => a[0] - b[0]);
}

/**
 * The attention that a token received: {steps, mean, layer}, one value an observed query since it
 * joined. `mean` counts a layer that had dropped it as none; `layer` (NaN there) is null without one.
 * A layer's is the mean over its heads, those that had dropped it counted as none.
 */
export function received(store, token, layer) {
  const frames = store.frames.list.filter((frame) => frame.step >= store.joinedAt[token]);
  const { heads } = store;
  const mean = new Float32Array(frames.length);
  const own = layer === null ? null : new Float32Array(frames.length).fill(NaN);
  store.evictedAt.forEach((gone, row) => {
    const before = droppedBefore(gone, token, store.steps);
    frames.forEach((frame, k) => {
      if (gone[token] !== HELD && gone[token] < frame.step) return;
      const index = token - before[frame.step];
      if (index >= frame.length) return;
      for (let at = 0; at < store.layers; at++) {
        for (let head = 0; head < heads; head++) {
          if (store.rowsOfLayer[at][head] !== row) continue;
          const share = shareOf(frame.values[(at * heads + head) * frame.length + index]) / heads;
          mean[k] += share / store.layers;
          if (at === layer) own[k] = (own[k] || 0) + share; // NaN where no head had it yet
        }
      }
    });
  });
  return { steps: frames.map((frame) => frame.step), mean, layer: own };
}

/** By step, how many of the tokens before this one had been dropped before it: they stand in no frame. */
function droppedBefore(gone, token, steps) {
  const before = new Int32Array(steps + 1);
  for (let t = 0; t < token; t++) if (gone[t] !== HELD) before[gone[t] + 1]++;
  for (let s = 1; s <= steps; s++) before[s] += before[s - 1];
  return before;
}
