// Views that are looked at together: what one is moved to, pointed at or locked on, the others follow.
// The clock belongs to the view of the pair; each run's view stands where its run stood then.

import { SIDES } from "./pair.js";
import { View } from "./view.js";

export function linkedViews(pair) {
  // The pair comes last: who listens to it finds the others where they belong.
  const views = { a: new View(pair.a), b: new View(pair.b), pair: new View(pair) };
  const alike = (view) => Object.values(views).filter((other) => other !== view && other.axis === view.axis);
  // None may be wider than the others, or a place of the screen would be another token in each.
  for (const view of Object.values(views)) {
    view.extent = () => Math.max(0, ...alike(view).map((other) => other.own));
  }
  let busy = false; // while others are brought along
  for (const view of Object.values(views)) {
    view.onChange((what) => {
      if (busy) return;
      busy = true;
      try {
        for (const other of Object.values(views)) if (other !== view) follow(other, view, what);
      } finally {
        busy = false;
      }
    });
  }

  function follow(other, view, what) {
    if (what === "range") {
      if (other.axis === view.axis) Object.assign(other, { range: view.range, brush: view.brush });
      else other.ranges[view.axis] = view.range;
    } else if (what === "mode") {
      const { mode, accumulated, chosenHead } = view;
      // The difference is one of tokens, so it stays by text.
      if (view !== views.pair && other !== views.pair) other.setAxis(view.axis);
      Object.assign(other, { mode, accumulated, chosenHead });
    } else if (what === "focus") {
      Object.assign(other, { hover: view.hover, locked: view.locked });
    } else if (what === "clock") {
      if (view !== views.pair) return;
      stand(other);
    }
    other.changed(what);
  }

  /** Puts the view of a run where its run stood at the moment of the clock. */
  function stand(view) {
    const side = SIDES.find((name) => views[name] === view);
    view.step = pair.stepOf(side, views.pair.clock);
    view.following = views.pair.following;
  }

  return views;
}
