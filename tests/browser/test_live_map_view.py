"""The live map in a real Chromium: what somebody looks at, and the clock.

It is fed by the real feed over made-up runs; no model is involved.
"""

from __future__ import annotations

import pytest
from harness import LiveMap
from synthetic_feed import RUNS, made

pytestmark = pytest.mark.browser


# What somebody is looking at


def test_zoom_lock_mode_and_clock_survive_updates(live):
    _, messages = made(**RUNS["interleaved"])
    live.receive(messages[:60])
    live.page.evaluate(
        "I.view.setMode('attention'); I.view.show(20, 40); I.view.lock({token: 33, layer: 7});"
        "I.view.setClock(30)"
    )
    before = live.stats
    live.receive(messages[60:85])
    after = live.stats
    assert after["applied"] == before["applied"] + 25 and after["tokens"] > before["tokens"]
    for what in ("range", "mode", "clock", "following", "locked", "zoomed"):
        assert after[what] == before[what], what


def test_the_map_fits_the_run_while_it_grows_and_when_it_is_over(live):
    run, messages = made(prompt=100, new=400, settings={"budget": 96})
    live.receive(messages[:30])
    first, last = live.stats["range"]
    assert first == 0 and live.stats["tokens"] <= last <= 501
    live.receive(messages[30:])
    assert live.stats["range"] == [0, 500]


def test_wheel_drag_buttons_and_keys_zoom_and_home_shows_all(live):
    _, messages = made(**RUNS["interleaved"])
    live.receive(messages)
    page = live.page

    def width():
        first, last = live.stats["range"]
        return last - first

    x, y = live.canvas_point(130)
    page.mouse.move(x, y)
    page.mouse.wheel(0, -300)
    live.settle(60)
    assert width() < 200
    under = page.evaluate("(x) => I.map.columnAt(x - I.canvas.getBoundingClientRect().x)", x)
    assert under == pytest.approx(130, abs=1)  # what is under the pointer stays there
    page.mouse.dblclick(x, y)
    assert width() == 270
    start, end = live.canvas_point(50), live.canvas_point(90)
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(*end, steps=4)
    page.mouse.up()
    assert live.stats["range"] == pytest.approx([50, 91], abs=1.5)
    page.mouse.down()  # zoomed in: dragging pans
    page.mouse.move(end[0] - 200, end[1], steps=4)
    page.mouse.up()
    assert live.stats["range"][0] > 52
    page.focus(".lc-canvas")
    page.keyboard.press("Home")
    assert width() == 270
    page.keyboard.press("+")
    assert width() == pytest.approx(135)
    page.click("[title^='Zoom in']")
    assert width() == pytest.approx(67.5)
    page.click("[title^='Show the whole run']")
    assert width() == 270 and live.stats["locked"] is None


def test_a_wheel_that_scrolls_the_page_is_not_caught_by_the_map(live):
    _, messages = made(**RUNS["interleaved"])
    live.receive(messages)
    live.page.set_viewport_size({"width": 1200, "height": 500})
    live.page.mouse.move(*live.canvas_point(130))
    live.page.mouse.wheel(0, 200)  # nothing to zoom out of: the page moves
    live.settle()
    assert live.page.evaluate("scrollY") > 0 and not live.stats["zoomed"]


def test_pinching_zooms_on_touch(open_page, assets_url):
    live = LiveMap.open(open_page, assets_url, width=390, height=844, has_touch=True)
    _, messages = made(**RUNS["interleaved"])
    live.receive(messages)
    live.page.evaluate(
        """() => { const c = I.canvas, box = c.getBoundingClientRect();
          c.setPointerCapture = () => {};
          const at = (type, id, x) => c.dispatchEvent(new PointerEvent(type, {pointerId: id,
            pointerType: 'touch', clientX: box.x + x, clientY: box.y + 150, bubbles: true}));
          at('pointerdown', 1, 150); at('pointerdown', 2, 200);
          for (let d = 0; d <= 80; d += 10) {
            at('pointermove', 1, 150 - d); at('pointermove', 2, 200 + d); }
          at('pointerup', 1, 70); at('pointerup', 2, 280); }"""
    )
    first, last = live.stats["range"]
    assert last - first < 110 and live.stats["locked"] is None
    live.check()


def test_a_cell_is_told_locked_and_unlocked(live):
    run, messages = made(**RUNS["interleaved"])
    live.receive(messages)
    page = live.page
    page.mouse.move(*live.canvas_point(40.5, 6.5))
    live.settle(60)
    said = page.inner_text(".lc-readout")
    held = run.trace.held_at(run.trace.num_steps - 1)
    assert "token 41" in said.replace("\n", " ") and "layer 7" in said
    assert f"{held[:, 40].sum()} of 30 layers" in said
    assert ("dropped at step" in said) == (not held[6, 40])
    page.mouse.click(*live.canvas_point(40.5, 6.5))
    page.mouse.move(*live.canvas_point(90.5, 2.5))
    assert live.stats["locked"] == {"token": 40, "layer": 6}
    assert page.get_attribute(".lc-words-body .lc-marked", "data-t") == "40"
    live.settle(1000)
    spoken = page.text_content(".lc-readout [aria-live]")
    assert "layer 7" in spoken and "token: 41" in spoken
    page.focus(".lc-canvas")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    assert live.stats["locked"] == {"token": 41, "layer": 7}
    page.keyboard.press("Escape")
    assert live.stats["locked"] is None


