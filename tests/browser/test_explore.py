"""The page as people meet it: the real app, the real model, a real Chromium."""

from __future__ import annotations

import time

import pytest
from axe_playwright_python.sync_playwright import Axe
from forms import number, reload
from idle import wait_idle

from app import runner
from app.places import Places
from app.runner import RUNS
from app.wire import WIRE

pytestmark = [pytest.mark.browser, pytest.mark.model]
EVIL = "<img src=x onerror=window.__x=1>"
STORE = "document.querySelector('#live-map .lc-root').__lacache.store"
LONG = "It was a quiet evening on the island, and nobody had lit the lamp. " * 40


@pytest.fixture
def explore(visiting, with_model):
    return visiting(f"{with_model}/", lambda page: page.wait_for_selector(".lc-canvas"))


def store(page, expression):
    return page.evaluate(f"() => {{ const s = {STORE}; return {expression}; }}")


def fill(page, prompt, new_tokens=24, budget=64):
    page.fill("#prompt textarea", prompt)
    for name, value in (("budget", budget), ("max_new_tokens", new_tokens)):
        number(page, name, value)


def run(page, *given, **options):
    fill(page, *given, **options)
    page.click("#run")
    # Until then a recorded run is on the screen.
    page.wait_for_function(f"() => {STORE}.setup.origin === 'live'", timeout=60_000)


def wait_state(page, *names, seconds=90):
    page.wait_for_function(
        f"(names) => names.includes({STORE}.state.name)", arg=list(names), timeout=seconds * 1000
    )


def wait_tokens(page, count, seconds=60):
    page.wait_for_function(f"() => {STORE}.length >= {count}", timeout=seconds * 1000)


def test_it_opens_by_itself_and_says_what_to_do(explore):
    page = explore()
    assert "LaCache explorer" in page.inner_text("h1")
    page.wait_for_function(f"() => {STORE}.setup.origin === 'recorded'")
    assert "Recorded run" in page.inner_text(".lc-status")
    assert page.input_value("#prompt textarea").strip()
    assert "Remembered" in page.inner_text(".lc-preview-facts")


def test_a_run_streams_text_and_the_map_gains_columns(explore):
    page = explore()
    run(page, LONG, new_tokens=40, budget=128)
    wait_state(page, "running")
    wait_tokens(page, 100)
    first = store(page, "s.length")
    wait_tokens(page, first + 10)
    wait_state(page, "done")
    assert store(page, "s.length") > first
    assert len(store(page, "s.text")) > 20
    assert store(page, "s.compactions.length") > 100
    assert store(page, "s.figures.held") <= 128
    assert store(page, "s.figures.union") > 128
    page.wait_for_timeout(300)
    assert (
        page.inner_text(".lc-words-body")
        .strip()
        .endswith(store(page, "s.tokens.slice(-6).join('')").strip())
    )
    assert "so far" in page.inner_text(".lc-compactions")
    assert page.locator(".lc-empty").is_hidden()
    # Both modes of the map, on real attention.
    page.click("[data-mode=attention]")
    assert store(page, "s.frames.length") > 5
    shares = store(
        page, "(() => { const f = s.frames.at(-1); return s.columns(f)[0].length - f.length; })()"
    )
    assert shares == 0


def test_on_a_phone_the_map_comes_into_sight_while_the_run_goes_on(explore):
    page = explore(width=390, height=844)
    fill(page, LONG, new_tokens=200)
    page.evaluate("document.getElementById('span').scrollIntoView()")
    map_bottom = "document.getElementById('live-map').getBoundingClientRect().bottom"
    assert page.evaluate(map_bottom) < 0
    page.click("#run")
    page.wait_for_function(f"() => {map_bottom} > 120")
    page.wait_for_function(f"() => {STORE}.setup.origin === 'live'", timeout=60_000)
    assert page.evaluate(f"{STORE}.state.name") == "running"
    page.click("#stop")
    wait_state(page, "stopped")


