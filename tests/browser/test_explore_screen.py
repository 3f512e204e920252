"""The Explore page around its map, without any model: what is met first, and what goes wrong."""

from __future__ import annotations

import pytest
from recorded_page import ROOT, ask, choose, shown
from synthetic_feed import BY_HEAD, made

from app.recorded import recordings

pytestmark = pytest.mark.browser
NUMBER = "input[type=number]"
PHONE = {"width": 390, "height": 844}


def top(page, selector):
    return page.locator(selector).first.bounding_box()["y"]


def test_text_policy_budget_and_run_come_first_on_one_screen(visit):
    page = visit()
    order = ["#prompt", "#policy", "#budget", "#run", "#span", "#overlap", "#max_new_tokens"]
    tops = [top(page, name) for name in order]
    assert tops == sorted(tops)
    run = page.locator("#run").bounding_box()
    assert run["y"] + run["height"] < 900
    assert "Continue the text" in page.inner_text("#mode")


def test_the_policy_says_what_it_keeps(visit):
    page = visit()
    assert "different tokens in different layers" in page.inner_text("#policy")
    page.click("#policy input")
    page.click("[role=option]:has-text('StreamingLLM')")
    page.wait_for_function("() => document.querySelector('#policy').innerText.includes('A window')")
    assert page.locator("#span").is_hidden()


def test_a_typed_number_stays_and_the_reason_stands_beside_run(visit):
    page = visit()
    page.fill(f"#budget {NUMBER}", "99999")
    page.press(f"#budget {NUMBER}", "Tab")
    page.wait_for_selector(".lc-preview-problem:visible")
    assert page.input_value(f"#budget {NUMBER}") == "99999"
    assert page.locator("#run-problem p").count() == 0
    page.click("#run")
    page.wait_for_selector("#run-problem [role=alert]")
    said = page.inner_text("#run-problem")
    assert said.startswith("Budget = 99999 is not possible: it must be a whole number from 16 to")
    beside, run = (page.locator(s).bounding_box() for s in ("#run-problem", "#run"))
    assert 0 <= run["y"] - beside["y"] - beside["height"] < 20
    # The recording is as it was, and the chip says it too.
    assert "99999" in page.inner_text(".lc-status")
    assert ask(page, "s.length") == recordings()[0][1].num_tokens
    assert page.locator(".lc-versus-card").count() == 2


@pytest.mark.parametrize("mend", ["number", "text", "policy", "sample"])
def test_what_failed_is_not_spoken_of_once_a_setting_changes(visit, mend):
    page = visit("?budget=9999")  # what is wrong with a link stays until then too
    page.wait_for_selector("#run-problem [role=alert]")
    page.fill(f"#budget {NUMBER}", "99999")
    page.wait_for_selector("#run-problem p", state="hidden")
    page.click("#run")
    page.wait_for_selector("#run-problem [role=alert]")
    page.wait_for_function(f"() => {ROOT}.store.state.name === 'failed'")
    if mend == "number":
        page.fill(f"#budget {NUMBER}", "128")
    elif mend == "text":
        page.fill("#prompt textarea", "other words")
    else:
        page.click(f"#{mend} input")
        page.click("[role=option] >> nth=0")
    page.wait_for_selector("#run-problem p", state="hidden")
    assert ask(page, "s.state.name") == "done"
    assert "Recorded run" in page.inner_text(".lc-status")
    assert "99999" not in page.inner_text(".lc-status")


def test_an_emptied_number_is_called_empty(visit):
    page = visit()
    page.fill(f"#budget {NUMBER}", "")
    page.click("#run")
    page.wait_for_selector("#run-problem [role=alert]")
    said = page.inner_text("#run-problem")
    assert said == "Budget is empty: it must be a whole number from 16 to 8192."
    assert "up to 8,192 can be typed" in page.inner_text("#budget")


def test_a_number_beyond_the_slider_that_is_possible_is_taken(visit):
    page = visit()
    page.fill(f"#budget {NUMBER}", "2048")
    page.press(f"#budget {NUMBER}", "Tab")
    page.wait_for_function(
        "() => document.querySelector('.lc-preview-facts').innerText.includes('asked 2,048')"
    )
    assert page.input_value(f"#budget {NUMBER}") == "2048"


def test_an_empty_text_is_named_as_its_field_is(visit):
    page = visit()
    page.fill("#prompt textarea", " ")
    page.click("#run")
    page.wait_for_selector("#run-problem [role=alert]")
    assert "Text is empty: it must be" in page.inner_text("#run-problem")


