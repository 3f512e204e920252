// The visitor's own runs, found again when the page was loaded anew: by their ids, which this tab
// keeps. The server lets go of old runs; what it no longer has stays away.

const POLL_MS = 1000;
const PLACE = "lacache.";

/** What the page's address says of settings; a theme is none. */
function link() {
  const query = new URLSearchParams(location.search);
  query.delete("__theme");
  return String(query);
}

/** Keeps ids under a name; a browser that keeps nothing has none later. */
export function keep(name, ids) {
  try {
    sessionStorage.setItem(PLACE + name, JSON.stringify({ ...ids, link: link() }));
  } catch {
    // It may be forbidden to.
  }
}

function kept(name) {
  try {
    const found = JSON.parse(sessionStorage.getItem(PLACE + name));
    return found?.link === link() ? found : null; // a link that was opened says what is to be shown
  } catch {
    return null;
  }
}

/**
 * Asks for the runs of these ids and hands them over by `show(snapshots, ids, again)` while that says that
 * they are wanted: once or, while one of them still goes on, again and again.
 */
export async function recall(name, ask, show) {
  const ids = kept(name);
  if (!ids) return;
  for (let again = false; ; again = true) {
    const found = await Promise.all(ids.runs.map((run) => Promise.resolve(ask(run)).catch(() => null)));
    if (found.some((one) => !one) || !show(found, ids, again)) return;
    if (!found.some(({ state }) => state.name === "running" || state.name === "loading")) return;
    await new Promise((done) => setTimeout(done, POLL_MS));
  }
}
