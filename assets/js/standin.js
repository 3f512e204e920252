// The token that is spoken of while nobody points at one: what the text says early and asks for late
// or, where there is no such thing, the oldest token that is still remembered.

/** `{token, layer, why}` at a step of the clock, or null while nothing was dropped yet. */
export function standIn(store, clock) {
  const token = fromFact(store, clock);
  if (token >= 0) return { token, layer: null, why: "said early, asked for at the end" };
  const oldest = store.compactionsBy(clock) ? oldestKept(store, clock) : -1;
  return oldest < 0 ? null : { token: oldest, layer: null, why: "the oldest word that is still remembered" };
}

/** The fact's token that most layers hold; of several, the last. */
export function bestKept(store, clock) {
  const [first, last] = store.setup.fact;
  let best = first;
  for (let t = first; t <= last; t++) if (store.holders(t, clock) >= store.holders(best, clock)) best = t;
  return best;
}

function fromFact(store, clock) {
  const { fact } = store.setup;
  return fact && fact[1] < store.seen(clock) ? bestKept(store, clock) : -1;
}

function oldestKept(store, clock) {
  const seen = store.seen(clock), holders = store.moment.holders(clock);
  for (let t = store.setup.numSink || 0; t < seen; t++) if (holders[t]) return t;
  return -1;
}
