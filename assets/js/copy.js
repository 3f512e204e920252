// What the browser knows of a run, as a snapshot message again: so that a run that was left behind
// can be shown once more, whether or not the server still has it.

/** The snapshot of the run in a store (docs/live-map.md), with arrays instead of base64. */
export function snapshotOf(store) {
  if (store.run === null) return null;
  const tokens = store.length;
  const evicted = new Int32Array(store.evictedAt.length * tokens);
  store.evictedAt.forEach((row, p) => evicted.set(row.subarray(0, tokens), p * tokens));
  return {
    kind: "snapshot",
    run: store.run,
    seq: store.seq,
    layers: store.layers,
    rowOfLayer: store.heads > 1 ? store.rowsOfLayer : store.rowOfLayer,
    setup: store.setup,
    steps: store.steps,
    tokens: store.tokens.slice(),
    ids: Array.from(store.ids.subarray(0, tokens)),
    joinedAt: store.joinedAt.slice(0, tokens),
    evictedAt: evicted,
    nll: store.nll.slice(0, tokens),
    compactions: Int32Array.from([...store.compactions].flatMap(
      (c) => [c.step, c.seen, c.start, c.width, c.kept, c.cursor, Number(c.restart)])),
    text: store.text,
    mass: null,
    frames: store.frames.list.map(({ step, length, values }) => ({ step, length, values })),
    figures: store.figures,
    state: store.state,
  };
}
