// The measurements that were made before, to be looked at again; this browser remembers its own.

import { el } from "./dom.js";
import { menu } from "./menu.js";

const REMEMBERED = 12;
const GOING = ", going on";
const STATES = { waiting: ", waiting", loading: GOING, running: GOING, stopped: ", not finished", failed: ", not finished" };

export class Earlier {
  /** `ask(ids)` gives `{found, notes}`; `choose(id)` is called when one was chosen. */
  constructor(kind, ask, choose) {
    Object.assign(this, { kind, ask, choose });
    this.list = el("div", { className: "lc-choices" });
    this.menu = menu("Earlier", "Measurements that were made before", el("div", {}, this.list));
    this.menu.opener.addEventListener("click", () => this.#fill());
    this.node = el("span", { className: "lx-earlier" }, this.menu.box);
  }

  async #fill() {
    this.list.replaceChildren(el("p", { textContent: "Looking…" }));
    const { found = [], notes = [] } = (await this.ask(this.ids)) || {};
    const nodes = found.map((one) => this.#item(one));
    if (!nodes.length) nodes.push(el("p", { textContent: "None yet." }));
    this.list.replaceChildren(...nodes, ...notes.map((text) => el("p", { textContent: text })));
  }

  #item({ id, title, who, created, state }) {
    const when = new Date(created).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "medium" });
    const node = el("button", { type: "button", className: "lc-choice" }, el("b", { textContent: title }),
      el("span", { textContent: who }), el("span", { textContent: `${when}${STATES[state] || ""}` }));
    if (id === this.shown) node.setAttribute("aria-current", "true");
    node.addEventListener("click", () => {
      this.menu.close();
      this.remember(id);
      this.choose(id);
    });
    return node;
  }

  /** Ids of this browser's measurements, the newest first. */
  get ids() {
    try {
      const found = JSON.parse(localStorage.getItem(this.#key)) || [];
      return Array.isArray(found) ? found.filter((id) => typeof id === "string") : [];
    } catch {
      return []; // storage is forbidden, or somebody else's
    }
  }

  get #key() {
    return `lacache-measured-${this.kind}`;
  }

  remember(id) {
    this.#store([id, ...this.ids.filter((one) => one !== id)].slice(0, REMEMBERED));
  }

  forget(id) {
    this.#store(this.ids.filter((one) => one !== id));
  }

  #store(ids) {
    try {
      localStorage.setItem(this.#key, JSON.stringify(ids));
    } catch {
      // Without storage a reload begins anew.
    }
  }
}
