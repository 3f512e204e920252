"""Layers whose heads hold different tokens: shares, layers, attention, slots of one head."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic_feed import BY_HEAD, RUNS, made

from lacache_core.trace import Trace

pytestmark = pytest.mark.browser

ALL = """(step) => { const { store } = I;
  const tokens = Array.from({ length: store.length }, (_, t) => t);
  const layers = Array.from({ length: store.layers }, (_, layer) => layer);
  return { heads: layers.map((layer) => tokens.map((t) => store.headsHolding(layer, t, step))),
    holders: tokens.map((t) => store.holders(t, step)), summary: store.summary(step) }; }"""


def head_masses(run) -> dict[int, np.ndarray]:
    return {event.step: event.mass for event in run.events()}


def stands(trace: Trace, step: int) -> np.ndarray:
    """What each head could look at in a step: ``bool[L, H, T]``."""
    gone = trace.evicted_by_head
    return (trace.joined_at <= step) & ((gone < 0) | (gone >= step))


def expected_share(trace: Trace, step: int, mass: np.ndarray) -> np.ndarray:
    """Mean over heads, 0 where one had dropped it, NaN where all had: ``[L, T]``."""
    there = stands(trace, step)
    full = np.zeros(there.shape)
    full[there] = np.where(mass > 1.2e-5, mass, 0).reshape(-1)
    return np.where(there.any(axis=1), full.mean(axis=1), np.nan)


@pytest.mark.parametrize("name", BY_HEAD)
def test_the_browser_answers_what_the_trace_answers(live, name):
    run, messages = made(observe=False, **BY_HEAD[name])
    trace = run.trace
    assert trace.evicted_by_head is not None
    half = len(messages) // 2
    live.receive(messages[:half])
    live.page.evaluate(ALL, 3)  # what was worked out on the way must not stay
    live.receive(messages[half:])
    last = trace.num_steps - 1
    for step in (last, 0, last // 2, last // 3, last):
        told = live.page.evaluate(ALL, step)
        shares = trace.share_at(step)
        assert np.array_equal(np.array(told["heads"]), np.rint(shares * 3))
        held = trace.held_at(step)
        assert told["holders"] == held.sum(axis=0).tolist()
        assert told["summary"]["held"] == trace.entries_at(step)
        assert told["summary"]["union"] == held.any(axis=0).sum()
    partly = (trace.share_at(last) > 0) & (trace.share_at(last) < 1)
    assert partly.any()


def test_a_snapshot_says_the_same_as_the_messages_before_it(live):
    run, messages = made(**BY_HEAD["h2o"])
    live.receive(messages)
    arrays = """() => { const s = I.store, cut = (row) => Array.from(row.slice(0, s.length));
      return [s.evictedAt.map(cut), s.goneAt.map(cut), cut(s.holdersNow), s.rowsOfLayer]; }"""
    told = live.page.evaluate(arrays)
    live.page.evaluate("m => { I.store.seq = -1; I.receive(m) }", run.feed.snapshot())
    assert live.page.evaluate(arrays) == told
    # And as it is kept in the browser while another run is shown.
    live.page.evaluate(
        """async () => { const { snapshotOf } = await import('/js/copy.js');
          const kept = snapshotOf(I.store); I.store.past.clear(); I.store.run = null;
          I.receive({ ...kept, run: 'again' }); }"""
    )
    assert live.page.evaluate(arrays) == told


def test_attention_of_a_layer_is_the_mean_over_its_heads(live):
    run, messages = made(**BY_HEAD["h2o"])
    live.receive(messages)
    last = run.trace.num_steps - 1
    masses = head_masses(run)
    shares = live.page.evaluate(
        """() => { const { store } = I; const frame = store.frame(store.steps - 1);
          return Array.from({ length: store.layers }, (_, layer) =>
            Array.from({ length: store.length }, (_, t) => store.share(frame, layer, t))); }"""
    )
    expected = expected_share(run.trace, last, masses[last])
    got = np.array(shares, dtype=float)
    assert np.array_equal(np.isnan(got), np.isnan(expected))
    assert np.allclose(got, expected, rtol=0.03, atol=2e-5, equal_nan=True)
    # The token panel over the run, and the sums of all queries.
    token, layer = 40, 5
    found = live.page.evaluate(
        """async ([token, layer]) => { const { received } = await import('/js/history.js');
          const { steps, mean, layer: own } = received(I.store, token, layer);
          const sums = I.store.accumulated.upTo(I.store.steps - 1);
          return [steps, Array.from(mean), Array.from(own),
            sums.share(layer, token), sums.count]; }""",
        [token, layer],
    )
    steps, mean, own, summed, queries = found
    by_step = {s: expected_share(run.trace, s, masses[s])[:, token] for s in steps}
    assert np.allclose(mean, [np.nansum(by_step[s]) / 30 for s in steps], rtol=0.03, atol=2e-5)
    own, expected = np.array(own, dtype=float), [by_step[s][layer] for s in steps]
    assert np.allclose(own, expected, rtol=0.03, atol=2e-5, equal_nan=True)
    assert summed == pytest.approx(np.nansum(expected) / queries, rel=0.03)


def test_a_cell_is_drawn_by_its_share_of_heads_and_told_so(live):
    run, messages = made(**BY_HEAD["h2o"])
    live.receive(messages)
    page, trace = live.page, run.trace
    share = trace.share_at(trace.num_steps - 1)
    seen = {}
    for wanted in (1 / 3, 2 / 3, 1.0):
        layer, token = (int(x[0]) for x in np.nonzero(np.isclose(share, wanted)))
        seen[wanted] = page.evaluate(
            """([layer, t]) => { const { map } = I; I.view.show(t - 10, 20); map.draw();
              const g = I.canvas.getContext('2d');
              return Array.from(g.getImageData(map.xOf(t + 0.5) * devicePixelRatio,
                (map.plot.y + (layer + 0.4) * map.plot.row) * devicePixelRatio, 1, 1).data); }""",
            [layer, token],
        )
    reds = [seen[wanted][0] for wanted in sorted(seen)]
    assert reds == sorted(reds, reverse=True) and len(set(reds)) == 3  # from pale to full
    layer, token = (int(x[0]) for x in np.nonzero(np.isclose(share, 2 / 3)))
    page.evaluate("([layer, token]) => I.view.lock({ layer, token })", [layer, token])
    live.settle(200)
    assert "held by 2 of 3 heads" in page.inner_text(".lc-readout").replace("\n", " ")
    holders = (share[:, token] > 0).sum()
    heads = round(float(share[:, token].sum() * 3))
    facts = page.inner_text(".lc-token").replace("\n", " ")
    assert f"{holders} of 30 layers" in facts and f"heads {heads} of 90" in facts
    assert "paler: held by some of the layer's 3 heads" in page.inner_text(".lc-legend")
    gone = int(np.nonzero(share[layer] == 0)[0][0])
    page.evaluate("([layer, token]) => I.view.lock({ layer, token })", [layer, gone])
    live.settle(200)
    step = int(trace.evicted_at[layer, gone])
    assert f"dropped by the last head at step {step + 1}" in page.inner_text(".lc-readout")


def test_by_slot_one_head_is_shown_and_h_shows_the_next(live):
    run, messages = made(**BY_HEAD["h2o"])
    live.receive(messages)
    page, trace = live.page, run.trace
    positions = trace.positions_at(trace.num_steps - 1)
    page.click("text=By cache slot")
    for head in (0, 1, 2, 0):
        assert page.inner_text(".lc-switch + .lc-button") == f"Head {head + 1} of 3"
        found = page.evaluate(
            """() => Array.from({ length: I.store.layers }, (_, layer) =>
              Array.from({ length: 64 }, (_, slot) => I.view.tokenIn(slot, layer)))"""
        )
        assert np.array_equal(np.array(found), positions[:, head])
        page.evaluate("I.view.lock({ token: I.view.tokenIn(12, 4), layer: 4 })")
        live.settle(150)
        assert f"slot, head {head + 1}" in page.inner_text(".lc-readout")
        page.focus(".lc-canvas")
        page.keyboard.press("h")
    for mode in ("state", "attention", "holding", "when"):
        page.evaluate("(m) => I.view.setMode(m)", mode)
        live.settle(60)


def test_where_heads_are_alike_nothing_speaks_of_them(live):
    _, messages = made(**RUNS["interleaved"])
    live.receive(messages)
    live.page.evaluate("I.view.setAxis('slot'); I.view.lock({ token: 3, layer: 4 })")
    live.settle(200)
    assert live.page.locator(".lc-switch + .lc-button").is_hidden()
    assert "head" not in live.page.inner_text(".lc-readout") + live.page.inner_text(".lc-legend")
    # And nothing is kept twice for it.
    assert live.page.evaluate("I.store.goneAt === I.store.evictedAt && I.store.last === null")


@pytest.mark.parametrize("name", BY_HEAD)
def test_an_eviction_close_up_names_heads(live, name):
    run, messages = made(**BY_HEAD[name])
    live.receive(messages)
    trace = run.trace
    step, *_ = trace.compactions[0].tolist()
    live.page.evaluate("I.view.chooseCompaction(0)")
    live.settle_closeup()
    rows = live.page.evaluate(
        """() => { const { group } = I.closeup;
          return group.patterns.map((p) =>
            [p.layers, p.head, p.tokens.filter((_, k) => !p.kept[k])]); }"""
    )
    gone = trace.evicted_by_head == step
    expected = [
        [[layer + 1], head, np.nonzero(gone[layer, head])[0].tolist()]
        for layer in range(30)
        for head in range(3)
    ]
    assert rows == expected
    # Heads that did the same stand in one row, and every row says whose it is.
    different = {str(dropped) for *_, dropped in rows}
    table = live.page.locator(".lc-cells tbody tr")
    assert table.count() == len(different)
    titles = "; ".join(row.locator("th").get_attribute("title") for row in table.all())
    told = titles.count(", head ") or 90 * titles.count("every head of every layer")
    assert told == 90
    assert "layer · head" in live.page.inner_text(".lc-cells thead")
    assert live.page.locator(".lc-closeup .lc-box").bounding_box()["height"] <= 400
    said = live.page.inner_text(".lc-closeup")
    assert "layer 1, head 1, dropped" in said or "every layer dropped" in said
    assert "cursor" not in said
