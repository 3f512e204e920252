"""The live map in a real Chromium: what is seen, and what somebody can do with it.

It is fed by the real feed over made-up runs; no model is involved.
"""

from __future__ import annotations

import pytest
from harness import LiveMap
from synthetic_feed import RUNS, SyntheticRun, made, words

pytestmark = pytest.mark.browser


@pytest.fixture
def live(open_page, assets_url):
    """A live map on a page of its own; the test ends by asking whether anything went wrong."""
    opened = LiveMap.open(open_page, assets_url)
    yield opened
    opened.check()


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
    assert "token 40" in said.replace("\n", " ") and "layer 7" in said
    assert f"{held[:, 40].sum()} of 30 layers" in said
    assert ("dropped at step" in said) == (not held[6, 40])
    page.mouse.click(*live.canvas_point(40.5, 6.5))
    page.mouse.move(*live.canvas_point(90.5, 2.5))
    assert live.stats["locked"] == {"token": 40, "layer": 6}
    assert page.get_attribute(".lc-words-body .lc-marked", "data-t") == "40"
    live.settle(1000)
    spoken = page.text_content(".lc-readout [aria-live]")
    assert "layer 7" in spoken and "token: 40" in spoken
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
    assert "token 250" in live.page.inner_text(".lc-readout").replace("\n", " ")
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
    assert page.inner_text(".lc-figure:nth-child(3) dd") == str(union)
    steps = sorted(set(trace.compactions[:, 0].tolist()))
    page.focus(".lc-canvas")
    page.keyboard.press("]")
    assert live.stats["clock"] == next(s for s in steps if s > 60)
    page.evaluate("I.view.setClock(60)")
    page.keyboard.press("[")
    assert live.stats["clock"] == max(s for s in steps if s < 60)
    page.keyboard.press("Space")
    live.settle(400)
    page.keyboard.press("Space")
    moved = live.stats["clock"]
    assert moved > max(s for s in steps if s < 60)
    live.settle()
    assert live.stats["clock"] == moved
    page.click(".lc-live")
    assert live.stats["following"] and live.stats["clock"] == trace.num_steps - 1
    assert len(live.watched.requests) == asked


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
    assert f"Token {compactions[702, 1]:,}" in page.inner_text(".lc-sentence")
    assert page.locator(".lc-later").count() > 0


# The picture


def test_no_more_columns_than_pixels_and_every_token_in_one(live):
    _, messages = made(
        prompt=3000,
        new=100,
        chunk=256,
        steps_per_message=20,
        observe=False,
        settings={"budget": 400},
    )
    live.receive(messages)
    found = live.page.evaluate(
        """() => { const { raster, plot } = I.map; const n = raster.used;
          return [raster.canvas.width, plot.width * devicePixelRatio,
            Array.from(raster.from.slice(0, n)),
            Array.from(raster.to.slice(0, n))]; }"""
    )
    columns, pixels, starts, ends = found
    assert columns <= pixels + 1
    assert starts[0] == 0 and ends[-1] == 3100
    assert starts[1:] == ends[:-1]  # a partition: no token is left out, none counted twice


@pytest.mark.parametrize("mode", ["state", "attention", "holding", "when"])
def test_cells_have_the_colour_of_what_they_are(live, mode):
    run, messages = made(**RUNS["overlapping"])
    live.receive(messages)
    live.page.evaluate("(m) => I.view.setMode(m)", mode)
    live.settle()
    # Colour of the middle of cells, read back from the canvas, against the store's own words.
    cells = live.page.evaluate(
        """() => { const g = I.canvas.getContext('2d'), out = {}, { map, store, view } = I;
          for (let t = 10; t < 290; t += 7) for (let layer = 1; layer < 30; layer += 5) {
            const kind = store.cell(layer, t, view.clock);
            const x = map.xOf(t + 0.5) * devicePixelRatio;
            const y = (map.plot.y + (layer + 0.5) * map.plot.row) * devicePixelRatio;
            const colour = Array.from(g.getImageData(x, y, 1, 1).data).slice(0, 3).join();
            (out[kind] ||= {})[colour] = true; }
          return Object.fromEntries(Object.entries(out).map(([k, v]) => [k, Object.keys(v)])); }"""
    )
    assert {"held", "dropped"} <= set(cells)
    assert not set(cells["held"]) & set(cells["dropped"])
    if mode == "state":
        assert cells["held"] == ["47,116,207"] and cells["dropped"] == ["228,231,236"]
    if mode == "when":
        assert len(cells["held"]) == 1 and len(cells["dropped"]) > 5


def test_the_legend_has_numbers(live):
    _, messages = made(**RUNS["interleaved"])
    live.receive(messages)
    legend = live.page.locator(".lc-legend")
    assert "not seen yet" in legend.inner_text()
    live.page.evaluate("I.view.setMode('attention')")
    assert "0.001 %" in legend.inner_text() and "100 %" in legend.inner_text()
    live.page.evaluate("I.view.setMode('holding')")
    assert legend.inner_text().split("\n").count("30") == 1


def test_a_change_of_theme_is_drawn(live):
    _, messages = made(**RUNS["interleaved"])
    live.receive(messages)
    pixel = """() => { const g = I.canvas.getContext('2d'); const { map } = I;
      return Array.from(g.getImageData(map.xOf(231) * devicePixelRatio,
        (map.plot.y + map.plot.row / 2) * devicePixelRatio, 1, 1).data); }"""
    light = live.page.evaluate(pixel)
    live.page.evaluate("document.body.classList.add('dark')")
    live.settle()
    dark = live.page.evaluate(pixel)
    assert light != dark
    live.page.evaluate("document.body.classList.remove('dark')")
    live.settle()
    assert live.page.evaluate(pixel) == light


