// The clock under the map: a scrub bar with a tick for every compaction, and playing.
// Everything it needs lies in the store, so moving it makes no request.

import { button, el } from "./dom.js";

const STEPS_PER_SECOND = 30;

export class Clock {
  constructor(root, store, view, readColours) {
    Object.assign(this, { store, view, readColours });
    this.play = button("Play", "Play or pause (space)", () => this.toggle());
    this.previous = button("◂", "Previous compaction ([)", () => this.jump(-1));
    this.next = button("▸", "Next compaction (])", () => this.jump(1));
    this.live = button("Live", "Follow the newest step (L)", () => view.follow());
    this.bar = el("input", { type: "range", min: 0, max: 0, step: 1, className: "lc-bar" });
    this.bar.setAttribute("aria-label", "Step of the run");
    this.ticks = el("canvas", { className: "lc-ticks" });
    this.label = el("output", { className: "lc-step" });
    const track = el("div", { className: "lc-track" }, this.ticks, this.bar);
    root.append(this.play, this.previous, this.next, track, this.label, this.live);
    this.bar.addEventListener("input", () => {
      this.stop();
      view.setClock(Number(this.bar.value));
    });
    new ResizeObserver(() => this.draw()).observe(this.ticks);
  }

  toggle() {
    if (this.timer) {
      this.stop();
      return;
    }
    if (this.view.clock >= this.store.steps - 1) this.view.setClock(0);
    this.last = performance.now();
    this.carry = this.view.clock;
    const tick = (now) => {
      // A run of thousands of steps plays in half a minute, a short one step by step.
      const speed = Math.max(STEPS_PER_SECOND, this.store.steps / 30);
      this.carry += ((now - this.last) / 1000) * speed;
      this.last = now;
      this.view.setClock(this.carry);
      if (this.view.clock >= this.store.steps - 1) this.stop();
      else this.timer = requestAnimationFrame(tick);
    };
    this.timer = requestAnimationFrame(tick);
    this.#label();
  }

  stop() {
    cancelAnimationFrame(this.timer);
    this.timer = 0;
    this.#label();
  }

  /** To the previous or next step that compacted. */
  jump(direction) {
    this.stop();
    const clock = this.view.clock;
    const steps = this.store.compactions;
    const found = direction > 0
      ? steps.find((c) => c.step > clock)
      : steps.findLast((c) => c.step < clock);
    if (found) this.view.setClock(found.step);
  }

  update() {
    const last = Math.max(0, this.store.steps - 1);
    if (Number(this.bar.max) !== last) this.bar.max = last;
    this.bar.value = Math.max(0, this.view.clock);
    this.bar.disabled = this.store.steps < 2;
    const seen = this.store.seen(this.view.clock);
    this.label.textContent = this.store.steps
      ? `step ${(this.view.clock + 1).toLocaleString("en-US")} of ${(last + 1).toLocaleString("en-US")}, `
        + `${seen.toLocaleString("en-US")} tokens seen`
      : "no run yet";
    this.live.setAttribute("aria-pressed", String(this.view.following));
    for (const b of [this.play, this.previous, this.next, this.live]) b.disabled = !this.store.steps;
    this.#label();
    this.draw();
  }

  #label() {
    this.play.textContent = this.timer ? "Pause" : "Play";
  }

  draw() {
    const { clientWidth: width, clientHeight: height } = this.ticks;
    const ratio = window.devicePixelRatio || 1;
    if (!width) return;
    if (this.ticks.width !== Math.round(width * ratio)) {
      this.ticks.width = Math.round(width * ratio);
      this.ticks.height = Math.round(height * ratio);
      this.drawn = -1;
    }
    const key = `${this.store.run}/${this.store.compactions.length}/${this.store.steps}`;
    if (this.drawn === key) return;
    this.drawn = key;
    const g = this.ticks.getContext("2d");
    g.setTransform(ratio, 0, 0, ratio, 0, 0);
    g.clearRect(0, 0, width, height);
    const colours = this.readColours();
    const span = Math.max(1, this.store.steps - 1);
    // One mark a pixel at most: as many as fit, restart passes over the others.
    const kinds = new Uint8Array(Math.ceil(width) + 1);
    for (const c of this.store.compactions) {
      const x = Math.round((c.step / span) * width);
      kinds[x] = Math.max(kinds[x], c.restart ? 2 : 1);
    }
    for (let x = 0; x < kinds.length; x++) {
      if (!kinds[x]) continue;
      const tall = kinds[x] === 2;
      g.fillStyle = tall ? colours.text : colours.muted;
      g.globalAlpha = tall ? 0.9 : 0.45;
      g.fillRect(x, tall ? 0 : height * 0.5, 1, tall ? height : height * 0.5);
    }
    g.globalAlpha = 1;
  }
}
