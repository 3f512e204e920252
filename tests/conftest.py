"""What tests share: the embedded model, a browser, and threads that fit two cores."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

import browser as chromium  # noqa: E402


@pytest.fixture(scope="session")
def smollm2():
    """The embedded model, loaded once."""
    from lacache_core.models import load

    return load("smollm2-135m")


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """The Chromium that ``make test`` found; run by hand, one that is installed."""
    path = chromium.find(sys.executable)
    if path is None:
        pytest.fail("No Chromium: 'make test' installs one, or name its path in CHROMIUM=.")
    return path


@pytest.fixture(scope="session")
def browser(chromium_path):
    """One Chromium for all browser tests; each takes pages of its own."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium_path, args=chromium.FLAGS)
        yield running
        running.close()