def test_a_screen_of_finer_pixels_gets_finer_columns(open_page, assets_url):
    live = LiveMap.open(open_page, assets_url, device_scale_factor=2)
    _, messages = made(**RUNS["interleaved"])
    live.receive(messages)
    wide, ratio = live.page.evaluate("[I.map.raster.canvas.width, I.map.plot.width]")
    assert wide == pytest.approx(2 * ratio, abs=1)
    live.check()


@pytest.mark.parametrize("width", [390, 768, 1440, 2560])
def test_nothing_sticks_out_at_any_width(open_page, assets_url, width):
    live = LiveMap.open(open_page, assets_url, width=width, height=844)
    _, messages = made(**RUNS["interleaved"])
    live.receive(messages)
    for mode in ("state", "attention", "holding", "when"):
        live.page.evaluate("(m) => { I.view.setMode(m); I.view.lock({token: 99, layer: 3}) }", mode)
        live.settle(60)
        assert live.page.evaluate("document.documentElement.scrollWidth") <= width
    live.check()


# The words


def test_a_long_text_is_whole_and_light(live):
    run, messages = made(
        prompt=8000,
        new=192,
        chunk=256,
        steps_per_message=20,
        observe=False,
        settings={"budget": 512},
    )
    live.receive(messages)
    live.settle(400)
    page = live.page
    assert page.locator(".lc-words-body span[data-t]").count() < 2500
    assert page.text_content(".lc-words-body") == "".join(run.strings[:8192])
    assert page.evaluate("(b => b.scrollTop + b.clientHeight > b.scrollHeight - 24)(I.words.body)")
    page.evaluate("I.view.lock({token: 4000, layer: 3})")
    live.settle(400)
    assert page.get_attribute(".lc-marked", "data-t") == "4000"
    assert page.text_content(".lc-words-body") == "".join(run.strings[:8192])


def test_the_model_s_own_words_are_set_apart(live):
    run, messages = made(**RUNS["interleaved"])
    live.receive(messages)
    written = "".join(live.page.locator(".lc-written").all_text_contents())
    assert written == "".join(run.strings[150:270])
    assert live.page.locator(".lc-written-first").count() == 1


def test_nothing_that_is_written_is_interpreted(live):
    evil = [
        "<img src=x onerror=window.__x=1>",
        "<script>window.__x=1</script>",
        "${window.__x=1}",
        "{{constructor}}",
        "\u202e\x00",
    ]
    tokens = (words(60) + evil) * 5
    run = SyntheticRun(prompt=150, new=80, tokens=tokens, settings={"budget": 80})
    messages = list(run.messages())
    messages[-1]["state"] = {"name": "failed", "message": evil[0]}
    live.receive(messages)
    for token in range(125, 130):
        live.page.evaluate("(t) => I.view.lock({ token: t, layer: 1 })", token)
        live.settle(60)
    live.page.evaluate("I.view.lock({ token: 125, layer: 1 })")
    live.settle(1000)
    assert live.page.evaluate("window.__x") is None
    assert live.page.locator("img, .lc script").count() == 0
    assert evil[0] in live.page.inner_text(".lc-words-body")
    assert evil[0] in live.page.inner_text(".lc-readout")
    assert evil[0] in live.page.inner_text(".lc-message")
    assert evil[0] in live.page.text_content(".lc-readout [aria-live]")


# Before a run, and for those who do not see it


def test_before_a_run_it_says_what_will_appear(live):
    assert live.page.inner_text(".lc-chip") == "Ready"
    assert "Press Run" in live.page.inner_text(".lc-empty")
    assert live.page.is_disabled("[title^='Play']") and live.page.is_disabled(".lc-bar")


def test_everything_to_press_has_a_name(live):
    _, messages = made(**RUNS["interleaved"])
    live.receive(messages)
    unnamed = live.page.evaluate(
        """() => [...document.querySelectorAll(
            '.lc button, .lc input, .lc canvas[tabindex], .lc [role=region]')]
          .filter((n) => !(n.getAttribute('aria-label') || n.textContent.trim())).length"""
    )
    assert unnamed == 0
    live.page.click(".lc-help button")
    assert "previous, next compaction" in live.page.inner_text(".lc-panel")
    live.page.keyboard.press("Escape")
    assert live.page.is_hidden(".lc-panel")
    live.settle(300)
    assert "different tokens" in live.page.text_content(".lc > .lc-hidden")


# Time and memory


def test_nothing_piles_up_over_a_thousand_updates(live):
    run, messages = made(
        prompt=1800, new=1200, chunk=256, steps_per_message=1, settings={"budget": 256}
    )
    session = live.page.context.new_cdp_session(live.page)

    def heap() -> float:
        session.send("HeapProfiler.collectGarbage")
        return session.send("Runtime.getHeapUsage")["usedSize"]

    feed = """async (messages) => { for (const m of messages) {
      I.receive(m); await new Promise(requestAnimationFrame); } }"""
    live.page.evaluate(feed, messages[:300])
    before = heap()
    live.page.evaluate(feed, messages[300:])
    after = heap()
    assert live.stats["tokens"] == 3000
    assert after < 1.6 * before
    assert live.page.evaluate("document.querySelectorAll('.lc *').length") < 4000