COUNT_FRAMES = """(() => {
  const ask = window.requestAnimationFrame.bind(window);
  window.frames_asked = 0;
  window.requestAnimationFrame = (draw) => { window.frames_asked++; return ask(draw); };
})()"""


def test_a_page_on_which_nothing_moves_asks_for_no_frames(open_page, with_model):
    """Gradio's clock of waiting went on for ever: assets/js/early.js."""
    page = open_page("about:blank").page
    page.add_init_script(COUNT_FRAMES)
    page.goto(f"{with_model}/")
    page.wait_for_selector(".lc-canvas")
    page.wait_for_function("() => window.frames_asked > 30")  # it is counted at all
    page.wait_for_timeout(6000)
    before = page.evaluate("window.frames_asked")
    page.wait_for_timeout(2000)
    assert page.evaluate("window.frames_asked") - before < 20  # of 120
    own = "String(window.requestAnimationFrame).includes('frames_asked')"
    assert page.evaluate(own), "what stood there before is back in its place"


def assert_whole(page):
    """The page has all that the server told of the run, in order."""
    there = RUNS.snapshot(store(page, "s.run"))
    assert store(page, "s.tokens") == there["tokens"] and len(there["tokens"]) > 600
    assert store(page, "s.seq") == there["seq"]


@pytest.fixture
def carried(monkeypatch):
    """What is said by lines, in a list."""
    found, send = [], WIRE.send

    def sending(key, text):
        heard = send(key, text)
        found.append(heard)
        return heard

    monkeypatch.setattr(WIRE, "send", sending)
    return found


def test_while_a_run_goes_on_its_messages_come_beside_gradio(explore, carried):
    page = explore()
    run(page, LONG, new_tokens=60, budget=128)
    wait_state(page, "done")
    wait_idle(page)
    # Only what came before the line was open, and the end, came through Gradio.
    assert sum(carried) > 0.6 * len(carried) > 6
    stats = page.evaluate("document.querySelector('#live-map .lc-root').__lacache.stats")
    assert stats["gaps"] <= 1  # where the first message by the line overtook one of Gradio's
    assert_whole(page)


def test_a_run_that_takes_the_place_of_another_has_its_own_line(explore, carried):
    page = explore()
    run(page, LONG, new_tokens=300, budget=128)
    wait_tokens(page, 100)
    first = store(page, "s.run")
    fill(page, LONG, new_tokens=60, budget=64)
    page.click("#run")
    page.wait_for_function(f"(first) => {STORE}.run !== first", arg=first, timeout=60_000)
    carried.clear()
    wait_state(page, "done")
    assert sum(carried) > 0.6 * len(carried) > 3
    assert_whole(page)


def test_two_tabs_that_run_leave_room_for_stop(explore):
    """A browser opens six ordinary connections to a server, for all its tabs together."""
    tabs = [explore()]
    other = tabs[0].context.new_page()
    other.goto(tabs[0].url)
    other.wait_for_selector(".lc-canvas")
    tabs.append(other)
    for page in tabs:
        run(page, LONG, new_tokens=400)
        wait_tokens(page, 100)
    for page in tabs:
        page.click("#stop")
        wait_state(page, "stopped", seconds=5)
    wait_idle(other)


def test_a_try_that_fails_leaves_the_run_that_goes_on_alone(explore, carried):
    page = explore()
    run(page, LONG, new_tokens=300, budget=128)
    wait_tokens(page, 100)
    number(page, "budget", -5)
    page.click("#run")
    page.wait_for_function("() => document.querySelector('#run-problem').innerText.includes('-5')")
    carried.clear()
    at = store(page, "s.length")
    wait_tokens(page, at + 20)
    assert "-5" in page.inner_text("#run-problem")
    assert carried and all(carried)
    page.click("#stop")
    wait_state(page, "stopped", "done")
    page.wait_for_timeout(300)
    assert "-5" in page.inner_text("#run-problem")


