"""Waiting until the app runs nothing any more."""

from app.runner import RUNS


def wait_idle(page, seconds=10):
    """A run ends on the server a moment after the last message of it."""
    for _ in range(10 * seconds):
        if RUNS.active == 0:
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"{RUNS.active} runs go on")
