"""The tour: five steps over real recordings that drive the real instrument, and leave no trace."""

from __future__ import annotations

import re
from functools import partial

import pytest
from messages import messages
from recorded_page import ROOT, ask

from app.recorded import recordings

pytestmark = pytest.mark.browser
TITLES = ["What a cache is", "What a window loses", "The rungs", "A compaction", "A restart pass"]


@pytest.fixture
def calm(visit):
    """Opens the app where nothing may move by itself."""
    return partial(visit, reduced_motion="reduce")


def at_step(page, k):
    page.wait_for_function(
        "(k) => document.querySelector('.lc-tour h3').textContent.startsWith(`${k}.`)", arg=k
    )
    page.wait_for_timeout(120)
    return page.inner_text(".lc-tour p")


def through(page):
    """All steps in order: title, text, and what the instrument shows then."""
    page.click(".lc-caption >> text=Take the tour")
    for k, title in enumerate(TITLES, 1):
        text = at_step(page, k)
        assert page.inner_text(".lc-tour h3") == f"{k}. {title}"
        yield text
        page.keyboard.press("Enter")


def facts(trace):
    """First and last position of the fact, and the step at which it is asked for."""
    manifest = trace.manifest
    return *manifest["fact"], int(trace.joined_at[manifest["prompt_tokens"] - 1])


def test_every_number_that_it_names_is_in_the_recording(calm):
    (_, ladder), (_, window) = recordings()[:2]
    budget, sinks = ladder.manifest["budget"], ladder.manifest["num_sink"]
    first, last, asked = facts(ladder)
    page = calm()
    steps = through(page)

    text = next(steps)
    began = int(ladder.compactions[0, 0]) - 1
    held = int(ladder.held_at(began)[0].sum())
    assert f"{ladder.num_layers} layers" in text and f"budget of {budget}" in text
    assert f"first {held} " in text and ask(page, "v.clock") == began
    assert ladder.held_at(began)[:, :held].all()

    text = next(steps)
    gone = int(window.evicted_at[:, first : last + 1].max())
    assert ask(page, "s.setup.policy") == "streaming_llm"
    assert f"newest {budget - sinks}" in text and f"step {gone + 1}," in text
    assert "under the blue barrel" in text
    answer = re.search("only guess: “(.*)”", text)[1]
    assert window.manifest["text"].strip().startswith(answer) and answer
    locked = ask(page, "v.locked.token")
    assert first <= locked <= last and ask(page, f"s.holders({locked}, v.clock)") == 0

    text = next(steps)
    assert ask(page, "s.setup.policy") == "lacache" and ask(page, "v.clock") == asked
    held = ladder.held_at(asked)
    asked_at = ladder.manifest["prompt_tokens"]
    locked = ask(page, "v.locked.token")
    assert f"held by {held[:, locked].sum()} of {ladder.num_layers}" in text
    union = held.any(axis=0).sum()
    assert f"remember all {asked_at} tokens" in text and union == asked_at
    answer = re.search("writes “(.*)”", text)[1]
    assert ladder.manifest["text"].strip().startswith(answer) and answer
    low, high = ask(page, "v.visible")
    assert low <= first and last < high and high - low < 80

    text = next(steps)
    clock = ask(page, "v.clock")
    one = next(c for c in ladder.compaction_list() if c.step == clock)
    assert not one.restart and f"Token {one.seen} " in text
    for layer in (0, 1):
        dropped = (ladder.evicted_at[layer] == clock).nonzero()[0]
        for token in dropped:
            assert f"“{ladder.manifest['tokens'][token].strip()}”" in text
            assert low != token
    assert f"keeps {one.kept} " in text and f"room for {one.width - one.kept}." in text

    text = next(steps)
    one = next(c for c in ladder.compaction_list() if c.restart)
    after = ladder.held_at(ladder.num_steps - 1)
    assert f"token {one.seen} " in text
    assert f"remembers {after.any(axis=0).sum()} tokens" in text
    assert f"would remember {budget}." in text
    assert len(re.findall(r"\d+", text)) == 3
    assert ask(page, "v.clock") == ladder.num_steps - 1
    assert next(steps, None) is None
    assert page.locator(".lc-tour").is_hidden()


