"""The menu of the pages, and that parts of the app work on a page below another address."""

from __future__ import annotations

import gradio as gr
import pytest
from recorded_page import DRAWN, ask, shown
from served import serving

from app import main
from app.components.live_map import live_map_of
from app.recorded import recordings
from app.runs import RUNS

pytestmark = pytest.mark.browser
MENU = ".nav-holder nav a"


def another(demo):
    gr.HTML("<h1>Another page</h1>")
    live_map_of(RUNS, elem_id="live-map")


@pytest.fixture(scope="module")
def address():
    """The app with one more page."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(main.PAGES, "Another", another)
        with serving() as url:
            yield url


def names(page):
    return [link.inner_text() for link in page.locator(MENU).all()]


@pytest.mark.parametrize("theme, dark", [("light", False), ("dark", True)])
def test_every_page_names_all_and_a_theme_goes_along(visit, theme, dark):
    page = visit(f"?__theme={theme}")
    wanted = ["Explore", *main.PAGES]
    assert names(page) == wanted
    page.click(f"{MENU}:text-is('Another')")
    page.wait_for_function(DRAWN)
    assert page.inner_text("h1") == "Another page" and f"__theme={theme}" in page.url
    assert page.evaluate("document.body.classList.contains('dark')") is dark
    assert names(page) == wanted and page.inner_text(f"{MENU}.active") == "Another"
    page.click(f"{MENU}:text-is('Explore')")
    page.wait_for_selector("#run")
    assert f"__theme={theme}" in page.url


def test_recordings_open_on_a_page_below_too(visit):
    page = visit("another")
    page.click(".lc-versus-card >> nth=1")
    shown(page, recordings()[1][1].manifest["title"])
    assert ask(page, "s.setup.policy") == "streaming_llm"


@pytest.mark.parametrize("width, height", [(390, 844), (1440, 900), (2560, 1440)])
def test_the_menu_is_at_the_top_and_lies_over_nothing(visit, width, height):
    page = visit(width=width, height=height)
    title = page.locator("h1").bounding_box()
    for link in page.locator(MENU).all():
        box = link.bounding_box()
        assert box["y"] >= 0 and box["y"] + box["height"] < 90
        assert box["x"] >= 0 and box["x"] + box["width"] <= width
        apart = box["x"] > title["x"] + 250 or box["y"] + box["height"] <= title["y"]
        assert apart and (width > 800 or box["height"] >= 40)
