"""Where a step's time goes: parts of the library report to the stopwatch that is running, if any.

Parts exclude each other: while one is timed inside another, the outer one's time stands still, so
that all parts add up to the time that passed. What a GPU has been asked to do and has not done yet
is not seen; only on a CPU do the parts say what each of them cost.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

PARTS = {
    "model": "Model",
    "attention": "Attention",
    "update": "Storing",
    "planning": "Planning",
    "compaction": "Compaction",
    "observing": "Observing",
    "sampling": "Loss and choice",
    "sending": "Sending",
}
"""Every part by its name, with its name for people."""


class Stopwatch:
    """Seconds by part.

    Attributes
    ----------
    seconds
        What each part took so far; parts that did not occur are missing.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._part: str | None = None
        self._since = 0.0

    def turn_to(self, part: str | None) -> str | None:
        """Time this part from now on, or none; returns the one that was timed until now."""
        now = time.perf_counter()
        before = self._part
        if before is not None:
            self.seconds[before] = self.seconds.get(before, 0.0) + now - self._since
        self._part, self._since = part, now
        return before


_running: ContextVar[Stopwatch | None] = ContextVar("lacache_stopwatch", default=None)


@contextmanager
def stopwatch() -> Iterator[Stopwatch]:
    """Run a stopwatch that ``timed`` parts of this thread report to."""
    watch = Stopwatch()
    token = _running.set(watch)
    try:
        yield watch
    finally:
        watch.turn_to(None)
        _running.reset(token)


class timed:  # noqa: N801 - used like a function
    """Count what happens inside as this part, if a stopwatch is running.

    A class, since a step comes by here a hundred times.
    """

    __slots__ = ("_before", "_part", "_watch")

    def __init__(self, part: str) -> None:
        self._part = part

    def __enter__(self) -> None:
        self._watch = _running.get()
        if self._watch is not None:
            self._before = self._watch.turn_to(self._part)

    def __exit__(self, *_: object) -> None:
        if self._watch is not None:
            self._watch.turn_to(self._before)