@pytest.mark.parametrize("how", ["Escape", "Skip", "Done"])
def test_what_was_shown_before_is_back(calm, how):
    page = calm()
    ask(page, "v.setMode('when'), v.show(30, 60), v.setClock(44), v.lock({token: 50, layer: 3})")
    state = "[s.run, v.mode, v.visible, v.clock, v.following, v.locked, s.length]"
    before = ask(page, state)
    steps = through(page)
    for _ in range(5 if how == "Done" else 2):
        next(steps)
    if how == "Done":
        page.click(".lc-tour >> text=Done")
    elif how == "Skip":
        page.click(".lc-tour >> text=Skip")
    else:
        page.keyboard.press("Escape")
    page.wait_for_selector(".lc-tour", state="hidden")
    assert ask(page, state) == before
    assert page.locator(".lc-marked-part").count() == 0
    assert page.evaluate("document.activeElement.textContent") == "Take the tour"
    page.keyboard.press("Escape")  # is the map's own again
    page.focus(".lc-canvas")
    page.keyboard.press("Escape")
    assert ask(page, "v.locked") is None


def test_it_can_be_walked_by_keyboard_both_ways(calm):
    page = calm()
    page.focus(".lc-caption button")
    page.keyboard.press("Enter")
    at_step(page, 1)
    assert page.evaluate("document.activeElement.textContent") == "Next"
    assert page.locator('.lc-tour button:text-is("Back")').is_disabled()
    page.keyboard.press("Enter")
    at_step(page, 2)
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    at_step(page, 1)
    assert page.get_attribute(".lc-tour-said", "aria-live") == "polite"
    assert page.locator(".lc-tour-dots .lc-now").count() == 1


def test_it_never_opens_by_itself(calm):
    page = calm()
    page.wait_for_timeout(600)
    assert page.locator(".lc-tour").is_hidden()
    assert page.locator(".lc-caption >> text=Take the tour").is_visible()


def test_a_new_run_ends_it_and_stays(calm):
    page = calm()
    next(through(page))
    page.evaluate(f"(m) => {ROOT}.receive(m)", messages(batch=5)[0][0])
    assert page.locator(".lc-tour").is_hidden() and ask(page, "s.run") == "run-1"
    assert ask(page, "v.following") is True


def test_a_run_that_goes_on_comes_back_as_far_as_it_got(calm):
    page = calm()
    found, feed, _ = messages(batch=2)
    page.evaluate(f"(m) => m.forEach((x) => {ROOT}.receive(x))", found[:4])
    tokens = ask(page, "s.length")
    page.evaluate(
        f"() => {{ window.asked = []; {ROOT}.onGap = async (r) => (asked.push(r), null); }}"
    )
    page.click('.lc-toolbar .lc-button:text-is("Runs")')
    page.click(".lc-choice:visible >> text=Take the tour")
    at_step(page, 1)
    page.evaluate(f"(m) => {ROOT}.receive(m)", found[4])  # late, and for nobody just now
    assert ask(page, "s.setup.origin") == "recorded"
    page.keyboard.press("Escape")
    assert ask(page, "s.run") == "run-1" and ask(page, "s.length") == tokens
    assert page.evaluate("asked") == ["run-1"]
    # The next message finds the gap, and the snapshot mends it.
    page.evaluate(f"(m) => {{ {ROOT}.onGap = async () => m; }}", feed.snapshot())
    page.evaluate(f"(m) => {ROOT}.receive(m)", found[-1])
    page.wait_for_function(f"(n) => {ROOT}.store.length === n", arg=feed.trace().num_tokens)


@pytest.mark.parametrize("width, height", [(390, 844), (1440, 900)])
def test_it_covers_nothing_that_it_explains(calm, width, height):
    page = calm(width=width, height=height)
    for text in through(page):
        page.wait_for_timeout(150)
        card = page.locator(".lc-tour").bounding_box()
        part = page.locator(".lc-marked-part").bounding_box()
        assert card["y"] + card["height"] <= part["y"]
        assert card["x"] >= 0 and card["x"] + card["width"] <= width and text
        plot = page.locator("#live-map .lc-canvas").bounding_box()
        assert card["y"] >= -1 and plot["y"] + plot["height"] <= height
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_clock_moves_there_where_motion_is_welcome(visit):
    page = visit(reduced_motion="no-preference")
    began = int(recordings()[0][1].compactions[0, 0]) - 1
    page.evaluate(
        f"""() => {{
          const {{ view }} = {ROOT};
          window.clocks = [];
          view.onChange((what) => what === 'clock' && clocks.push(view.clock));
        }}"""
    )
    page.click(".lc-caption >> text=Take the tour")
    page.wait_for_function("(n) => window.clocks.at(-1) === n", arg=began)
    clocks = page.evaluate("clocks")
    assert clocks[0] == 0 and len(set(clocks)) > 2 and clocks == sorted(clocks)
