"""The map by cache slot, accumulated attention, and the window, against trace and policies."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic_feed import RUNS, made

from lacache_core.policies import Arrival, make_policy

pytestmark = pytest.mark.browser

ENTRIES = """(step) => { const { store } = I; const { rows, lengths } = store.moment.entries(step);
  return store.rowOfLayer.map((row) => Array.from(rows[row].subarray(0, lengths[row]))); }"""


@pytest.mark.parametrize("name", RUNS)
def test_what_stands_in_each_slot_is_what_the_trace_says(live, name):
    run, messages = made(observe=False, **RUNS[name])
    live.receive(messages)
    last = run.trace.num_steps - 1
    for step in (last, 0, last // 2, last // 3, last):  # back and forth
        held = [np.nonzero(row)[0].tolist() for row in run.trace.held_at(step)]
        assert live.page.evaluate(ENTRIES, step) == held


def test_a_cell_by_slot_names_slot_and_token_and_keys_move_in_slots(live):
    run, messages = made(**RUNS["overlapping"])
    live.receive(messages)
    page, trace = live.page, run.trace
    page.click("text=By cache slot")
    assert live.stats["axis"] == "slot"
    step = trace.num_steps - 1
    held = [np.nonzero(row)[0].tolist() for row in trace.held_at(step)]
    capacity = messages[0]["setup"]["effectiveBudget"]
    assert live.stats["range"] == [0, capacity]
    page.mouse.click(*live.canvas_point(20.5, 7.5))
    assert live.stats["locked"] == {"token": held[7][20], "layer": 7}
    live.settle(120)
    said = page.inner_text(".lc-readout").replace("\n", " ")
    assert "slot 21" in said and f"token {held[7][20] + 1}" in said
    page.focus(".lc-canvas")
    page.keyboard.press("ArrowRight")
    assert live.stats["locked"] == {"token": held[7][21], "layer": 7}
    page.keyboard.press("ArrowDown")  # the same slot, where another token stands
    assert live.stats["locked"] == {"token": held[8][21], "layer": 8}
    assert held[8][21] != held[7][21]
    # By text again it is the same token, and each axis keeps the stretch it was zoomed to.
    page.evaluate("I.view.show(10, 30)")
    page.keyboard.press("x")
    assert live.stats["axis"] == "text" and not live.stats["zoomed"]
    assert live.stats["locked"]["token"] == held[8][21]
    page.keyboard.press("x")
    assert live.stats["range"] == [10, 40]


def test_a_locked_token_is_found_in_every_row_that_holds_it(live):
    run, messages = made(**RUNS["overlapping"])
    live.receive(messages)
    held = run.trace.held_at(run.trace.num_steps - 1)
    holders = held.sum(axis=0)
    token = int(np.nonzero((holders > 1) & (holders < 30))[0][40])
    live.page.evaluate(
        "(t) => { I.view.setAxis('slot'); I.view.lock({ token: t, layer: 0 }) }", token
    )
    slots = live.page.evaluate(
        "(t) => I.store.rowOfLayer.map((_, layer) => I.view.columnOf(t, layer))", token
    )
    expected = [
        int(row[:token].sum()) if row[token] else -1 for row in held
    ]  # as many stand before it as are held of the earlier ones
    assert slots == expected and len(set(slots)) > 2
    # Outlined on the canvas where it stands, and only there: the frame is dark.
    frames = live.page.evaluate(
        """(slots) => { const { map, canvas } = I; const g = canvas.getContext('2d'); map.draw();
          const { plot } = map; const dark = (x, y) => {
            const d = g.getImageData(Math.round(x * devicePixelRatio) - 1,
              Math.round(y * devicePixelRatio), 3, 1).data;
            return Math.min(...[0, 4, 8].map((k) => d[k] + d[k + 1] + d[k + 2])) < 120; };
          return slots.map((slot, layer) => slot < 0 ? null
            : dark(map.xOf(slot) - 0.5, plot.y + (layer + 0.5) * plot.row)); }""",
        slots,
    )
    assert all(frame in (None, True) for frame in frames)


@pytest.mark.parametrize("mode", ["state", "attention", "holding", "when"])
def test_every_mode_has_colours_by_slot(live, mode):
    run, messages = made(**RUNS["overlapping"])
    live.receive(messages)
    page = live.page
    step = run.trace.num_steps // 2
    page.evaluate(
        "([m, s]) => { I.view.setAxis('slot'); I.view.setMode(m); I.view.setClock(s) }",
        [mode, step],
    )
    live.settle()
    colours = page.evaluate(
        """() => { const { map, store, view, canvas } = I; const g = canvas.getContext('2d');
          const at = (slot, layer) => Array.from(g.getImageData(
            map.xOf(slot + 0.5) * devicePixelRatio,
            (map.plot.y + (layer + 0.5) * map.plot.row) * devicePixelRatio, 1, 1).data).slice(0, 3);
          const length = store.moment.entries(view.clock).lengths[0];
          return [at(1, 3), at(6, 3), at(length - 2, 3), at(length + 0.2, 3)]; }"""
    )
    sink, old, new, empty = colours
    if mode == "state":
        assert sink == [107, 44, 15]  # as by text position
        assert sum(new) > sum(old) + 150  # dark is old, bright is new
        assert "which token" in page.inner_text(".lc-legend")
        assert "newest, not compacted yet" in page.inner_text(".lc-legend")
    if mode == "when":
        gone = run.trace.evicted_at[3][np.nonzero(run.trace.held_at(step)[3])[0][6]]
        assert (old == [228, 231, 236]) == (gone < 0)
        assert "will be dropped at step" in page.inner_text(".lc-legend")
    assert empty not in (sink, old, new)


# Attention of all observed queries


def expected_means(run, steps, layers, tokens):
    """Mean share over the queries at those steps, by layer and token; NaN where none could look."""
    masses = {event.step: event.mass for event in run.events() if event.step in set(steps)}
    total = np.zeros((layers, tokens))
    looked = np.zeros((layers, tokens), dtype=bool)
    for step in steps:
        stands = run.trace.held_at(step - 1) if step else np.zeros((layers, tokens), dtype=bool)
        stands = stands | (run.trace.joined_at == step)[None, :]
        for layer in range(layers):
            places = np.nonzero(stands[layer])[0]
            total[layer, places] += np.where(masses[step][layer] > 1.2e-5, masses[step][layer], 0)
            looked[layer, places] = True
    return np.where(looked, total / len(steps), np.nan)


def test_accumulated_attention_is_the_mean_over_the_observed_queries(live):
    run, messages = made(prompt=60, new=300, chunk=20, settings={"budget": 64, "span": 9})
    live.receive(messages)
    page = live.page
    page.evaluate("I.view.setMode('attention')")
    page.click("text=Accumulated")
    observed = page.evaluate("I.store.frames.list.map((f) => f.step)")
    assert 100 < len(observed) <= 256  # more came: some were let go, and the sums know it
    last = run.trace.num_steps - 1
    for step in (last, 40, 200, 3, last):  # frames are taken in and out again
        upto = [s for s in observed if s <= step]
        shares = page.evaluate(
            """(step) => { I.view.setClock(step); const { store } = I;
              const sums = store.accumulated.upTo(step);
              return Array.from({ length: store.layers }, (_, layer) =>
                Array.from({ length: store.length }, (_, t) => sums.share(layer, t))); }""",
            step,
        )
        got = np.array(shares, dtype=float)
        expected = expected_means(run, upto, 30, 360)
        assert np.array_equal(np.isnan(got), np.isnan(expected))
        assert np.allclose(got, expected, rtol=0.03, atol=2e-5, equal_nan=True)
        assert f"mean over {len(upto)} observed quer" in page.inner_text(".lc-legend")


def test_the_sums_are_the_same_whichever_way_the_clock_came(live):
    _, messages = made(**RUNS["overlapping"])
    live.receive(messages)
    same = live.page.evaluate(
        """() => { const at = (s) => Array.from(I.store.accumulated.upTo(s).sums);
          const there = at(100).join(); at(230); at(5); const back = at(100).join();
          return there === back && there.length > 1000; }"""
    )
    assert same


def test_the_readout_tells_the_accumulated_share(live):
    _, messages = made(**RUNS["overlapping"])
    live.receive(messages)
    live.page.evaluate("I.view.setMode('attention'); I.view.lock({ token: 0, layer: 4 })")
    live.page.focus(".lc-canvas")
    live.page.keyboard.press("a")
    live.settle(120)
    queries = live.page.evaluate("I.store.frames.length")
    assert f"mean of {queries} queries" in live.page.inner_text(".lc-readout")


def test_a_map_on_which_nothing_goes_says_so(live):
    run, messages = made(**RUNS["overlapping"])
    live.receive(messages)
    page = live.page
    page.evaluate("I.view.setAxis('slot'); I.view.setMode('when')")
    assert "Nothing here was dropped later" in page.inner_text(".lc-remark")
    page.evaluate("I.view.setClock(20)")
    assert page.is_hidden(".lc-remark")
    page.evaluate("I.view.follow()")
    assert page.is_visible(".lc-remark")
    page.evaluate("I.view.setAxis('text')")
    assert page.is_hidden(".lc-remark")


# The window of the same budget


def test_what_a_window_would_hold_is_told_of_what_is_in_sight(live):
    run, messages = made(**RUNS["interleaved"])
    live.receive(messages)
    written = """([first, width]) => {
      if (width) I.view.show(first, width); else I.view.fit();
      const g = I.canvas.getContext('2d'), said = [];
      g.fillText = (text, ...rest) => { said.push(text);
        CanvasRenderingContext2D.prototype.fillText.call(g, text, ...rest); };
      I.map.draw(); delete g.fillText;
      return said.filter((text) => text.includes("window")); }"""
    start, seen = live.page.evaluate(
        "[I.store.windowStart(I.view.clock), I.store.seen(I.view.clock)]"
    )

    def said(first, width=0):
        return live.page.evaluate(written, [first, width])

    assert said(0) == ["what a window would hold"]
    assert said(start - 10, 20) == ["what a window would hold"]
    assert said(start - 40, 40) == ["none of these would be in a window →"]
    assert said(0, 40) == ["a window would hold the sinks alone"]
    assert said(start, seen - start) == ["a window would hold all of these"]


def test_the_window_that_is_drawn_is_what_the_policy_would_hold(live):
    run, messages = made(observe=False, **RUNS["interleaved"])
    live.receive(messages)
    budget, sinks = 96, 4
    planner = make_policy("streaming_llm", budget=budget, num_sink=sinks).bind(30)
    for step in range(0, run.trace.num_steps, 7):
        seen = int(run.trace.seen[step])
        start = live.page.evaluate("(s) => I.store.windowStart(s)", step)
        rows = np.arange(seen, dtype=np.int32)[None, :]
        plan = planner.plan(Arrival(held=0, arriving=seen, seen=0, cursor=planner.cursor))
        held = set((rows if plan is None else plan.apply(rows))[0].tolist())
        assert held == set(range(min(sinks, seen))) | set(range(start, seen))