def test_a_run_that_waits_for_its_turn_says_so_and_can_be_stopped(explore, monkeypatch):
    places = Places(at_once=1)
    monkeypatch.setattr(runner, "PLACES", places)
    page = explore()
    fill(page, LONG, new_tokens=8, budget=128)
    with places.ask():
        page.click("#run")
        page.wait_for_function(
            "() => document.querySelector('.lc-message').textContent.includes('Other runs go on')"
        )
        page.click("#stop")
        wait_state(page, "stopped", seconds=5)
        page.click("#run")
        page.wait_for_function(f"() => {STORE}.state.name === 'loading'")
    wait_state(page, "done")
    assert store(page, "s.setup.origin") == "live"


def test_after_the_page_was_loaded_anew_the_own_run_is_there_again(explore):
    page = explore()
    run(page, LONG, new_tokens=400, budget=128)
    wait_tokens(page, 100)
    own = store(page, "s.run")
    page.reload()
    page.wait_for_selector(".lc-canvas")
    explore.opened[-1].problems.clear()  # Gradio complains of the stream that was cut
    page.wait_for_function(f"(run) => {STORE}.run === run", arg=own)
    wait_state(page, "stopped", seconds=20)  # a run ends with the page that it was for
    page.goto(page.url.split("?")[0] + "?budget=99")  # a link says itself what is to be shown
    page.wait_for_selector(".lc-canvas")
    page.wait_for_function(f"() => {STORE}.setup.origin === 'recorded'")
    page.wait_for_timeout(1500)
    assert store(page, "s.setup.origin") == "recorded"
    page.goto(page.url.split("?")[0] + "?__theme=dark")
    page.wait_for_selector(".lc-canvas")
    page.wait_for_function(f"(run) => {STORE}.run === run", arg=own)
    explore.opened[-1].problems.clear()
    assert store(page, "s.length") >= 100
    assert "last run in this tab" in page.inner_text(".lc-said")
    wait_idle(page)
    page.click("#run")
    page.wait_for_function(
        f"(run) => {STORE}.setup.origin === 'live' && {STORE}.run !== run", arg=own
    )
    page.click("#stop")
    wait_state(page, "stopped")


def test_without_that_line_they_come_through_gradio(explore, monkeypatch):
    monkeypatch.setattr(WIRE, "send", lambda key, text: False)
    page = explore()
    run(page, LONG, new_tokens=30, budget=128)
    wait_state(page, "done")
    assert_whole(page)


def test_a_line_that_breaks_loses_nothing(explore, monkeypatch):
    """A message that was sent and never arrived is found missing by its number."""
    told, send = [], WIRE.send

    def breaking(key, text):
        told.append(text)
        return True if len(told) in (9, 10) else send(key, text)

    monkeypatch.setattr(WIRE, "send", breaking)
    page = explore()
    run(page, LONG, new_tokens=60, budget=128)
    wait_state(page, "done")
    wait_idle(page)
    assert len(told) > 12
    assert_whole(page)
    assert page.evaluate("document.querySelector('#live-map .lc-root').__lacache.stats.gaps") >= 1


def test_zoom_survives_twenty_updates(explore):
    page = explore()
    run(page, LONG, new_tokens=200)
    wait_tokens(page, 200)
    view = "document.querySelector('#live-map .lc-root').__lacache.view"
    page.click("button[title='Zoom in']")
    page.click("button[title='Zoom in']")
    before = page.evaluate(f"() => {view}.visible")
    applied = page.evaluate("() => document.querySelector('#live-map .lc-root').__lacache.applied")
    page.wait_for_function(
        f"() => document.querySelector('#live-map .lc-root').__lacache.applied >= {applied + 20}",
        timeout=60_000,
    )
    assert page.evaluate(f"() => {view}.visible") == before
    page.click("#stop")
    wait_state(page, "stopped")


