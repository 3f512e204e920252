"""The live map's modules in a real Chromium, fed with messages of a real run."""

from __future__ import annotations

import json

import numpy as np
import pytest
from messages import messages

from app.feed import as_text
from lacache_core.ladder import LadderConfig
from lacache_core.policies import Full, StreamingLLM

pytestmark = pytest.mark.browser

MOUNT = """async () => {
  const { mount } = await import('/js/instrument.js');
  const css = document.createElement('link');
  css.rel = 'stylesheet'; css.href = '/css/instrument.css';
  document.head.append(css);
  await new Promise((done) => { css.onload = done; });
  window.asked = [];
  window.instrument = mount(document.getElementById('root'), {
    onGap: (run, use) => { window.asked.push(run); window.answer = use; },
  });
}"""
FRAME = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


@pytest.fixture
def instrument(open_page, assets_url):
    """A mounted instrument; ``give`` feeds it one message or several."""
    watched = open_page(assets_url)
    page = watched.page
    page.evaluate(MOUNT)

    def give(*found):
        for message in found:
            page.evaluate("(text) => window.instrument.receive(JSON.parse(text))", as_text(message))
        page.evaluate(FRAME)

    page.give = give
    yield page
    assert watched.problems == []
    assert watched.outside() == []


def ask(page, expression):
    return page.evaluate(
        f"() => {{ const i = window.instrument, s = i.store; return {expression}; }}"
    )


HELD_AT = """(steps) => {
  const s = window.instrument.store;
  return steps.map((step) => Array.from({ length: s.layers }, (_, layer) =>
    Array.from({ length: s.length }, (_, t) => s.held(s.rowOfLayer[layer], t, step) ? 1 : 0)));
}"""


@pytest.mark.parametrize("batch", [1, 7])
@pytest.mark.parametrize(
    "policy", [LadderConfig(24, 3, 1, 2), StreamingLLM(24, 3), Full()], ids=lambda p: str(p)[:12]
)
def test_the_browser_knows_what_was_held_at_every_step(instrument, policy, batch):
    found, feed, engine = messages(policy, batch)
    instrument.give(*found)
    trace = engine.trace()
    steps = [0, 1, 2, 3, 4, 9, 17, trace.num_steps - 1]
    for step, held in zip(steps, instrument.evaluate(HELD_AT, steps), strict=True):
        assert (np.array(held, bool) == trace.held_at(step)).all()
    last = trace.num_steps - 1
    summary = ask(instrument, f"s.summary({last})")
    figures = found[-1]["figures"]
    assert {k: summary[k] for k in ("seen", "held", "union")} == {
        k: figures[k] for k in ("seen", "held", "union")
    }
    listed = ask(instrument, "s.compactions.map((c) => [c.step, c.seen, c.start, c.cursor])")
    assert listed == trace.compactions[:, [0, 1, 2, 5]].tolist()
    # A snapshot alone tells the same.
    instrument.give({**feed.snapshot(), "run": "again"})
    for step, held in zip(steps, instrument.evaluate(HELD_AT, steps), strict=True):
        assert (np.array(held, bool) == trace.held_at(step)).all()
    assert (
        ask(instrument, "s.compactions.map((c) => [c.step, c.seen, c.start, c.cursor])") == listed
    )


def test_attention_lands_on_the_tokens_that_were_attended(instrument):
    found, _, engine = messages(batch=1)
    instrument.give(*found)
    trace = engine.trace()
    step = trace.num_steps - 5
    before = trace.positions_at(step - 1)
    for layer in range(6):
        positions = [*before[layer].tolist(), *np.nonzero(trace.joined_at == step)[0].tolist()]
        shares = instrument.evaluate(
            """([layer, step, tokens]) => { const s = window.instrument.store;
            const f = s.frame(step); return [f.step, ...tokens.map((t) => s.share(f, layer, t))]; }""",
            [layer, step, positions],
        )
        assert shares[0] == step
        exact = trace.frames[step].mass[layer].astype(float)
        assert np.allclose(shares[1:], exact, rtol=0.08, atol=2e-4)


def test_pixels_are_the_states(instrument):
    """What is drawn for a cell has the colour that the legend gives its state."""
    found, _, engine = messages(batch=1)
    instrument.give(*found)
    held = engine.trace().held_at(engine.trace().num_steps - 1)
    pixels = instrument.evaluate(
        """() => { const i = window.instrument, s = i.store, r = i.map.raster;
        const columns = r.draw(s, s.steps - 1, 'state', 0, s.length, 4000);
        const p = i.map.palette;
        const named = (v) => ['dropped', 'held', 'reserve', 'sink'].find((n) =>
          p[n][0] === (v & 255) && p[n][1] === ((v >> 8) & 255) && p[n][2] === ((v >> 16) & 255));
        return [columns, Array.from(r.pixels, named)]; }"""
    )
    columns, names = pixels
    assert columns == held.shape[1]
    names = np.array(names).reshape(held.shape)
    assert ((names == "dropped") == ~held).all()
    assert (names[:, :2] == "sink").all()
    assert (names[:, -6:] == "reserve").all()
    assert set(names[held].tolist()) == {"sink", "held", "reserve"}


