"""What the browser knows of a run, against the trace and the rule; and messages that go astray."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic_feed import RUNS, SyntheticRun, made

from lacache_core.ladder import LadderConfig, retained

pytestmark = pytest.mark.browser


HELD = """(step) => Array.from({ length: I.store.layers }, (_, layer) =>
  Array.from({ length: I.store.length }, (_, t) =>
    I.store.held(I.store.rowOfLayer[layer], t, step) ? 1 : 0))"""


# What the browser knows of a run


@pytest.mark.parametrize("name", RUNS)
def test_the_browser_answers_what_the_trace_answers(live, name):
    run, messages = made(**RUNS[name])
    live.receive(messages)
    trace = run.trace
    rng = np.random.default_rng(3)
    for step in {0, trace.num_steps - 1, *rng.integers(0, trace.num_steps, 6).tolist()}:
        held = trace.held_at(step)
        assert np.array_equal(np.array(live.page.evaluate(HELD, step), dtype=bool), held)
        summary = live.page.evaluate("(s) => I.store.summary(s)", step)
        assert summary["seen"] == trace.seen[step]
        assert summary["held"] == held[0].sum()
        assert summary["union"] == held.any(axis=0).sum()
        holders = live.page.evaluate(
            "(s) => Array.from({length: I.store.length}, (_, t) => I.store.holders(t, s))", step
        )
        assert holders == held.sum(axis=0).tolist()
    listed = live.page.evaluate(
        "[...I.store.compactions].map((c) => "
        "[c.step, c.seen, c.start, c.width, c.kept, c.cursor, Number(c.restart)])"
    )
    assert listed == trace.compactions.tolist()


def test_what_is_shown_at_the_end_is_what_the_rule_retains(live):
    run, messages = made(**RUNS["overlapping"])
    live.receive(messages)
    expected = retained(LadderConfig(80, 8, 4), 30, 330)
    held = np.array(live.page.evaluate(HELD, run.trace.num_steps - 1), dtype=bool)
    assert np.array_equal(np.nonzero(held)[1].reshape(30, -1), expected)


def test_a_snapshot_says_the_same_as_the_messages_before_it(live):
    run, messages = made(**RUNS["staircase"])
    live.receive(messages)
    arrays = """() => [Array.from(I.store.joinedAt.slice(0, I.store.length)),
      I.store.evictedAt.map((row) => Array.from(row.slice(0, I.store.length))),
      Array.from(I.store.holdersNow.slice(0, I.store.length)), I.store.tokens.join(''),
      [...I.store.compactions], I.store.text]"""
    told = live.page.evaluate(arrays)
    live.page.evaluate("m => { I.store.seq = -1; I.receive(m) }", run.feed.snapshot())
    assert live.page.evaluate(arrays) == told


def test_attention_is_what_the_feed_sent(live):
    run, messages = made(**RUNS["overlapping"])
    live.receive(messages)
    mass = [event for event in run.events()][-1].mass
    shares = live.page.evaluate(
        """() => { const { store } = I; const frame = store.frame(store.steps - 1);
          return Array.from({length: store.layers}, (_, layer) => {
            const at = store.columns(frame)[store.rowOfLayer[layer]];
            return Array.from(at, (t) => store.share(frame, layer, t)); }); }"""
    )
    assert np.allclose(np.where(mass > 2e-5, mass, 0), shares, rtol=0.03, atol=2e-5)


def test_attention_frames_stay_few_and_evenly_spread(live):
    spread = live.page.evaluate(
        """async () => {
          const { AttentionFrames } = await import('/js/attention.js');
          const frames = new AttentionFrames();
          for (let s = 0; s < 5000; s++) frames.push(s, 4, new Uint8Array(120));
          return frames.list.map((f) => f.step); }"""
    )
    assert 100 < len(spread) <= 256
    assert spread[-1] == 4999
    assert len(set(np.diff(spread[:-1]).tolist())) == 1


# Messages that get lost, come late, or belong elsewhere


def test_a_gap_asks_for_one_snapshot_and_loses_nothing(live):
    run, messages = made(**RUNS["interleaved"])
    cut = len(messages) // 2
    upto = SyntheticRun(**RUNS["interleaved"])
    for made_so_far, _ in enumerate(upto.messages()):
        if made_so_far == cut + 3:
            break
    live.page.evaluate(
        "s => { window.answer = () => new Promise((done) => { window.go = () => done(s) }) }",
        upto.feed.snapshot(),
    )  # noqa: E501
    live.receive(messages[:cut])
    live.receive(messages[cut + 1 : cut + 6])  # one is lost; two more come than the snapshot knows
    assert live.page.evaluate("asked") == ["synthetic"]
    assert live.stats["seq"] == cut - 1
    live.page.evaluate("go()")
    live.settle()
    assert live.stats["seq"] == cut + 5
    live.receive(messages[cut + 6 :])
    assert live.stats["gaps"] == 1
    last = run.trace.num_steps - 1
    held = np.array(live.page.evaluate(HELD, last), dtype=bool)
    assert np.array_equal(held, run.trace.held_at(last))


def test_without_an_answer_it_asks_again_but_not_at_every_message(live):
    _, messages = made(**RUNS["interleaved"])
    live.receive(messages[:10])
    live.receive(messages[20:60])
    assert live.page.evaluate("asked.length") == 1
    live.settle(700)
    live.receive(messages[60:70])
    assert live.page.evaluate("asked.length") == 2


def test_a_server_that_does_not_answer_is_asked_again_though_nothing_more_comes(live):
    run, messages = made(**RUNS["interleaved"])
    live.receive(messages[:10])
    live.page.evaluate(
        """s => { window.answer = () => (asked.length < 3 ? Promise.reject(new Error()) : s); }""",
        run.feed.snapshot(),
    )
    live.receive(messages[20:])
    live.page.wait_for_function(
        "I.stats.tokens === I.store.tokens.length && I.store.waiting === null"
    )
    assert live.stats["tokens"] == run.trace.num_tokens and live.stats["gaps"] == 1
    assert live.page.evaluate("asked.length") == 3


def test_what_is_said_of_a_run_that_was_replaced_comes_too_late(live):
    _, shown = made(run="shown", **RUNS["interleaved"])
    _, new = made(run="new", **RUNS["staircase"])

    def told(run, name, message):
        return {"kind": "notice", "run": run, "state": {"name": name, "message": message}}

    said = live.page.locator(".lc-message")
    live.receive([*shown[:-1], told("between", "loading", "Waits.")])
    live.receive([told("new", "loading", "Reads."), told("between", "stopped", "Stopped.")])
    assert said.inner_text() == "Reads."
    live.receive(shown[-1:])  # the rest of what is shown is taken in, but it is not news
    assert live.stats["tokens"] == len(shown[0]["tokens"]) + sum(
        len(s["t"]) for m in shown[1:] for s in m["steps"]
    )
    assert said.inner_text() == "Reads."
    live.receive(
        [*new, told("shown", "loading", "Too late."), told("between", "failed", "Too late.")]
    )
    assert live.stats["run"] == "new"
    assert live.page.get_attribute(".lc-chip", "data-state") == new[-1]["state"]["name"]


def test_messages_that_come_twice_or_late_change_nothing(live):
    _, first = made(run="first", **RUNS["interleaved"])
    _, second = made(run="second", **RUNS["staircase"])
    live.receive(first)
    live.receive(second[:20])
    before = live.stats
    live.receive([first[30], second[5], second[19]])
    after = live.stats
    assert (after["run"], after["tokens"]) == ("second", before["tokens"])
    assert after["seq"] == before["seq"] and not live.page.evaluate("asked")


def test_a_new_run_starts_afresh_but_keeps_the_mode(live):
    _, first = made(run="first", **RUNS["interleaved"])
    _, second = made(run="second", **RUNS["window"])
    live.receive(first)
    live.page.evaluate(
        "I.view.setMode('holding'); I.view.show(5, 30); I.view.lock({token:9,layer:2})"
    )
    live.receive(second[:3])
    stats = live.stats
    assert stats["mode"] == "holding" and stats["tokens"] == second[0]["tokens"].__len__() + sum(
        len(s["t"]) for m in second[1:3] for s in m["steps"]
    )
    assert not stats["zoomed"] and stats["locked"] is None and stats["following"]


def test_a_notice_is_said_before_there_is_a_run(live):
    live.receive([{"kind": "notice", "state": {"name": "loading", "message": "Reading weights"}}])
    assert live.page.inner_text(".lc-chip") == "Starting"
    assert live.page.inner_text(".lc-message") == "Reading weights"
    live.receive([{"kind": "notice", "state": {"name": "failed", "message": "budget = 3: more"}}])
    assert live.page.get_attribute(".lc-chip", "data-state") == "failed"
    assert "budget = 3" in live.page.inner_text(".lc-message")


def test_a_run_that_starts_says_that_the_one_before_is_still_shown(live):
    _, messages = made(**RUNS["interleaved"])
    live.receive(messages)
    setup = live.page.inner_text(".lc-setup")
    live.receive([{"kind": "notice", "state": {"name": "loading", "message": "Reading."}}])
    assert live.page.inner_text(".lc-setup") == f"until then: {setup}"
    assert live.page.locator(".lc-before").count() == 1
    live.receive([{"kind": "notice", "state": {"name": "failed", "message": "No."}}])
    assert live.page.inner_text(".lc-setup") == setup
    assert live.page.locator(".lc-before").count() == 0


def test_an_update_is_written_once_a_frame_and_measures_nothing(live):
    """Many updates at once are one writing, and none asks how large anything is."""
    _, messages = made(**RUNS["interleaved"])
    live.receive(messages[:3])
    live.settle(1200)
    written, asked = live.page.evaluate(
        """async (messages) => {
          let written = 0, asked = 0;
          const update = I.clock.update.bind(I.clock);
          I.clock.update = () => { written++; update(); };
          const old = Object.getOwnPropertyDescriptor(Element.prototype, "clientWidth");
          Object.defineProperty(Element.prototype, "clientWidth",
            { configurable: true, get() { asked++; return old.get.call(this); } });
          messages.forEach((m) => I.receive(m));
          await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
          Object.defineProperty(Element.prototype, "clientWidth", old);
          return [written, asked];
        }""",
        messages[3:8],
    )
    assert (written, asked) == (1, 0)
