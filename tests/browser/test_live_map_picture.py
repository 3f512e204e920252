"""What the live map draws: columns, colours, legend, at any width and theme."""

from __future__ import annotations

import pytest
from harness import LiveMap
from synthetic_feed import RUNS, made

pytestmark = pytest.mark.browser


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


@pytest.mark.parametrize("width", [362, 820, 886, 1003, 1300])
def test_the_map_stays_where_it_is_whatever_it_shows(open_page, assets_url, width):
    live = LiveMap.open(open_page, assets_url, width=width)
    _, messages = made(**RUNS["interleaved"])
    live.receive(messages)
    places = set()
    for axis in ("text", "slot"):
        for mode in ("state", "attention", "holding", "when"):
            live.page.evaluate("([a, m]) => { I.view.setAxis(a); I.view.setMode(m) }", [axis, mode])
            live.settle(60)
            places.add(live.page.evaluate("Math.round(I.canvas.getBoundingClientRect().y)"))
    assert len(places) == 1
    live.check()


@pytest.mark.parametrize("policy", ["lacache", "sliding_window"])
def test_words_that_a_policy_has_no_use_for_are_left_out(live, policy):
    _, messages = made(**RUNS["interleaved"])
    ladder = policy == "lacache"
    for message in messages:
        if message["kind"] == "snapshot" and not ladder:
            message["setup"] |= {"policy": policy, "numSink": 0, "reserve": 0}
    live.receive(messages)
    live.settle(300)
    page = live.page
    assert ("sink, never dropped" in page.inner_text(".lc-legend")) is ladder
    last = page.inner_text(".lc-figure:last-child")
    assert ("Compactions" in last and "restart" in last) is ladder
    assert ("Evictions" in last) is not ladder
    assert ("compaction" in page.inner_text(".lc-columns").lower()) is ladder
    assert page.inner_text(".lc-live") == "End"


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
