// Messages into a store, and a snapshot asked for when one was lost. Knows nothing of the page.

const RETRY_MS = 600, LONGEST_MS = 5000;

export class Feed {
  /** `onGap(run)` gives a promise of a snapshot, which `receive` then takes like any message. */
  constructor(store, onGap, receive) {
    Object.assign(this, { store, onGap, receive, gaps: 0, fetching: false });
  }

  /** Takes a message in; whether it changed anything. */
  take(message) {
    const result = this.store.apply(message);
    if (result === "gap") this.#fetch(message.run);
    return result === "applied";
  }

  /** Asks for snapshots, one at a time, until the run is whole again; the next message does where it is gone. */
  async #fetch(run) {
    if (this.fetching) return;
    this.fetching = true;
    this.gaps++;
    for (let wait = RETRY_MS; ; wait = Math.min(2 * wait, LONGEST_MS)) {
      const snapshot = await this.#ask(run);
      if (snapshot) this.receive(snapshot);
      if (this.store.waiting === null) break;
      await new Promise((done) => setTimeout(done, wait));
      if (this.store.waiting === null || snapshot === null) break;
      run = this.store.waiting;
    }
    this.fetching = false;
  }

  /** A snapshot, null where the run is gone, or undefined where the server did not answer. */
  async #ask(run) {
    try {
      return await this.onGap(run);
    } catch {
      return undefined;
    }
  }
}
