// What the events are called in which a policy drops entries: a ladder compacts, in passes that begin
// again; every other policy evicts.

import { counted } from "./dom.js";

/** Whether the policy thins groups out in passes. */
export function compacts(store) {
  return (store.setup.policy ?? "lacache") === "lacache";
}

export function eventName(store) {
  return compacts(store) ? "compaction" : "eviction";
}

/** "1 compaction", "2,000 evictions". */
export function eventsOf(store, number) {
  return counted(number, eventName(store));
}

/** The name at the beginning of a heading; `many`: of several. */
export function eventHeading(store, many) {
  const name = eventName(store);
  return `${name[0].toUpperCase()}${name.slice(1)}${many ? "s" : ""}`;
}