def test_more_tokens_than_pixels_are_drawn_in_bins(instrument):
    found, _, _ = messages(LadderConfig(64, 3, 0, 4), batch=200, tokens=3000, new=2)
    instrument.give(*found)
    columns = instrument.evaluate(
        "() => { const i = window.instrument; return [i.map.raster.canvas.width, i.store.length]; }"
    )
    assert columns[1] == 3001
    assert columns[0] <= 1440
    ask(instrument, "i.view.show(100, 50)")
    instrument.evaluate(FRAME)
    assert ask(instrument, "i.map.raster.canvas.width") in (50, 51)


def test_zoom_lock_mode_and_clock_survive_updates(instrument):
    found, _, _ = messages(batch=1, new=60)
    instrument.give(*found[:20])
    ask(
        instrument,
        "(i.view.show(10, 20), i.view.lock({token: 12, layer: 2}), "
        "i.view.setMode('attention'), i.view.setClock(8))",
    )
    before = ask(instrument, "[i.view.visible, i.view.locked, i.view.mode, i.view.clock]")
    instrument.give(*found[20:45])
    assert ask(instrument, "[i.view.visible, i.view.locked, i.view.mode, i.view.clock]") == before
    assert ask(instrument, "i.applied") == 45
    assert before == [[10, 30], {"token": 12, "layer": 2}, "attention", 8]


def test_a_gap_is_closed_by_a_snapshot(instrument):
    found, feed, engine = messages(batch=1)
    instrument.give(*found[:5], *found[7:10])
    assert instrument.evaluate("() => window.asked") == ["run-1"] * 3
    assert ask(instrument, "s.seq") == 4  # nothing of what came after the gap was taken
    instrument.evaluate("(text) => window.answer(JSON.parse(text))", as_text(feed.snapshot()))
    assert ask(instrument, "s.length") == engine.trace().num_tokens
    instrument.give(*found[10:])  # late ones are ignored
    assert ask(instrument, "s.length") == engine.trace().num_tokens


def test_joining_in_the_middle_asks_for_a_snapshot(instrument):
    found, _, _ = messages()
    instrument.give(found[3])
    assert instrument.evaluate("() => window.asked") == ["run-1"]


def test_another_run_starts_anew_and_keeps_the_mode(instrument):
    first, _, _ = messages()
    second, _, engine = messages(StreamingLLM(24, 3), run="run-2", new=10)
    instrument.give(*first)
    ask(instrument, "(i.view.setMode('attention'), i.view.show(5, 10), i.view.setClock(3))")
    instrument.give(*second)
    assert ask(instrument, "[s.run, s.length]") == ["run-2", engine.trace().num_tokens]
    assert ask(instrument, "[i.view.mode, i.view.range, i.view.following]") == [
        "attention",
        None,
        True,
    ]


EVIL = [
    "<img src=x onerror=window.__x=1>",
    "<script>window.__x=1</script>",
    "${window.__x=1}",
    "{{constructor}}",
    "<b>bold</b>",
    "&lt;",
]


def test_nothing_that_was_written_is_interpreted(instrument):
    found, _, _ = messages(batch=1, strings=lambda ids: [EVIL[i % len(EVIL)] for i in ids])
    for message in found:
        message["text"] = EVIL[0]
        message["state"] = {"name": "running", "message": EVIL[0]}
    instrument.give(*found)
    ask(instrument, "i.view.lock({token: 3, layer: 1})")
    instrument.wait_for_timeout(400)
    assert instrument.evaluate("() => window.__x") is None
    assert instrument.locator("#root img, #root script, #root b:has-text('bold')").count() == 0
    assert EVIL[0] in instrument.inner_text(".lc-words-body")
    assert EVIL[0] in instrument.inner_text(".lc-status")
    shown = found[0]["tokens"][3]
    assert shown in instrument.inner_text(".lc-readout")