@pytest.mark.parametrize("where", ["top", "bottom"])
def test_on_a_phone_run_and_stop_are_always_in_reach(visit, where):
    page = visit(**PHONE)
    page.evaluate(f"() => scrollTo(0, {0 if where == 'top' else 'document.body.scrollHeight'})")
    for name in ("#run", "#stop", ".lx-jump a"):
        box = page.locator(name).bounding_box()
        assert box["height"] >= 40 and box["width"] >= 40
        assert 700 < box["y"] and box["y"] + box["height"] <= 844
    if where == "bottom":  # and nothing lies below it for good
        link = page.locator("#copy-link").bounding_box()
        assert link["y"] + link["height"] < page.locator(".lx-start").bounding_box()["y"]


def test_on_a_phone_the_map_comes_before_figures_and_settings(visit):
    page = visit(**PHONE)
    order = [".lc-versus", ".lc-stage", ".lc-figures", ".lc-words", "#prompt"]
    tops = [top(page, name) for name in order]
    assert tops == sorted(tops)
    page.click(".lx-jump a")
    page.wait_for_function(
        "() => document.querySelector('#own-run').getBoundingClientRect().y < 99"
    )


def test_on_a_phone_what_is_touched_is_forty_pixels_high(visit):
    page = visit(has_touch=True, **PHONE)
    page.click("text=More settings")
    page.wait_for_timeout(400)
    small = page.evaluate(
        """() => [...document.querySelectorAll('button, a, select, summary, input, label')]
          .filter((n) => !n.closest('footer') && !/radio|checkbox|file/.test(n.type || ''))
          .filter((n) => !n.matches('label') || n.querySelector(':scope > input'))
          .map((n) => [n.innerText || n.ariaLabel || n.id, n.getBoundingClientRect()])
          .filter(([, { width, height }]) => width && (height < 39.5 || width < 39.5))
          .map(([name, { width, height }]) => [name, width, height])"""
    )
    assert small == []


def test_before_anything_is_pointed_at_the_fact_is_spoken_of(visit):
    page = visit()
    page.wait_for_timeout(300)
    first, last = recordings()[0][1].manifest["fact"]
    said = page.inner_text(".lc-token").replace("\n", " ")
    assert any(f"token {t + 1} of" in said for t in range(first, last + 1))
    assert "asked for at the end" in page.inner_text(".lc-token-panel .lc-note")
    readout = page.inner_text(".lc-readout").replace("\n", " ")
    assert "Point at" in readout and "of 30 layers" in readout
    # It is an example: nothing is marked, locked or read out.
    assert page.locator(".lc-marked").count() == 0 and ask(page, "v.focus") is None
    assert page.text_content(".lc-readout [aria-live]") == ""
    page.hover(".lc-words-body span[data-t='500']")
    page.wait_for_timeout(200)
    assert "token 501 of" in page.inner_text(".lc-token").replace("\n", " ")


def test_without_a_fact_it_is_the_oldest_word_that_is_left(visit):
    page = visit()
    name, trace = recordings()[2]
    choose(page, "Runs", trace.manifest["title"])
    shown(page, trace.manifest["title"])
    page.wait_for_timeout(300)
    for step in (trace.num_steps - 1, 300):
        ask(page, f"v.setClock({step})")
        page.wait_for_timeout(300)
        held = trace.held_at(step)[:, trace.manifest["num_sink"] :].any(axis=0)
        oldest = trace.manifest["num_sink"] + int(held.argmax())
        assert f"token {oldest + 1} of" in page.inner_text(".lc-token").replace("\n", " ")
    ask(page, "v.setClock(20)")  # everything still fits
    page.wait_for_selector(".lc-token", state="hidden")
    assert page.locator(".lc-token-panel .lc-box").bounding_box()["height"] < 200


def test_what_is_saved_is_called_as_the_policy_calls_it(visit):
    page = visit()
    save = '.lc-toolbar .lc-button:text-is("Save")'
    page.click(save)
    assert page.inner_text("[data-kind=csv] b") == "Compactions (.csv)"
    page.click(save)
    page.click(".lc-versus-card >> nth=1")
    shown(page, recordings()[1][1].manifest["title"])
    page.click(save)
    assert page.inner_text("[data-kind=csv] b") == "Evictions (.csv)"
    assert "Every eviction" in page.inner_text("[data-kind=csv]")


def test_the_footer_ends_with_its_link(visit):
    page = visit()
    assert page.inner_text("footer").strip().endswith("Use via API")


def test_the_toolbar_is_one_line_also_where_heads_differ(visit):
    page = visit()
    _, messages = made(**next(iter(BY_HEAD.values())))
    page.evaluate(f"(m) => m.forEach((x) => {ROOT}.receive(x))", messages)
    ask(page, "(v.setAxis('slot'), v.setMode('attention'))")
    page.wait_for_timeout(300)
    assert page.locator(".lc-switch + .lc-button").is_visible()
    assert page.locator(".lc-toolbar").bounding_box()["height"] < 40
