"""Two runs compared: what the browser works out, against the traces of both."""

from __future__ import annotations

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from synthetic_feed import BY_HEAD, made

pytestmark = pytest.mark.browser

MOUNT = """async () => {
  for (const name of ['instrument', 'runs', 'compare']) {
    const css = document.createElement('link');
    css.rel = 'stylesheet'; css.href = `/css/${name}.css`;
    document.head.append(css);
    await new Promise((done) => { css.onload = done; });
  }
  document.body.style.fontFamily = 'sans-serif';
  const { mount } = await import('/js/compare.js');
  window.C = mount(document.getElementById('root'));
}"""
READ = {"mode": "read", "budget": 64}
LADDER = {"policy": "lacache", "span": 9, **READ}
WINDOW = {"policy": "streaming_llm", **READ}


@pytest.fixture
def page(open_page, assets_url):
    watched = open_page(assets_url, 1300, 1000)
    watched.page.evaluate(MOUNT)
    yield watched.page
    assert [p for p in watched.problems if "willReadFrequently" not in p] == []
    assert watched.outside() == []


def run_of(side, settings, prompt=1, new=160, **options):
    """A run that reads, one token a step, so that every token but the first has a loss."""
    return made(prompt=prompt, new=new, settings=settings, run=side, **options)


def give(page, side, messages, pair="p"):
    page.evaluate(
        "m => C.receive(m)",
        {"messages": [{"pair": pair, "side": side, "message": m} for m in messages]},
    )


def both(page, a=WINDOW, b=LADDER, **options):
    runs = {}
    for side, settings in (("a", a), ("b", b)):
        runs[side], messages = run_of(side, settings, **options)
        give(page, side, messages)
    page.wait_for_timeout(300)
    return runs["a"].trace, runs["b"].trace


CELLS = """([at, layers]) => layers.map((layer) =>
  Array.from({ length: C.pair.length }, (_, t) => { const c = C.pair.cell(layer, t, at);
    return c && [c.neither, c.b, c.a, c.both]; }))"""


def expected_cells(a, b, step, layer):
    """Heads of neither, only B, only A, both."""

    def heads(trace):
        gone = trace.evicted_by_head
        one = trace.evicted_at[layer][None] if gone is None else gone[layer]
        return (trace.joined_at <= step) & ((one < 0) | (one > step))

    x, y = heads(a), heads(b)
    count = max(len(x), len(y))
    x, y = (np.broadcast_to(each, (count, each.shape[1])) for each in (x, y))
    return np.stack([(~x & ~y), (~x & y), (x & ~y), (x & y)], axis=-1).sum(axis=0)


@pytest.mark.parametrize(
    "b", [LADDER, {**BY_HEAD["h2o"]["settings"], **READ}], ids=["ladder", "heads"]
)
def test_every_cell_is_in_the_class_that_the_traces_say(page, b):
    one, two = both(page, b=b)
    for step in (159, 40, 100, 159):
        cells = page.evaluate(CELLS, [step, [0, 7, 29]])
        for layer, found in zip((0, 7, 29), cells, strict=True):
            known = expected_cells(one, two, step, layer)[: step + 1]
            assert found[: step + 1] == known.tolist()
            assert all(cell is None for cell in found[step + 1 :])
        totals = page.evaluate("(at) => C.pair.totals(at)", step)
        x, y = (t.held_at(step).any(axis=0)[: step + 1] for t in (one, two))
        assert totals == {
            "both": (x & y).sum(),
            "a": (x & ~y).sum(),
            "b": (~x & y).sum(),
            "neither": (~x & ~y).sum(),
        }