def test_words_and_map_point_at_each_other(live):
    _, messages = made(**RUNS["interleaved"])
    live.receive(messages)
    span = live.page.locator(".lc-words-body span[data-t='250']")
    span.hover()
    live.settle()
    assert live.page.evaluate("I.view.focus") == {"token": 250, "layer": None}
    assert "token 251" in live.page.inner_text(".lc-readout").replace("\n", " ")
    span.click()
    assert live.stats["locked"] == {"token": 250, "layer": None}


# The clock


def test_the_clock_moves_without_requests_and_follows_again(live):
    run, messages = made(**RUNS["interleaved"])
    live.receive(messages)
    page, trace = live.page, run.trace
    asked = len(live.watched.requests)
    page.evaluate("I.view.setClock(60)")
    assert f"step 61 of {trace.num_steps}" in page.inner_text(".lc-step")
    assert not live.stats["following"]
    union = int(trace.held_at(60).any(axis=0).sum())
    assert page.inner_text(".lc-figure:nth-child(3) dd") == f"{union} tokens"
    steps = sorted(set(trace.compactions[:, 0].tolist()))
    page.focus(".lc-canvas")
    page.keyboard.press("]")
    assert live.stats["clock"] == next(s for s in steps if s > 60)
    page.evaluate("I.view.setClock(60)")
    page.keyboard.press("[")
    assert live.stats["clock"] == max(s for s in steps if s < 60)
    page.keyboard.press("Space")
    live.settle(1000)
    page.keyboard.press("Space")
    moved = live.stats["clock"]
    assert moved > max(s for s in steps if s < 60)
    live.settle()
    assert live.stats["clock"] == moved
    page.click(".lc-live")
    assert live.stats["following"] and live.stats["clock"] == trace.num_steps - 1
    assert len(live.watched.requests) == asked


def test_a_list_that_somebody_scrolled_stays_until_scrolled_back(live):
    _, messages = made(prompt=300, new=900, steps_per_message=20, settings={"budget": 128})
    messages = [m for m in messages if m["state"]["name"] == "running"]
    page, box = live.page, "document.querySelector('.lc-list')"
    live.receive(messages[:-4])
    live.settle(700)
    newest = page.evaluate(f"{box}.scrollTop")
    assert newest > 5000
    page.evaluate(f"{box}.scrollTop = 0")
    live.settle()
    live.receive(messages[-4:-2])
    live.settle(900)
    assert page.evaluate(f"{box}.scrollTop") == 0
    page.evaluate(f"{box}.scrollTop = {box}.scrollHeight")
    live.settle()
    live.receive(messages[-2:])
    live.settle(900)
    assert page.evaluate(f"{box}.scrollTop") > newest + 500


def test_the_lists_change_with_the_run(live):
    _, first = made(run="first", prompt=300, new=200, settings={"budget": 128})
    _, second = made(run="second", prompt=150, new=2, settings={"budget": 128})
    live.receive(first)
    live.settle(700)
    said = "document.querySelector('.lc-compactions').textContent"
    before, after = live.page.evaluate(
        f"(m) => {{ const old = {said}; I.receive(m); return [old, {said}]; }}", second[0]
    )
    assert "372 so far" in before and "None yet" in after and "372" not in after


def test_a_click_in_the_list_sets_the_clock(live):
    run, messages = made(prompt=600, new=900, steps_per_message=50, settings={"budget": 128})
    live.receive(messages)
    page = live.page
    compactions = run.trace.compactions
    assert len(compactions) > 1300
    assert page.locator(".lc-space li").count() < 40
    page.evaluate("document.querySelector('.lc-list').scrollTop = 26 * 700")
    live.settle()
    row = page.locator(f".lc-space li[style*='top: {26 * 702}px'] button")
    assert row.inner_text().split()[:2] == [
        f"{compactions[702, 0] + 1:,}",
        f"{compactions[702, 1]:,}",
    ]
    row.click()
    live.settle()
    assert live.stats["clock"] == compactions[702, 0]
    assert live.page.evaluate("I.view.compaction") == 702
    page.wait_for_function(
        "(t) => document.querySelector('.lc-sentence').textContent.startsWith(t)",
        arg=f"At token {compactions[702, 1]:,} ",
    )
    assert page.locator(".lc-later").count() > 0
