"""The live map before a run, by keyboard alone, and for those who do not see it."""

from __future__ import annotations

import pytest
from synthetic_feed import RUNS, made

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