def test_the_difference_map_has_the_colour_of_each_class(page):
    one, two = both(page)
    page.evaluate("C.views.pair.show(20, 12); C.difference.draw()")
    a, b = (t.held_at(t.num_steps - 1) for t in (one, two))
    names = {
        (True, True): "both",
        (True, False): "a",
        (False, True): "b",
        (False, False): "dropped",
    }
    read = """([t, layer]) => { const { difference: d } = C; const g = d.context;
      return Array.from(g.getImageData(d.xOf(t + 0.5) * devicePixelRatio,
        (d.plot.y + (layer + 0.5) * d.plot.row - 1) * devicePixelRatio,
        1, 1).data).slice(0, 3); }"""
    found = set()
    for token in range(20, 32):
        for layer in (0, 1, 2):
            name = names[bool(a[layer, token]), bool(b[layer, token])]
            colour = page.evaluate("(name) => C.difference.palette[name]", name)
            assert page.evaluate(read, [token, layer]) == colour, (token, layer, name)
            found.add(name)
    assert {"b", "dropped"} <= found


def test_the_running_difference_and_both_perplexities(page):
    one, two = both(page)
    losses = page.evaluate(
        "({ running: C.losses.running, a: C.losses.perplexity.a, b: C.losses.perplexity.b })"
    )
    for side, trace in (("a", one), ("b", two)):
        expected = [trace.perplexity(stop=t + 1) for t in range(1, 161)]
        assert np.allclose(losses[side][1:], expected, rtol=1e-3)
    difference = np.nan_to_num(one.nll.astype(float) - two.nll)
    assert np.allclose(losses["running"], np.cumsum(difference), atol=0.2)
    worst = page.evaluate("C.losses.largest(161, 'a', 5)")
    assert worst == np.argsort(-difference)[:5].tolist() or not difference.any()


def losing(messages, tokens):
    """The same messages with another loss for some tokens."""
    for message in messages[1:]:
        for step in message.get("steps", []):
            if step["n"] in tokens:
                step["l"] = [tokens[step["n"]]]
    return messages


def test_the_worst_tokens_are_listed_and_lead_to_what_the_other_held(page):
    run_a, messages_a = run_of("a", WINDOW)
    run_b, messages_b = run_of("b", LADDER)
    give(page, "a", losing(messages_a, {120: 15.0, 90: 0.0}))
    give(page, "b", losing(messages_b, {120: 0.5, 90: 9.0}))
    page.wait_for_timeout(400)
    items = page.locator(".lc-lost button")
    assert items.first.get_attribute("data-token") == "120"
    assert "15.00" in items.first.inner_text() and "+14.50" in items.first.inner_text()
    items.first.click()
    page.wait_for_timeout(300)
    assert page.evaluate("C.pair.seen(C.views.pair.clock)") == 120
    assert page.evaluate("C.views.a.locked.token") == 120
    # The query before it, of token 119, looked at what was held after step 118, and at itself.
    a, b = (run.trace.held_at(118).any(axis=0)[:120] for run in (run_a, run_b))
    only = np.nonzero(b & ~a)[0].tolist()
    found = page.evaluate(
        """async () => { const { onlyInReach } = await import('/js/losses.js');
          return onlyInReach(C.stores.b, C.stores.a, 120).map(([t]) => t); }"""
    )
    assert found == only and only
    assert f"still held {len(only)} earlier token" in page.inner_text(".lc-told")
    page.click("text=The other way")
    page.wait_for_timeout(300)
    assert items.first.get_attribute("data-token") == "90"
    assert "Where B forgot what A still knew" in page.inner_text(".lc-forgot")


PARTING = """async (cases) => { const { parting } = await import('/js/losses.js');
  return cases.map(([a, b, running]) => parting(
    { ids: a, length: a.length, running }, { ids: b, length: b.length, running })); }"""


def test_where_two_texts_part(page):
    cases = {
        -1: ([1, 2, 3], [1, 2, 3], False),
        1: ([1, 2, 3], [1, 9, 3], True),
        2: ([1, 2], [1, 2, 3], False),  # one has ended
    }
    assert page.evaluate(PARTING, list(cases.values())) == list(cases)
    assert page.evaluate(PARTING, [([1, 2], [1, 2, 3], True)]) == [-1]  # one only comes later


