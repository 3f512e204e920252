"""The Compare page as people meet it: the real app, the real model, a real Chromium."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from forms import number, reload
from idle import wait_idle

pytestmark = [pytest.mark.browser, pytest.mark.model]
C = "document.querySelector('#comparison .lc-root').__comparison"
TEXT = "The old lighthouse stood on a rock, and nobody had lit its lamp for years. " * 6


@pytest.fixture
def compare(visiting, with_model):
    return visiting(f"{with_model}/compare", lambda page: page.wait_for_selector(".lc-compare"))


def run(page, text=TEXT, budget=48):
    page.fill("#prompt textarea", text)
    for side in "ab":
        number(page, f"{side}_budget", budget)
    page.click("#run")
    page.wait_for_function(
        f"() => ['a', 'b'].every((s) => {C}.stores[s].setup.origin === 'live')", timeout=60_000
    )


def wait_both(page, name, seconds=120):
    page.wait_for_function(
        f"(name) => ['a', 'b'].every((s) => {C}.stores[s].state.name === name)",
        arg=name,
        timeout=seconds * 1000,
    )


def test_it_opens_with_a_pair_that_says_something(compare):
    page = compare()
    page.wait_for_function(f"() => {C}.pair.matched && {C}.losses.length > 400")
    page.wait_for_selector(".lc-gist:not(:empty)")
    assert "Recorded pair" in page.inner_text(".lc-status")
    assert "lower with B" in page.inner_text(".lc-gist")
    page.locator(".lc-lost button").first.click()
    page.wait_for_selector(".lc-told mark")
    said = page.inner_text(".lc-told")
    assert "B still held" in said and "that A had dropped in every layer" in said
    assert page.inner_text("nav a >> nth=0") == "Explore"


def test_after_the_page_was_loaded_anew_the_own_pair_is_there_again(compare):
    page = compare()
    run(page)
    page.wait_for_function(f"() => {C}.stores.a.length > 8 && {C}.stores.b.length > 8")
    own = page.evaluate(f"['a', 'b'].map((s) => {C}.stores[s].run)")
    page.reload()
    page.wait_for_selector(".lc-compare")
    compare.opened[-1].problems.clear()  # Gradio complains of the stream that was cut
    page.wait_for_function(
        f"(own) => ['a', 'b'].every((s, k) => {C}.stores[s].run === own[k])", arg=own
    )
    wait_both(page, "stopped", seconds=20)
    assert page.evaluate(f"{C}.pair.matched")
    wait_idle(page)


def test_both_sides_run_in_turn_and_end_with_a_loss_for_every_word(compare):
    page = compare()
    run(page)
    # Neither waits for the other.
    page.wait_for_function(f"() => {C}.stores.a.length > 8 && {C}.stores.b.length > 8")
    page.wait_for_function(
        "() => /A: \\d+ of \\d+ tokens, B: \\d+ of/.test("
        "document.querySelector('#run-said').textContent)"
    )
    wait_both(page, "done")
    lengths = page.evaluate(f"['a', 'b'].map((s) => {C}.stores[s].length)")
    assert lengths[0] == lengths[1] > 90
    page.wait_for_function(
        "() => document.querySelector('#run-said').textContent.includes('Both are done')"
    )
    assert page.evaluate(f"{C}.losses.length") == lengths[0]
    figures = page.evaluate(f"['a', 'b'].map((s) => {C}.stores[s].figures)")
    for side, found in zip("ab", figures, strict=True):
        assert found["secondsPerToken"] > 0
        assert found["perplexity"] == pytest.approx(
            page.evaluate(f"{C}.losses.perplexity.{side}.at(-1)"), rel=1e-3
        )
    assert figures[1]["union"] > figures[0]["union"] == 48


def test_stop_ends_both_and_what_is_there_stays(compare):
    page = compare()
    run(page, TEXT * 12)
    page.wait_for_function(f"() => {C}.stores.b.length > 20")
    page.click("#stop")
    wait_both(page, "stopped", seconds=20)
    assert page.evaluate(f"{C}.pair.totals({C}.views.pair.clock).both") > 10
    page.wait_for_function(
        "() => document.querySelector('#run-said').textContent.includes('Stopped')"
    )
    wait_idle(page)


def test_another_run_takes_the_place_of_the_one_that_goes_on(compare):
    page = compare()
    run(page, TEXT * 12)
    page.wait_for_function(f"() => {C}.stores.b.length > 20")
    before = page.evaluate(f"['a', 'b'].map((s) => {C}.stores[s].run)")
    page.fill("#prompt textarea", TEXT)
    page.click("#run")
    page.wait_for_function(
        f"(before) => ['a', 'b'].every((s, k) => {C}.stores[s].run !== before[k])", arg=before
    )
    wait_both(page, "done")
    lengths = page.evaluate(f"['a', 'b'].map((s) => {C}.stores[s].length)")
    assert lengths[0] == lengths[1] < 150
    page.wait_for_function(
        "() => document.querySelector('#run-said').textContent.includes('Both are done')"
    )
    wait_idle(page)


def test_while_both_go_on_the_clock_waits_for_the_later_one(compare):
    page = compare()
    run(page)
    page.evaluate(
        f"""() => {{ window.ahead = [];
          const look = () => {{ const c = {C};
            if (c.pair.matched && c.pair.steps) ahead.push(c.pair.seen(c.views.pair.clock)
              - Math.min(c.stores.a.length, c.stores.b.length));
            if (c.stores.a.running || c.stores.b.running) requestAnimationFrame(look); }};
          look(); }}"""
    )
    wait_both(page, "done")
    found = page.evaluate("window.ahead")
    assert len(found) > 20 and max(found) <= 0


def test_a_damaged_link_keeps_what_is_good_and_says_what_it_left_out(compare):
    page = compare("?a_budget=100&b_span=eleven&b_budget=300")
    page.wait_for_function("() => document.querySelector('#a_budget input').value === '100'")
    assert page.input_value("#b_budget input[type=number]") == "300"
    assert page.input_value("#b_span input[type=number]") == "15"
    said = page.inner_text("#run-problem")
    assert "eleven" in said


def test_a_side_that_cannot_run_is_named_beside_the_button(compare):
    page = compare()
    page.fill("#prompt textarea", "keep this text")
    number(page, "b_budget", 20)
    page.click("#run")
    page.wait_for_selector("#run-problem [role=alert]")
    said = page.inner_text("#run-problem")
    assert said.startswith("B: ") and "not possible" in said
    assert page.input_value("#prompt textarea") == "keep this text"
    assert page.evaluate(f"{C}.stores.a.setup.origin") == "recorded"
    number(page, "b_budget", 64)  # what is wrong is said until something is changed
    page.wait_for_selector("#run-problem", state="hidden")
    number(page, "b_budget", 20)  # and again when it is as wrong as it was
    page.click("#run")
    page.wait_for_selector("#run-problem [role=alert]")
    reload(page)
    page.wait_for_function(
        "() => document.querySelector('#prompt textarea')?.value.includes('keep')"
    )
    page.wait_for_function("() => document.querySelector('#sample input').value.includes('own')")


def test_a_link_restores_both_settings(compare):
    page = compare()
    number(page, "a_budget", 100)
    number(page, "b_span", 9)
    page.click("#b_policy input")
    page.click("text=H2O")
    page.wait_for_selector("#b_span", state="hidden")
    page.click("#copy-link")
    page.wait_for_function("() => location.search.includes('a_budget=100')")
    again = compare("?" + page.url.split("?")[1])
    again.wait_for_function("() => document.querySelector('#a_budget input').value === '100'")
    assert again.input_value("#b_policy input") == "H2O"
    assert again.input_value("#a_policy input") == "StreamingLLM"
    assert again.is_hidden("#b_span")


def test_what_both_write_is_compared_by_where_it_parts(compare):
    page = compare()
    page.click("text=Continue it")
    page.click("text=What both share")
    number(page, "max_new_tokens", 20)
    run(page)
    wait_both(page, "done")
    page.wait_for_selector(".lc-parted:visible")
    alike = page.evaluate(f"{C}.stores.a.ids.join() === {C}.stores.b.ids.join()")
    said = page.inner_text(".lc-parted")
    assert said.startswith("Both write the same" if alike else "The texts part at token")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_no_screen_scrolls_sideways_and_axe_is_content(compare, theme, width):
    page = compare(f"?__theme={theme}", width=width, height=844)
    page.wait_for_function(f"() => {C}.losses.length > 400")
    widths = page.evaluate("() => [document.documentElement.scrollWidth, innerWidth]")
    assert widths[0] <= widths[1]
    found = Axe().run(page).response["violations"]
    bad = [
        (v["id"], v["nodes"][0]["target"], v["nodes"][0]["html"][:120])
        for v in found
        if v["impact"] in ("serious", "critical")
    ]
    assert not bad
