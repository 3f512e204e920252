"""The exported page: opened from a file, with no network, by a Chromium that knows no server."""

from __future__ import annotations

from dataclasses import replace

import pytest
from messages import messages

from app.offline import page as offline_page
from app.recorded import recordings
from app.snapshot import kept_snapshot

pytestmark = pytest.mark.browser
EVIL = "</script><img src=x onerror=window.__x=1>"
I = "document.getElementById('instrument').__lacache"  # noqa: E741


@pytest.fixture
def offline(browser, tmp_path):
    """Opens a trace as an exported page, which may ask for nothing and complain of nothing."""
    contexts, problems, requests = [], [], []

    def opened(trace, **options):
        file = tmp_path / "run.html"
        file.write_bytes(offline_page(kept_snapshot(trace, run="saved", origin="opened")))
        context = browser.new_context(offline=True, accept_downloads=True, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda e: problems.append(str(e)))
        page.on("console", lambda m: problems.append(m.text))
        page.on("request", lambda r: requests.append(r.url))
        page.goto(file.as_uri())
        page.wait_for_function(f"() => document.querySelector('.lc') && {I}.map.drawn > 0")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert problems == []
    assert {url.split(":")[0] for url in requests} <= {"file", "data", "blob"}


def test_it_draws_scrubs_and_changes_modes(offline):
    page = offline(recordings()[0][1])
    assert page.inner_text(".lc-chip") == "Opened run"

    def picture():
        page.wait_for_timeout(120)
        return page.evaluate(f"{I}.canvas.toDataURL()")

    seen = {picture()}
    for mode in ("attention", "holding", "when", "state"):
        page.click(f"[data-mode={mode}]")
        seen.add(picture())
    page.evaluate("document.querySelector('.lc-bar').focus()")
    page.keyboard.press("Home")
    seen.add(picture())
    assert page.evaluate(f"{I}.view.clock") == 0
    assert len(seen) == 5
    page.focus(".lc-canvas")
    page.keyboard.press("]")
    assert page.evaluate(f"{I}.view.clock") == int(recordings()[0][1].compactions[0, 0])
    assert "step" in page.inner_text(".lc-step")


def test_it_offers_what_works_without_a_server(offline, tmp_path):
    page = offline(recordings()[0][1])
    assert page.locator('.lc-toolbar .lc-button:text-is("Runs")').count() == 0
    assert page.locator("text=Take the tour").count() == 0
    page.click('.lc-toolbar .lc-button:text-is("Save")')
    kinds = page.evaluate(
        "[...document.querySelectorAll('[data-kind]')].map((n) => n.dataset.kind)"
    )
    assert kinds == ["png", "csv"]
    with page.expect_download() as waiting:
        page.click("[data-kind=csv]")
    assert waiting.value.suggested_filename.endswith(".csv")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_follows_the_system_s_light_and_dark(offline, scheme):
    page = offline(recordings()[1][1], color_scheme=scheme)
    panel = page.evaluate(
        "getComputedStyle(document.querySelector('.lc')).getPropertyValue('--lc-panel').trim()"
    )
    assert (panel == "#ffffff") == (scheme == "light")


def test_nothing_that_somebody_wrote_is_interpreted(offline):
    trace = messages(batch=5)[1].trace()
    words = {"tokens": [EVIL] * trace.num_tokens, "text": EVIL, "title": EVIL, "about": EVIL}
    page = offline(replace(trace, manifest={**trace.manifest, **words, "label": EVIL}))
    page.wait_for_timeout(400)
    assert page.evaluate("window.__x") is None and page.locator("img").count() == 0
    assert EVIL in page.inner_text(".lc-words-body") and EVIL in page.inner_text(".lc-caption")
    assert page.title().startswith(EVIL)


def test_the_policy_of_the_page_holds(browser, tmp_path):
    """A script or a request that somebody slips in does nothing, whatever else goes wrong."""
    file = tmp_path / "run.html"
    text = offline_page(kept_snapshot(recordings()[0][1], run="saved", origin="opened")).decode()
    slipped = "<script>window.__x = 1</script><img src=x onerror='window.__x = 2'>"
    file.write_text(text.replace("<main>", f"{slipped}<main>"))
    context = browser.new_context(offline=True)
    page = context.new_page()
    page.goto(file.as_uri())
    page.wait_for_function("() => document.querySelector('.lc-chip')")
    assert page.evaluate("window.__x") is None
    assert page.evaluate("fetch('http://127.0.0.1:9/').then(() => 1, () => 0)") == 0
    context.close()


@pytest.mark.parametrize("width", [390, 2560])
def test_it_fits_the_screen(offline, width):
    page = offline(recordings()[0][1], viewport={"width": width, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