def test_stop_stops_within_a_second(explore):
    page = explore()
    run(page, LONG, new_tokens=2000)
    wait_tokens(page, 100)
    page.click("#stop")
    asked = time.perf_counter()
    wait_state(page, "stopped", seconds=10)
    took = time.perf_counter() - asked
    kept = store(page, "s.length")
    page.wait_for_timeout(1200)
    assert store(page, "s.length") == kept
    assert RUNS.active == 0
    # Steps are what bounds it, not this machine: one chunk or token after the click, it is over.
    assert took < 5
    run(page, "And again", new_tokens=3)
    wait_state(page, "done")


def test_a_closed_tab_frees_its_run(explore, open_page, address):
    watched = open_page(address)
    watched.page.wait_for_selector(".lc-canvas")
    run(watched.page, LONG, new_tokens=2000)
    wait_tokens(watched.page, 100)
    assert RUNS.active == 1
    watched.page.close()
    for _ in range(50):
        if RUNS.active == 0:
            break
        time.sleep(0.1)
    assert RUNS.active == 0


def test_what_a_user_writes_appears_as_text_everywhere(explore):
    page = explore()
    run(page, f"{EVIL} ${{window.__x=2}} {{{{x}}}} " * 3, new_tokens=6)
    wait_state(page, "done")
    page.wait_for_timeout(400)
    assert EVIL in page.inner_text(".lc-words-body")
    page.locator(".lc-words-body span >> nth=1").hover()
    assert page.evaluate("() => window.__x") is None
    assert page.locator(".lc img").count() == 0


def test_an_impossible_setting_says_why_and_loses_nothing(explore):
    page = explore()
    fill(page, "keep this text", budget=64)
    page.fill("#overlap input[type=number]", "14")
    page.fill("#span input[type=number]", "20")
    page.press("#span input[type=number]", "Enter")
    page.fill("#budget input[type=number]", "41")
    page.press("#budget input[type=number]", "Enter")
    page.wait_for_selector(".lc-preview-problem:visible", timeout=10_000)
    assert "not possible" in page.inner_text(".lc-preview-problem")
    page.click("#run")
    wait_state(page, "failed")
    assert "not possible" in page.inner_text(".lc-status")
    assert page.input_value("#prompt textarea") == "keep this text"
    assert "not possible" in page.inner_text("#run-problem")
    # What is wrong is said until something is changed.
    page.fill("#overlap input[type=number]", "0")
    page.wait_for_selector("#run-problem", state="hidden")
    run(page, "keep this text", new_tokens=3, budget=64)
    wait_state(page, "done")
    assert page.locator("#run-problem p").count() == 0


def test_ones_own_text_outlives_a_reload_and_the_list_of_samples_says_so(explore):
    page = explore()
    sample = page.input_value("#sample input")
    page.fill("#prompt textarea", "Keep these words of mine.")
    page.wait_for_function("() => document.querySelector('#sample input').value.includes('own')")
    reload(page)
    page.wait_for_function(
        "() => document.querySelector('#prompt textarea')?.value.includes('mine')"
    )
    page.wait_for_function("() => document.querySelector('#sample input').value.includes('own')")
    page.click("#sample input")
    page.get_by_role("option", name=sample).click()
    page.wait_for_function(
        "() => !document.querySelector('#prompt textarea')?.value.includes('mine')"
    )
    reload(page)
    page.wait_for_timeout(1500)
    assert page.input_value("#sample input") == sample


def test_a_damaged_link_keeps_what_is_good_and_says_what_it_left_out(explore):
    page = explore("?budget=300&span=eleven")
    page.wait_for_selector("#run-problem p")
    assert "eleven" in page.inner_text("#run-problem")
    assert page.input_value("#budget input[type=number]") == "300"
    assert page.input_value("#span input[type=number]") == "15"


