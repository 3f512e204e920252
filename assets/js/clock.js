// The clock under the map: a scrub bar with a tick for every compaction, and playing.
// Everything it needs lies in the store, so moving it makes no request.

import { button, count, el, fitCanvas, icon } from "./dom.js";

const STEPS_PER_SECOND = 30;
const SPEEDS = [0.25, 1, 4];

export class Clock {
  constructor(root, store, view, readPalette) {
    Object.assign(this, { store, view, readPalette, speed: 1, timer: 0 });
    this.previous = button("previous", "Previous compaction ([)", () => this.jump(-1));
    this.play = button("play", "Play (space)", () => this.toggle());
    this.next = button("next", "Next compaction (])", () => this.jump(1));
    this.pace = button("1×", "How fast to play", () => this.#faster());
    this.#named();
    this.live = button("Live", "Follow the newest step (L)", () => this.followOrHold());
    this.live.classList.add("lc-live");
    this.bar = el("input", { type: "range", min: 0, max: 0, step: 1, className: "lc-bar" });
    this.bar.setAttribute("aria-label", "Clock: step of the run");
    this.ticks = el("canvas", { className: "lc-ticks" });
    this.label = el("output", { className: "lc-step" });
    root.append(
      el("div", { className: "lc-group" }, this.previous, this.play, this.next, this.pace),
      el("div", { className: "lc-track" }, this.ticks, this.bar),
      this.label,
      this.live,
    );
    this.bar.addEventListener("input", () => {
      this.stop();
      view.setClock(Number(this.bar.value));
    });
    this.resizing = new ResizeObserver(() => this.drawTicks(true));
    this.resizing.observe(this.ticks);
  }

  /** What keys do here. */
  get actions() {
    return {
      " ": () => this.toggle(),
      "[": () => this.jump(-1),
      "]": () => this.jump(1),
      ",": () => this.by(-1),
      ".": () => this.by(1),
      l: () => this.followOrHold(),
    };
  }

  toggle() {
    if (this.timer || !this.store.steps) {
      this.stop();
      return;
    }
    if (this.view.clock >= this.store.steps - 1) this.view.setClock(0);
    let last = performance.now();
    let at = this.view.clock;
    const tick = (now) => {
      // A run of thousands of steps plays in half a minute, a short one step by step.
      const pace = Math.max(STEPS_PER_SECOND, this.store.steps / 30) * this.speed;
      at += ((now - last) / 1000) * pace;
      last = now;
      this.timer = requestAnimationFrame(tick);
      if (Math.round(at) !== this.view.clock) this.view.setClock(at);
      if (this.view.following) this.stop();
    };
    this.timer = requestAnimationFrame(tick);
    this.#face();
  }

  stop() {
    cancelAnimationFrame(this.timer);
    this.timer = 0;
    this.#face();
  }

  /** To the previous or next step that compacted. */
  jump(direction) {
    this.stop();
    const { compactions } = this.store;
    const clock = this.view.clock;
    const by = direction > 0
      ? this.store.compactionsBy(clock) // the first one after the clock
      : this.store.compactionsBy(clock - 1) - 1; // the last one before it
    if (by >= 0 && by < compactions.length) this.view.setClock(compactions.stepOf(by));
  }

  /** So many steps on or back. */
  by(steps) {
    this.stop();
    if (this.store.steps) this.view.setClock(this.view.clock + steps);
  }

  followOrHold() {
    this.stop();
    if (this.view.following && this.store.running) this.view.hold();
    else this.view.follow();
  }

  #faster() {
    this.speed = SPEEDS[(SPEEDS.indexOf(this.speed) + 1) % SPEEDS.length];
    this.pace.textContent = this.speed < 1 ? "¼×" : `${this.speed}×`;
    this.#named();
  }

  /** A name that begins with what is seen on it. */
  #named() {
    this.pace.setAttribute("aria-label", `${this.pace.textContent}, how fast to play`);
  }

  #face() {
    const hint = this.timer ? "Pause (space)" : "Play (space)";
    if (this.play.title === hint) return;
    this.play.replaceChildren(icon(this.timer ? "pause" : "play"));
    this.play.title = hint;
    this.play.setAttribute("aria-label", hint);
  }

  update() {
    const { store, view } = this;
    const last = Math.max(0, store.steps - 1);
    if (Number(this.bar.max) !== last) this.bar.max = last;
    const at = Math.max(0, view.clock);
    this.bar.value = at;
    this.bar.style.setProperty("--lc-done", `${last ? (100 * at) / last : 0}%`);
    this.bar.disabled = store.steps < 2;
    const step = `step ${count(at + 1)} of ${count(last + 1)}`;
    this.label.textContent = store.steps ? `${step} · ${count(store.seen(at))} tokens seen` : "no run yet";
    this.bar.setAttribute("aria-valuetext", this.label.textContent);
    this.#ending();
    for (const b of [this.play, this.previous, this.next, this.live]) b.disabled = !store.steps;
    this.drawTicks();
  }

  /** While a run goes on the last button follows it; later it goes to the end. */
  #ending() {
    const { live, store, view } = this;
    const face = store.running ? "Live" : "End";
    if (live.textContent !== face) {
      live.textContent = face;
      live.title = store.running ? "Follow the newest step (L)" : "Go to the last step (L)";
    }
    if (store.running) live.setAttribute("aria-pressed", String(view.following && store.steps > 0));
    else live.removeAttribute("aria-pressed");
  }

  /** A tick a compaction; where they outnumber the pixels, their density. */
  drawTicks(force = false) {
    if (force) fitCanvas(this.ticks); // else it has the size that it had: asking lays the page out
    const { store } = this;
    const key = `${store.run}/${store.compactions.length}/${store.steps}`;
    if (!force && this.drawn === key) return;
    this.drawn = key;
    const { width, height } = this.ticks;
    const g = this.ticks.getContext("2d");
    g.clearRect(0, 0, width, height);
    if (!store.compactions.length) return;
    const palette = this.readPalette();
    const span = Math.max(1, store.steps - 1);
    const thick = Math.max(1, Math.round(window.devicePixelRatio || 1));
    const slots = Math.max(1, Math.floor(width / thick));
    const ticks = new Uint32Array(slots);
    const restarts = new Uint8Array(slots);
    for (let k = 0; k < store.compactions.length; k++) {
      const x = Math.round((store.compactions.stepOf(k) / span) * (slots - 1));
      ticks[x]++;
      if (store.compactions.restartAt(k)) restarts[x] = 1;
    }
    const most = ticks.reduce((a, b) => Math.max(a, b), 1);
    for (let x = 0; x < slots; x++) {
      if (!ticks[x]) continue;
      g.fillStyle = palette.muted;
      g.globalAlpha = 0.35 + 0.55 * (most > 1 ? Math.log(ticks[x]) / Math.log(most) : 0);
      g.fillRect(x * thick, height * 0.5, thick, height * 0.5);
      if (!restarts[x]) continue;
      g.fillStyle = palette.window;
      g.globalAlpha = 1;
      g.fillRect(x * thick, 0, thick, height);
    }
    g.globalAlpha = 1;
  }
}