def test_what_is_written_parts_and_says_where(page):
    generate = {"policy": "streaming_llm", "budget": 64}
    for side, extra in (("a", 0), ("b", 1)):
        _, messages = made(prompt=90, new=60, chunk=30, settings=generate, run=side)
        for message in messages[1:]:
            for step in message.get("steps", []):
                if step["n"] >= 20:
                    step["i"] = [i + extra for i in step["i"]]
        give(page, side, messages)
    page.wait_for_timeout(300)
    at = page.evaluate("C.stores.a.ids.findIndex((id, t) => id !== C.stores.b.ids[t])")
    assert at > 90 and page.evaluate("C.sides.b.map.parted") == at
    assert f"The texts part at token {at + 1}" in page.inner_text(".lc-parted")
    assert page.is_hidden(".lc-losses") and page.is_hidden(".lc-forgot")
    assert page.is_visible("text=What A wrote")


def test_where_one_text_is_over_the_comparison_stands(page):
    """What one run never saw, it has not dropped."""
    generate = {"policy": "streaming_llm", "budget": 64}
    ladder = {**LADDER, "mode": "generate"}
    runs = {}
    for side, settings, new in (("a", generate, 40), ("b", ladder, 100)):
        reason = "stop token" if side == "a" else "length"
        runs[side], messages = made(prompt=90, new=new, settings=settings, run=side, reason=reason)
        give(page, side, messages)
    page.evaluate("C.views.pair.setClock(Infinity)")
    page.wait_for_timeout(1500)
    assert page.evaluate("C.pair.seen(C.views.pair.clock)") == 190
    one, two = (runs[side].trace for side in "ab")
    x, y = (t.held_at(t.joined_at[129])[:, :130] for t in (one, two))
    expected = {"both": x & y, "a": x & ~y, "b": ~x & y, "neither": ~x & ~y}
    found = page.evaluate("C.pair.cells(C.views.pair.clock)")
    assert found == {name: cells.sum() for name, cells in expected.items()}
    assert page.evaluate("C.pair.cell(3, 150, C.views.pair.clock)") is None
    assert page.evaluate("C.pair.kept(150, C.views.pair.clock)") == "later"
    assert "A ended after 130 tokens by itself; there the two are compared." in page.inner_text(
        ".lc-gist"
    )
    assert "ended its text by itself" in page.inner_text(".lc-side-a .lc-side-head")
    assert "ended its text" not in page.inner_text(".lc-side-b .lc-side-head")
    assert "A ended by itself; B went on: “" in page.inner_text(".lc-parted")


def test_numbers_and_picture_count_the_same_cells(page):
    one, two = both(page, b={**BY_HEAD["h2o"]["settings"], **READ})
    found = page.evaluate("C.pair.cells(C.views.pair.clock)")
    step = one.num_steps - 1
    heads = sum(expected_cells(one, two, step, layer).sum(axis=0) for layer in range(30))
    heads = heads / sum(expected_cells(one, two, step, 0)[0])
    expected = dict(zip(("neither", "b", "a", "both"), heads, strict=True))
    assert found == {name: pytest.approx(cells, abs=1) for name, cells in expected.items()}
    assert f"{found['b']:,} by B alone" in page.inner_text(".lc-verdict")


def test_a_token_that_is_only_predicted_is_in_no_cache_yet(page):
    _, messages_a = run_of("a", WINDOW)
    _, messages_b = run_of("b", LADDER)
    give(page, "a", losing(messages_a, {120: 15.0}))
    give(page, "b", losing(messages_b, {120: 0.5}))
    page.wait_for_timeout(400)
    page.locator(".lc-lost button").first.click()
    page.wait_for_timeout(300)
    for side in "ab":
        said = page.inner_text(f".lc-side-{side} .lc-readout")
        assert "no layer yet: it joins the cache later" in said and "0 of 30" not in said
        assert page.locator(f".lc-side-{side} .lc-readout .lc-dot").count() == 0