def test_another_run_takes_the_place_of_the_one_that_goes_on(explore):
    page = explore()
    run(page, LONG, new_tokens=400)
    before = store(page, "s.run")
    fill(page, "A short one.", new_tokens=5)
    page.click("#run")
    page.wait_for_function(f"(before) => {STORE}.run !== before", arg=before)
    wait_state(page, "done")
    assert store(page, "s.setup.promptTokens") < 20
    wait_idle(page)


def test_a_slider_previews_the_pattern_before_any_run(explore):
    page = explore()
    page.wait_for_function("() => !!document.querySelector('.lc-preview-facts dd')")
    remembered = page.inner_text(".lc-preview-facts div:nth-child(2) dd")
    picture = "document.querySelector('.lc-preview-picture').toDataURL()"
    before = page.evaluate(picture)
    page.fill("#span input[type=number]", "5")
    page.press("#span input[type=number]", "Enter")
    page.wait_for_function(f"(before) => {picture} !== before", arg=before)
    now = page.inner_text(".lc-preview-facts div:nth-child(2) dd")
    assert int(now.replace(",", "")) > int(remembered.replace(",", ""))
    assert store(page, "s.setup.origin") == "recorded"


def test_typing_a_number_and_links_beyond_the_sliders_are_no_errors(explore):
    page = explore("?budget=20&span=8&overlap=6")
    page.wait_for_selector(".lc-preview-problem:visible")
    assert "Budget = 20 is not possible" in page.inner_text(".lc-preview-problem")
    page.click("#budget input[type=number]")
    page.keyboard.press("Control+A")
    page.keyboard.type("128", delay=120)
    page.wait_for_selector(".lc-preview-problem", state="hidden")
    assert "asked 128" in page.inner_text(".lc-preview-facts")
    assert page.input_value("#overlap input[type=number]") == "6"


def test_a_link_restores_settings_but_not_the_text(explore):
    page = explore()
    fill(page, "a private text", budget=100)
    page.click("#copy-link")
    page.wait_for_function("() => location.search.includes('budget=100')")
    assert "private" not in page.url
    again = explore(page.url.split("/")[-1])
    again.wait_for_function("() => document.querySelector('#budget input').value === '100'")
    page.check("#link-text input")
    page.click("#copy-link")
    page.wait_for_function("() => location.search.includes('private')")
    again = explore(page.url.split("/")[-1])
    again.wait_for_function(
        "() => document.querySelector('#prompt textarea').value === 'a private text'"
    )
    assert "from the link" in again.inner_text("#link-said")


def test_two_people_at_once_have_runs_of_their_own(explore):
    one, two = explore(), explore()
    run(one, "The sea was calm. " * 20, new_tokens=12)
    run(two, "A recipe for bread: " * 20, new_tokens=12)
    wait_state(one, "done")
    wait_state(two, "done")
    assert "sea was calm" in one.inner_text(".lc-words-body")
    assert "recipe for bread" in two.inner_text(".lc-words-body")
    assert store(one, "s.run") != store(two, "s.run")


def test_reading_gives_every_word_a_loss(explore):
    page = explore()
    page.click("text=Only read it")
    run(page, LONG[:600], budget=64)
    wait_state(page, "done")
    assert store(page, "s.figures.perplexity") > 1
    assert store(page, "Array.from(s.nll.slice(1, s.length)).every((x) => x > 0)")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440, 2560])
def test_no_screen_scrolls_sideways(explore, theme, width):
    page = explore(f"?__theme={theme}", width=width, height=844)
    widths = page.evaluate("() => [document.documentElement.scrollWidth, innerWidth]")
    assert widths[0] <= widths[1]
    assert page.locator("#run").is_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious_on_the_whole_page(explore, theme):
    page = explore(f"?__theme={theme}")
    page.wait_for_function("() => !!document.querySelector('.lc-preview-facts dd')")
    page.click("text=More settings")
    found = Axe().run(page).response["violations"]
    bad = [
        (v["id"], v["nodes"][0]["target"], v["nodes"][0]["html"][:120])
        for v in found
        if v["impact"] in ("serious", "critical")
    ]
    assert not bad
