// Messages into a store, and a snapshot asked for when one was lost. Knows nothing of the page.

const RETRY_MS = 600;

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

  /** Asks for a snapshot, one request at a time, until the run is whole again or gone. */
  async #fetch(run) {
    if (this.fetching) return;
    this.fetching = true;
    this.gaps++;
    try {
      const snapshot = await this.onGap(run);
      if (snapshot) this.receive(snapshot);
    } catch {
      // The server did not answer; the next message asks again.
    }
    setTimeout(() => (this.fetching = false), this.store.waiting === null ? 0 : RETRY_MS);
  }
}