def test_small_differences_are_not_made_much_of(page):
    """Half a nat at one token, a hundredth of the perplexity."""
    _, messages = run_of("a", WINDOW)
    give(page, "a", messages)
    _, messages = run_of("b", WINDOW)
    steps = [step for message in messages[1:] for step in message.get("steps", [])]
    loss = next(step["l"][0] for step in steps if step["n"] == 100)
    give(page, "b", losing(messages, {100: loss + 0.4}))
    page.wait_for_timeout(1500)
    assert "about the same" in page.inner_text(".lc-gist")
    assert page.locator(".lc-lost button").count() == 0
    page.click("text=The other way")
    page.wait_for_timeout(300)
    assert page.locator(".lc-lost button").count() == 0
    assert "by 0.5 nats more" in page.inner_text(".lc-forgot")


def test_zoom_hover_lock_mode_and_clock_are_shared(page):
    both(page)
    ranges = "[C.views.a.visible, C.views.b.visible, C.views.pair.visible]"
    page.evaluate("C.views.b.show(30, 40)")
    assert page.evaluate(ranges) == [[30, 70]] * 3
    page.evaluate("C.views.a.setHover({ token: 41, layer: 3 })")
    assert page.evaluate("C.views.b.hover") == {"token": 41, "layer": 3}
    page.evaluate("C.views.pair.lock({ token: 42, layer: 4 })")
    page.wait_for_timeout(200)
    assert page.locator(".lc-side .lc-readout.lc-locked").count() == 2
    assert "token 43, layer 5:" in page.inner_text(".lc-verdict")
    page.focus(".lc-side-b .lc-canvas")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("C.views.a.locked") == {"token": 43, "layer": 4}
    page.keyboard.press("m")
    assert page.evaluate("[C.views.a.mode, C.views.b.mode]") == ["attention"] * 2
    assert "attention" in page.inner_text(".lc-shared-legend")
    page.keyboard.press("x")  # the difference stays by text, and keeps its stretch
    assert page.evaluate("[C.views.a.axis, C.views.b.axis, C.views.pair.axis]") == [
        "slot",
        "slot",
        "text",
    ]
    assert page.evaluate("C.views.pair.visible") == [30, 70]
    page.keyboard.press("x")
    assert page.evaluate(ranges) == [[30, 70]] * 3
    page.keyboard.press(",")
    assert page.evaluate("[C.views.pair.clock, C.views.a.clock, C.views.b.clock]") == [159] * 3
    page.keyboard.press("Escape")
    assert page.evaluate("C.views.b.locked") is None


def test_runs_in_other_strides_stand_at_the_same_token(page):
    _, one = run_of("a", WINDOW, prompt=1)
    _, two = run_of("b", LADDER, prompt=100, new=61, chunk=25)
    give(page, "a", one)
    give(page, "b", two)
    for at in (10, 24, 60, 160):
        page.evaluate("(at) => C.views.pair.setClock(at)", at)
        seen = page.evaluate("['a', 'b'].map((side) => C.stores[side].seen(C.views[side].clock))")
        assert seen[0] == at + 1
        assert seen[1] == (at + 1) // 25 * 25 if at < 100 else at + 1


def test_runs_of_different_pairs_are_not_compared(page):
    both(page)
    assert page.is_visible(".lc-difference")
    _, messages = run_of("new", WINDOW)
    give(page, "a", messages[:20], pair="q")
    page.wait_for_timeout(200)
    assert page.is_hidden(".lc-difference") and page.is_hidden(".lc-losses")
    assert page.locator(".lc-side-b.lc-before").count() == 1


def test_it_says_in_words_and_numbers_what_differs(page):
    one, two = both(page)
    page.wait_for_timeout(1500)
    x, y = (t.held_at(160).any(axis=0) for t in (one, two))
    gist = page.inner_text(".lc-gist")
    assert f"B (LaCache) still holds {(y & ~x).sum()} tokens that A (StreamingLLM)" in gist
    assert f"A {one.perplexity():.2f}" in gist
    rows = page.inner_text(".lc-costs")
    assert "Tokens remembered" in rows and str(y.sum()) in rows
    found = Axe().run(page, context=".lc").response["violations"]
    assert not [v["id"] for v in found if v["impact"] in ("serious", "critical")]
