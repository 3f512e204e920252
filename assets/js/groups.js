// What a step compacted, group by group: which tokens stood in each group just before, and which of
// them each layer pattern kept. The messages tell groups by entry numbers and evictions by token, so
// the cache is walked through the step once more. Knows nothing of pages.

const HELD = -1;

export class Groups {
  constructor(store) {
    this.store = store;
  }

  /** The compaction with this index of `store.compactions`; null when there is none. */
  at(index) {
    const found = this.store.compactions.get(index);
    if (!found) return null;
    return this.#step(found.step).find((group) => group.index === index);
  }

  #step(step) {
    const { store } = this;
    if (this.of !== store.evictedAt || this.stepOf !== step) {
      this.known = walk(store, step);
      this.of = store.evictedAt;
      this.stepOf = step;
    }
    return this.known;
  }
}

/**
 * The groups of a step in order, each as {index, event, length, cursor, patterns}: the entry in
 * `store.compactions`, entries per layer and cursor just before, and per pattern {layers, head, tokens,
 * kept}, with `tokens[k]` in entry `event.start + k` and `kept[k]` telling whether it stayed. `head`
 * is null where all heads of the layers do the same.
 */
function walk(store, step) {
  const from = store.compactionsBy(step - 1), to = store.compactionsBy(step);
  const rows = store.evictedAt.map((gone) => heldBefore(gone, store.seen(step - 1), step));
  let seen = store.seen(step - 1);
  const groups = [];
  for (let index = from; index < to; index++) {
    const event = store.compactions.get(index);
    for (; seen < event.seen; seen++) for (const row of rows) row.push(seen);
    const length = rows.length ? rows[0].length : 0;
    const patterns = rows.map((row, p) => {
      const tokens = row.slice(event.start, event.start + event.width);
      const kept = choice(store.evictedAt[p], step, tokens, event.kept, p);
      row.splice(event.start, event.width, ...tokens.filter((_, k) => kept[k]));
      return { ...whoFollows(store, p), tokens, kept };
    });
    const cursor = index ? store.compactions.get(index - 1).cursor : store.setup.numSink || 0;
    groups.push({ index, event, length, cursor, patterns: patterns.filter((p) => p.layers.length) });
  }
  return groups;
}

function heldBefore(gone, seen, step) {
  const row = [];
  for (let t = 0; t < seen; t++) if (gone[t] === HELD || gone[t] >= step) row.push(t);
  return row;
}

/** The layers, counted from 1, that follow a row, and with which of their heads. */
function whoFollows(store, row) {
  const { rowsOfLayer, heads } = store;
  const layers = rowsOfLayer.flatMap((rows, layer) => (rows.includes(row) ? [layer + 1] : []));
  return { layers, head: heads > 1 && layers.length ? rowsOfLayer[layers[0] - 1].indexOf(row) : null };
}

/**
 * Which of a group's tokens stayed. Where all that outlived the step are as many as were kept, it is
 * they. Else a later group of the same step took some of those kept here, and the ladder's rule says
 * which: row `r` keeps the neighbours that begin at offset `r`.
 */
function choice(gone, step, tokens, kept, row) {
  const stayed = tokens.map((t) => gone[t] !== step);
  if (stayed.filter(Boolean).length === kept) return stayed;
  const offsets = [row, ...tokens.keys()].filter((offset) => offset + kept <= tokens.length);
  const within = (offset, k) => k >= offset && k < offset + kept;
  const fits = offsets.find((offset) => stayed.every((stays, k) => !stays || within(offset, k)));
  return stayed.map((stays, k) => (fits === undefined ? stays : within(fits, k)));
}
