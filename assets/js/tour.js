// The tour: a card that leads through recorded runs and drives the real instrument while it does.
// It stands in the page, above the map, so that it never covers what it explains. It starts only
// when asked; Escape, Skip, a new run or its last step end it, and what was shown before is back.

import { snapshotOf } from "./copy.js";
import { button, el } from "./dom.js";
import { runsOfTour, STEPS } from "./tour_steps.js";

const MOVE_MS = 1100; // how long the clock takes to where a step wants it
const WAIT_MS = 900; // how long the moment before a compaction is shown

export class Tour {
  constructor(instrument, runs) {
    Object.assign(this, { instrument, runs, at: -1, openers: [] });
    this.of = runsOfTour(runs.recordings);
    this.card = el("section", { className: "lc-tour", hidden: true });
    this.card.setAttribute("aria-label", "Tour");
    this.heading = el("h3");
    this.text = el("p");
    const said = el("div", { className: "lc-tour-said" }, this.heading, this.text);
    said.setAttribute("aria-live", "polite");
    this.dots = el("ol", { className: "lc-tour-dots" }, ...STEPS.map(() => el("li")));
    this.dots.setAttribute("aria-hidden", "true");
    this.back = button("Back", "The step before", () => this.go(this.at - 1));
    this.next = button("Next", "The next step", () => (this.at === STEPS.length - 1 ? this.end() : this.go(this.at + 1)));
    this.next.classList.add("lc-primary");
    this.skip = button("Skip", "End the tour (Esc)", () => this.end());
    this.skip.classList.add("lc-plain");
    this.card.append(said, el("div", { className: "lc-tour-foot" }, this.skip, this.dots, el("span", { className: "lc-group" }, this.back, this.next)));
    this.escape = (event) => {
      if (event.key !== "Escape" || event.target.closest?.(".lc-help")) return;
      event.preventDefault();
      event.stopPropagation();
      this.end();
    };
    if (!this.of) return;
    runs.invitation.append(this.#opener());
    runs.startTour = () => this.start(runs.chooser.opener);
  }

  get active() {
    return this.at >= 0;
  }

  #opener() {
    const node = button("Take the tour", "Five short steps over recorded runs", () => this.start(node));
    node.classList.add("lc-primary");
    return node;
  }

  start(opener) {
    const { store, view, clock } = this.instrument;
    clock.stop();
    this.opener = opener;
    this.before = { snapshot: snapshotOf(store), outlook: view.outlook };
    document.addEventListener("keydown", this.escape, true);
    this.go(0);
  }

  /** Shows a step; on what it needs is asked for first, the card stays as it was. */
  async go(k) {
    const turn = (this.turn = (this.turn || 0) + 1);
    const step = STEPS[k];
    const run = await this.runs.recording(this.of[step.run]);
    if (turn !== this.turn) return;
    if (!run) {
      this.end();
      return;
    }
    const first = !this.active;
    this.at = k;
    this.run = run.run;
    this.#still();
    const { store, view } = this.instrument;
    if (store.run !== run.run) this.runs.show(run);
    const shown = step.show(store);
    this.#say(step, shown.text);
    view.setAxis?.("text");
    view.setMode("state");
    view.lock(null);
    if (shown.range) view.show(...shown.range);
    else view.fit();
    this.#mark(shown.part);
    this.#arrive(shown);
    if (first) this.#appear();
    this.next.focus({ preventScroll: true });
  }

  #say(step, text) {
    this.heading.textContent = `${this.at + 1}. ${step.title}`;
    this.text.textContent = text;
    [...this.dots.children].forEach((dot, k) => dot.classList.toggle("lc-now", k === this.at));
    this.back.disabled = this.at === 0;
    const last = this.at === STEPS.length - 1;
    this.next.textContent = last ? "Done" : "Next";
    this.skip.classList.toggle("lc-gone", last); // its room stays, so that nothing moves
  }

  #appear() {
    this.card.hidden = false;
    this.instrument.element.classList.add("lc-touring");
    this.card.scrollIntoView({ block: "start", behavior: calm() ? "auto" : "smooth" });
  }

  /** Moves the clock to where the step wants it, then locks the cell that it speaks of. */
  #arrive({ from, clock, slowly, lock }) {
    const { view } = this.instrument;
    const there = () => {
      view.setClock(clock);
      if (lock) view.lock(lock);
    };
    if (from === undefined || calm() || document.hidden) {
      there();
      return;
    }
    view.setClock(from);
    if (slowly) {
      if (lock) view.lock(lock);
      this.timer = setTimeout(there, WAIT_MS);
      return;
    }
    const began = performance.now();
    const tick = (now) => {
      const share = Math.min(1, (now - began) / MOVE_MS);
      if (share === 1) {
        there();
        return;
      }
      view.setClock(from + (clock - from) * (1 - (1 - share) ** 2));
      this.frame = requestAnimationFrame(tick);
    };
    this.frame = requestAnimationFrame(tick);
  }

  #still() {
    cancelAnimationFrame(this.frame);
    clearTimeout(this.timer);
  }

  #mark(part) {
    for (const node of this.instrument.element.querySelectorAll(".lc-marked-part")) node.classList.remove("lc-marked-part");
    if (part) this.instrument.element.querySelector(`.lc-${part}`)?.classList.add("lc-marked-part");
  }

  /** Another run than the tour's is shown: somebody went on without it. */
  update() {
    if (this.active && this.instrument.store.run !== this.run) this.#close();
  }

  end() {
    if (!this.active) return;
    const { view } = this.instrument;
    const { snapshot, outlook } = this.before;
    this.#close();
    if (snapshot) this.#restoreRun(snapshot);
    view.look(outlook);
    const back = this.opener?.isConnected && this.opener.offsetParent ? this.opener : this.instrument.canvas;
    back.focus({ preventScroll: true });
  }

  #restoreRun(snapshot) {
    const { store } = this.instrument;
    if (snapshot.run === store.run) return;
    this.runs.show(snapshot);
    // A run that was going on has gone on.
    if (store.running) this.runs.refresh();
  }

  #close() {
    this.turn++;
    this.#still();
    this.#mark(null);
    this.at = -1;
    this.card.hidden = true;
    this.instrument.element.classList.remove("lc-touring");
    document.removeEventListener("keydown", this.escape, true);
  }
}

/** Whether things should stay still. */
function calm() {
  return matchMedia("(prefers-reduced-motion: reduce)").matches;
}
