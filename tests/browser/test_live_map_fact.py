"""A fact and a needle on the live map: what is marked and counted, against the trace."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic_feed import RUNS, made

pytestmark = pytest.mark.browser
EVIL = "<img src=x onerror=window.__x=1>"
FACT = (60, 75)


def asked_for_needle(name, **needle):
    """The run, and its messages as those of a run with a needle at the tokens of ``FACT``."""
    run, messages = made(observe=False, **RUNS[name])
    told = {"key": "12345", "answer": " 12345.", "correct": True, **needle}
    messages[0]["setup"] |= {"fact": list(FACT), "needle": told}
    return run, messages


def shares(run, step):
    first, last = FACT
    return run.trace.held_at(step)[:, first : last + 1].mean(axis=1)


@pytest.mark.parametrize("name", RUNS)
def test_the_panel_counts_layers_when_the_question_had_been_read(live, name):
    run, messages = asked_for_needle(name)
    live.receive(messages)
    page, trace = live.page, run.trace
    asked = int(trace.joined_at[messages[0]["setup"]["promptTokens"] - 1])
    expected = shares(run, asked)
    said = page.inner_text(".lc-fact-panel")
    assert "Right" in said and "“12345”" in said
    for count, words in (
        ((expected == 1).sum(), "held all of it"),
        (((expected > 0) & (expected < 1)).sum(), "held a part of it"),
        ((expected == 0).sum(), "held nothing of it"),
    ):
        assert (f"{count} {words}" in said) == (count > 0)
    drawn = page.evaluate(
        "() => [...document.querySelectorAll('.lc-fact-layers i')].map((n) => parseFloat("
        "n.style.getPropertyValue('--share')) / 100)"
    )
    np.testing.assert_allclose(drawn, expected, atol=1e-9)
    page.click("text=When it was asked")
    assert live.stats["clock"] == asked
    page.click("text=Look at the needle")
    first, last = live.stats["range"]
    assert first <= FACT[0] and FACT[1] < last and live.stats["zoomed"]


def fact_pixels(page):
    """The rows of the canvas that have the mark's colour, and how many of its pixels there are."""
    return page.evaluate(
        """() => {
          const { canvas, map } = I;
          const { data, width, height } = canvas.getContext('2d')
            .getImageData(0, 0, canvas.width, canvas.height);
          const own = [1, 3, 5].map((k) => parseInt(map.palette.fact.slice(k, k + 2), 16));
          const rows = new Set();
          let count = 0;
          for (let p = 0; p < width * height; p++) {
            if (own.every((v, k) => data[4 * p + k] === v)) {
              rows.add(Math.floor(p / width));
              count++;
            }
          }
          return [rows.size, count];
        }"""
    )


def test_it_is_marked_by_text_by_slot_and_in_the_words(live):
    run, messages = asked_for_needle("overlapping")
    live.receive(messages)
    page = live.page
    assert fact_pixels(page)[1] > 4 * 5
    assert "the needle" in page.inner_text(".lc-legend")
    page.evaluate("I.view.setClock(0)")  # the needle has not been read yet
    live.settle()
    seen = page.evaluate("I.store.seen(0)")
    assert (fact_pixels(page)[1] > 0) == (seen > FACT[0])
    page.evaluate(f"I.view.lock({{ token: {FACT[0]}, layer: 3 }})")
    live.settle(1000)
    marked = page.locator(".lc-words-body span.lc-fact")
    positions = [int(t) for t in marked.evaluate_all("all => all.map((n) => n.dataset.t)")]
    assert positions == list(range(FACT[0], FACT[1] + 1))
    page.evaluate("I.view.lock(null)")
    page.evaluate("I.view.setClock(I.store.joinedAt[I.store.setup.promptTokens - 1])")
    page.click("text=By cache slot")
    live.settle()
    asked = int(run.trace.joined_at[messages[0]["setup"]["promptTokens"] - 1])
    if (shares(run, asked) > 0).any():
        assert fact_pixels(page)[1] > 0


def test_what_a_model_answered_is_text(live):
    live.receive(asked_for_needle("overlapping", answer=EVIL, key=EVIL, correct=False)[1])
    assert EVIL in live.page.inner_text(".lc-fact-panel")
    assert "Wrong" in live.page.inner_text(".lc-fact-panel")
    assert live.page.evaluate("window.__x") is None


def test_a_run_without_one_shows_nothing_of_it(live):
    live.receive(made(observe=False, **RUNS["overlapping"])[1])
    assert live.page.locator(".lc-fact-panel").is_hidden()
    assert fact_pixels(live.page)[1] == 0
    assert live.page.locator(".lc-fact").count() == 0
