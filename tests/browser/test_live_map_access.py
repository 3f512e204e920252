"""The live map before a run, by keyboard alone, and for those who do not see it."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from harness import LiveMap
from synthetic_feed import BY_HEAD, RUNS, made

pytestmark = pytest.mark.browser


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


def test_every_key_does_what_the_help_says(live):
    run, messages = made(**RUNS["overlapping"])
    live.receive(messages)
    page = live.page
    page.click(".lc-help button")
    listed = page.locator(".lc-panel kbd").all_text_contents()
    page.keyboard.press("Escape")
    page.focus(".lc-canvas")
    last = run.trace.num_steps - 1
    steps = sorted(set(run.trace.compactions[:, 0].tolist()))
    done = set()

    def press(key, name=None):
        page.keyboard.press(key)
        done.add(name or key)
        return live.stats

    assert press(",")["clock"] == last - 1
    assert press(".")["clock"] == last
    at = press("[")["clock"]
    assert at == max(s for s in steps if s < last)
    assert press("]")["clock"] == min([s for s in steps if s > at], default=at)
    at = page.evaluate("I.view.compaction")
    press("<")
    assert page.evaluate("I.view.compaction") == at - 1
    press(">")
    assert page.evaluate("I.view.compaction") == at
    assert not live.stats["following"] and press("l", "L")["following"]
    for mode in ("attention", "holding", "when", "state"):
        assert press("m", "M")["mode"] == mode
    assert press("a", "A")["mode"] == "attention" and not page.evaluate("I.view.accumulated")
    press("a", "A")
    assert page.evaluate("I.view.accumulated")
    assert press("x", "X")["axis"] == "slot" and press("x")["axis"] == "text"
    before = live.stats["run"]
    assert press("v", "V")["run"] == before  # no other run of this text is offered here
    assert press("+")["zoomed"] and not press("-", "−")["zoomed"]
    press("+")
    assert not press("Home")["zoomed"]
    page.evaluate("I.view.lock({ token: 100, layer: 5 })")
    moves = {
        "ArrowLeft": (99, 5),
        "ArrowRight": (100, 5),
        "ArrowUp": (100, 4),
        "ArrowDown": (100, 5),
    }
    for (key, (token, layer)), name in zip(moves.items(), "←→↑↓", strict=True):
        assert press(key, name)["locked"] == {"token": token, "layer": layer}
    assert press("Escape", "Esc")["locked"] is None
    press("?")
    assert page.is_visible(".lc-panel")
    press("?")
    assert page.is_hidden(".lc-panel")
    assert page.evaluate("document.activeElement === I.canvas")
    page.evaluate("I.view.setClock(20)")
    press("Space")
    live.settle(300)
    page.keyboard.press("Space")
    assert live.stats["clock"] > 20
    _, by_head = made(run="by head", **BY_HEAD["h2o"])
    live.receive(by_head)
    page.keyboard.press("x")
    assert page.evaluate("I.view.head") == 0
    press("h", "H")
    assert page.evaluate("I.view.head") == 1
    assert set(listed) <= done  # nothing is promised that was not tried


def test_the_list_of_keys_opens_from_anywhere_but_where_somebody_types(live):
    page = live.page
    page.evaluate("document.body.append(document.createElement('textarea'))")
    page.focus("textarea")
    page.keyboard.press("?")
    assert page.is_hidden(".lc-panel") and page.input_value("textarea") == "?"
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("?")
    assert page.is_visible(".lc-panel")
    page.keyboard.press("Escape")
    assert page.is_hidden(".lc-panel")


def test_where_the_keyboard_is_can_be_seen(live):
    _, messages = made(**RUNS["interleaved"])
    live.receive(messages)
    seen = set()
    for _ in range(40):
        live.page.keyboard.press("Tab")
        name, outline = live.page.evaluate(
            """() => { const n = document.activeElement;
              return [n.className, getComputedStyle(n).outlineStyle]; }"""
        )
        if not live.page.evaluate("I.element.contains(document.activeElement)"):
            break
        assert outline != "none", name
        seen |= set(name.split())
    assert {"lc-button", "lc-canvas", "lc-bar", "lc-words-body", "lc-scroll", "lc-list"} <= seen


def test_less_motion_is_respected(open_page, assets_url):
    live = LiveMap.open(open_page, assets_url, reduced_motion="reduce")
    _, messages = made(**RUNS["interleaved"])
    live.receive(messages[:20])
    still = live.page.evaluate(
        """() => [...document.querySelectorAll('.lc, .lc *')].every((n) =>
          [null, '::before'].every((part) => {
            const s = getComputedStyle(n, part);
            return s.animationName === 'none' && parseFloat(s.transitionDuration) === 0; }))"""
    )
    assert still
    live.check()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious(live, theme):
    axe = Axe()
    _, messages = made(**RUNS["overlapping"])
    page = live.page
    page.evaluate(
        "(dark) => { document.body.className = dark ? 'dark' : '';"
        "document.body.style.background = dark ? '#0b0f19' : '#fff' }",
        theme == "dark",
    )
    states = [
        "I.view.setMode('attention'); I.view.lock({ token: 90, layer: 3 })",
        "I.view.setAxis('slot'); I.view.setClock(60); I.view.lock(null)",
        "document.querySelector('.lc-help button').click()",
    ]
    for state in ["", *states]:
        page.evaluate(state or "0")
        live.settle(500)
        found = axe.run(page, context="#root").response["violations"]
        bad = [(v["id"], v["nodes"][0]["target"]) for v in found if v["impact"] in SERIOUS]
        assert not bad
        if not state:
            live.receive(messages)


SERIOUS = ("serious", "critical")