def test_clock_play_jump_and_live(instrument):
    found, _, engine = messages(batch=1)
    instrument.give(*found)
    steps = sorted(set(engine.trace().compactions[:, 0].tolist()))
    ask(instrument, "i.view.setClock(0)")
    for expected in steps[:3]:
        instrument.click("button[title^='Next compaction']")
        assert ask(instrument, "i.view.clock") == expected
    instrument.click("button[title^='Previous compaction']")
    assert ask(instrument, "i.view.clock") == steps[1]
    assert ask(instrument, "i.view.following") is False
    instrument.click("button:has-text('Live')")
    assert ask(instrument, "[i.view.following, i.view.clock]") == [
        True,
        engine.trace().num_steps - 1,
    ]
    instrument.click("button:has-text('Play')")
    instrument.wait_for_function("() => window.instrument.view.following", timeout=10_000)
    assert instrument.inner_text(".lc-clock button >> nth=0") == "Play"


def test_scrubbing_asks_nobody(open_page, assets_url):
    watched = open_page(assets_url)
    watched.page.evaluate(MOUNT)
    for message in messages(batch=1)[0]:
        watched.page.evaluate("(t) => window.instrument.receive(JSON.parse(t))", as_text(message))
    before = len(watched.requests)
    for step in range(0, 30, 2):
        watched.page.evaluate("(s) => window.instrument.view.setClock(s)", step)
    watched.page.evaluate(FRAME)
    assert len(watched.requests) == before


def test_pointer_and_keyboard(instrument):
    found, _, _ = messages(batch=1)
    instrument.give(*found)
    box = instrument.locator(".lc-canvas").bounding_box()
    instrument.mouse.move(box["x"] + 200, box["y"] + 150)
    text = instrument.inner_text(".lc-readout")
    cell = ask(instrument, "i.view.hover")
    assert f"token {cell['token']}" in text and f"layer {cell['layer'] + 1}" in text
    instrument.mouse.click(box["x"] + 200, box["y"] + 150)
    instrument.mouse.move(box["x"] + 400, box["y"] + 200)
    assert ask(instrument, "i.view.locked") == cell
    instrument.keyboard.press("ArrowRight")
    instrument.keyboard.press("ArrowDown")
    moved = ask(instrument, "i.view.locked")
    assert moved == {"token": cell["token"] + 1, "layer": cell["layer"] + 1}
    instrument.keyboard.press("Escape")
    assert ask(instrument, "i.view.locked") is None
    instrument.keyboard.press("+")
    assert ask(instrument, "i.view.range") is not None
    instrument.keyboard.press("0")
    assert ask(instrument, "i.view.range") is None
    instrument.keyboard.press("m")
    assert ask(instrument, "i.view.mode") == "attention"
    # Words and map speak of the same token.
    instrument.wait_for_timeout(250)
    instrument.locator(".lc-words-body span >> nth=5").click()
    token = int(instrument.locator(".lc-words-body span >> nth=5").get_attribute("data-t"))
    assert ask(instrument, "i.view.locked.token") == token


def test_colours_follow_the_theme(instrument):
    found, _, _ = messages()
    instrument.give(*found)
    light = ask(instrument, "i.map.palette.held")
    instrument.evaluate("() => document.body.classList.add('dark')")
    instrument.wait_for_timeout(100)
    assert ask(instrument, "i.map.palette.held") != light


def test_states_differ_by_lightness(instrument):
    """In light and dark: nobody needs to tell hues apart."""
    for theme in ("light", "dark"):
        instrument.evaluate(f"() => document.body.className = '{theme}'")
        instrument.wait_for_timeout(100)
        palette = ask(instrument, "i.map.palette")

        def lightness(rgb):
            share = np.array(rgb) / 255
            linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
            y = float(np.dot([0.2126, 0.7152, 0.0722], linear))
            return 116 * y ** (1 / 3) - 16

        values = sorted(lightness(palette[n]) for n in ("dropped", "held", "reserve", "sink"))
        assert min(np.diff(values)) > 12, (theme, values)


def test_narrow_screens_do_not_scroll_sideways(open_page, assets_url):
    watched = open_page(assets_url, width=390, height=844)
    watched.page.evaluate(MOUNT)
    for message in messages()[0]:
        watched.page.evaluate("(t) => window.instrument.receive(JSON.parse(t))", as_text(message))
    widths = watched.page.evaluate("() => [document.documentElement.scrollWidth, innerWidth]")
    assert widths[0] <= widths[1]


def test_five_hundred_updates_leave_no_nodes_behind(instrument):
    found, _, _ = messages(batch=1, new=200)
    instrument.give(*found[:20])
    instrument.wait_for_timeout(200)
    before = instrument.evaluate("() => document.querySelectorAll('*').length")
    json_texts = [as_text(m) for m in found[20:]]
    instrument.evaluate(
        "(all) => all.forEach((t) => window.instrument.receive(JSON.parse(t)))", json_texts
    )
    instrument.wait_for_timeout(300)
    after = instrument.evaluate("() => document.querySelectorAll('*').length")
    assert after - before < 500
    assert json.loads(json_texts[-1])["seq"] == ask(instrument, "s.seq")
