"""A token with all that is known of it: against the trace and the attention that was observed."""

from __future__ import annotations

import numpy as np
import pytest
from harness import LiveMap
from synthetic_feed import RUNS, made

pytestmark = pytest.mark.browser


def test_its_drops_are_those_of_the_trace(live):
    run, messages = made(**RUNS["overlapping"])
    live.receive(messages)
    for token in (0, 30, 77, 150, 329):
        gone = run.trace.evicted_at[:, token]
        steps, layers = np.unique(gone[gone >= 0], return_counts=True)
        told = live.page.evaluate(
            "async (t) => (await import('/js/history.js')).drops(I.store, t)", token
        )
        assert told == [list(pair) for pair in zip(steps.tolist(), layers.tolist(), strict=True)]


def test_the_attention_it_received_is_what_was_observed(live):
    run, messages = made(**RUNS["overlapping"])
    live.receive(messages)
    masses = {event.step: event.mass for event in run.events()}
    trace, layer = run.trace, 11
    for token in (0, 40, 120, 200):
        told = live.page.evaluate(
            """async ([t, layer]) => {
              const r = (await import('/js/history.js')).received(I.store, t, layer);
              return { steps: r.steps, mean: Array.from(r.mean),
                layer: Array.from(r.layer, (x) => Number.isNaN(x) ? null : x) }; }""",
            [token, layer],
        )
        assert told["steps"][0] == trace.joined_at[token]
        for step, mean, own in zip(told["steps"], told["mean"], told["layer"], strict=True):
            stands = trace.held_at(step - 1) if step else np.zeros((30, trace.num_tokens), bool)
            stands = stands | (trace.joined_at == step)[None, :]
            shares = [
                float(masses[step][at, int(stands[at, :token].sum())]) if stands[at, token] else 0.0
                for at in range(30)
            ]
            assert mean == pytest.approx(np.mean(shares), rel=0.04, abs=2e-5)
            if stands[layer, token]:
                assert own == pytest.approx(shares[layer], rel=0.04, abs=2e-5)
            else:
                assert own is None


def test_a_locked_token_shows_everything_and_escape_lets_it_go(live):
    run, messages = made(**RUNS["overlapping"])
    live.receive(messages)
    page, trace = live.page, run.trace
    token, layer = 120, 4
    page.evaluate("(c) => I.view.lock(c)", {"token": token, "layer": layer})
    live.settle()
    said = page.inner_text(".lc-token").replace("\n", " ")
    held = trace.held_at(trace.num_steps - 1)
    assert run.strings[token].strip() in said
    assert f"id {token}" in said and f"token {token + 1} of" in said
    assert f"loss {messages_loss(messages, token):.2f}" in said
    assert f"{held[:, token].sum()} of 30 layers" in said
    assert page.locator(".lc-token .lc-dot-held").count() == held[:, token].sum()
    gone = trace.evicted_at[:, token]
    steps, layers = np.unique(gone[gone >= 0], return_counts=True)
    assert f"{layers[0]} dropped it at step {steps[0] + 1:,}" in said
    assert "layer 5:" in said and "mean:" in said
    # One bar a layer, as long as the layer held it.
    ends = page.evaluate(
        """() => [...document.querySelectorAll('.lc-chart-bars, .lc-chart-own')]
          .flatMap((p) => [...p.getAttribute('d').matchAll(/M(\\d+) ([\\d.]+)H([\\d.]+)/g)])
          .map(([, from, y, to]) => [Math.floor(Number(y)), Number(from), Number(to)])
          .sort((a, b) => a[0] - b[0])"""
    )
    joined = int(trace.joined_at[token])
    expected = [
        [at, joined, trace.num_steps if gone[at] < 0 else max(float(gone[at]), joined + 0.4)]
        for at in range(30)
    ]
    assert ends == expected
    page.focus(".lc-canvas")
    page.keyboard.press("Escape")
    live.settle()
    assert live.stats["locked"] is None and page.locator(".lc-locked").count() == 0
    # What is spoken of now is an example: the oldest token that is left.
    oldest = live.page.evaluate("I.store.summary(I.view.clock).oldest")
    assert f"token {oldest + 1} of" in page.inner_text(".lc-token").replace("\n", " ")
    assert "still remembered" in page.inner_text(".lc-token-panel .lc-note")


def messages_loss(messages, token):
    """The loss that the feed told of a token."""
    losses = [loss for m in messages[1:] for s in m.get("steps", []) for loss in s["l"]]
    first = len(messages[0]["tokens"])
    return losses[token - first]


@pytest.mark.parametrize("width", [390, 1440])
def test_locking_and_modes_do_not_make_the_page_jump(open_page, assets_url, width):
    live = LiveMap.open(open_page, assets_url, width=width)
    _, messages = made(**RUNS["overlapping"])
    live.receive(messages)
    places = """() => [...document.querySelectorAll('.lc-stage, .lc-clock, .lc-columns section')]
      .map((n) => { const b = n.getBoundingClientRect(); return [b.top, b.height]; })"""
    before = live.page.evaluate(places)
    for token, layer in ((0, 3), (120, None), (329, 29)):
        live.page.evaluate("(c) => I.view.lock(c)", {"token": token, "layer": layer})
        live.settle(150)
        assert live.page.evaluate(places) == before
    live.page.evaluate("I.view.lock(null); I.view.chooseCompaction(0)")
    live.settle(1000)
    assert live.page.evaluate(places) == before
    live.check()
