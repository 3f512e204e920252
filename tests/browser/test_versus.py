"""The same text under ladder and window, one click apart on the first screen."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from recorded_page import ask, choose, shown

from app.recorded import recordings

pytestmark = pytest.mark.browser
CARD = ".lc-versus-card"


def card(page, name):
    return page.locator(f"{CARD}:has(b:text-is('{name}'))")


@pytest.mark.parametrize("width, height", [(1440, 900), (390, 844)])
def test_both_answers_stand_on_the_first_screen_and_are_those_of_the_runs(visit, width, height):
    page = visit(width=width, height=height)
    (_, ladder), (_, window) = recordings()[:2]
    for name, trace, held in (("Ladder", ladder, "15 of 30 layers"), ("Window", window, "gone")):
        told = card(page, name).inner_text()
        answer = card(page, name).locator(".lc-versus-head q").inner_text()
        assert answer and trace.manifest["text"].strip().startswith(answer)
        assert "under the blue barrel" in told and held in told
        box = card(page, name).bounding_box()
        assert box["y"] + box["height"] < height and box["height"] >= 40
    assert "✓" in card(page, "Ladder").inner_text() and "✗" in card(page, "Window").inner_text()


def test_a_click_shows_the_other_and_keeps_what_was_looked_at(visit):
    page = visit()
    ask(
        page,
        "v.setMode('attention'), v.show(30, 60), v.setClock(70), v.lock({token: 40, layer: 3})",
    )
    looked = "[v.mode, v.axis, v.visible, v.clock, v.following, v.locked, s.seen(v.clock)]"
    before = ask(page, looked)
    assert card(page, "Ladder").get_attribute("aria-pressed") == "true"
    card(page, "Window").click()
    shown(page, recordings()[1][1].manifest["title"])
    assert ask(page, looked) == before and ask(page, "s.setup.policy") == "streaming_llm"
    assert card(page, "Window").get_attribute("aria-pressed") == "true"
    assert card(page, "Ladder").get_attribute("aria-pressed") == "false"
    # At the end of the run one stays at the end.
    ask(page, "v.fit(), v.follow()")
    card(page, "Ladder").click()
    shown(page, recordings()[0][1].manifest["title"])
    assert ask(page, "v.following") and ask(page, "v.range") is None


def test_by_keyboard_it_is_a_tab_away_or_one_key(visit):
    page = visit()
    card(page, "Ladder").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    shown(page, recordings()[1][1].manifest["title"])
    assert page.evaluate("document.activeElement.innerText").startswith("Window")
    page.focus(".lc-canvas")
    page.keyboard.press("v")
    shown(page, recordings()[0][1].manifest["title"])


def test_a_run_of_another_text_has_nothing_beside_it(visit):
    page = visit()
    choose(page, "Runs", recordings()[2][1].manifest["title"])
    shown(page, recordings()[2][1].manifest["title"])
    assert page.locator(CARD).count() == 0
    page.focus(".lc-canvas")
    page.keyboard.press("v")
    page.wait_for_timeout(200)
    assert ask(page, "s.run") == recordings()[2][0]


def test_a_recording_that_cannot_be_had_is_said_and_nothing_is_lost(visit):
    page = visit()
    nothing = {"body": "null", "content_type": "application/json"}
    page.route("**/component_server/**", lambda route: route.fulfill(**nothing))
    card(page, "Window").click()
    page.wait_for_selector(".lc-said.lc-bad")
    assert ask(page, "s.run") == recordings()[0][0]
    assert card(page, "Ladder").get_attribute("aria-pressed") == "true"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious_in_the_caption(visit, theme):
    page = visit(f"?__theme={theme}")
    found = Axe().run(page, context=".lc-caption").response["violations"]
    assert not [v["id"] for v in found if v["impact"] in ("serious", "critical")]
