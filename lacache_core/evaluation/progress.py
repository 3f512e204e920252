"""How far a measurement is and how long it still takes. Counts tokens alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

_EVERY_SECONDS = 0.2


@dataclass(frozen=True)
class Progress:
    """A measurement under way.

    Attributes
    ----------
    done, total
        Tokens read, and to be read in all.
    remaining
        Seconds that it will still take at the speed so far; None while that cannot be told.
    what
        What is being done, in words.
    """

    done: int
    total: int
    remaining: float | None
    what: str

    @property
    def fraction(self) -> float:
        """0 to 1."""
        return min(1.0, self.done / self.total) if self.total else 1.0


Report = Callable[[Progress], None]


class Meter:
    """Counts tokens and reports, a few times a second at most.

    Parameters
    ----------
    total
        Tokens to be read in all.
    report
        Told how far it is; None: nobody.
    """

    def __init__(self, total: int, report: Report | None) -> None:
        self._total, self._report = total, report
        self._read = self._skipped = 0
        self._started = time.perf_counter()
        self._next = 0.0
        self.what = ""

    def begin(self, what: str) -> None:
        """Say what is being done from now on."""
        self.what, self._next = what, 0.0
        self.read(0)

    def read(self, tokens: int) -> None:
        """So many tokens more were read."""
        self._read += tokens
        self._tell()

    def skip(self, tokens: int) -> None:
        """So many tokens need not be read; they say nothing about the speed."""
        self._skipped += tokens
        self._tell()

    def _tell(self) -> None:
        now = time.perf_counter()
        done = self._read + self._skipped
        if self._report is None or (now < self._next and done < self._total):
            return
        self._next = now + _EVERY_SECONDS
        left = max(0, self._total - done)
        remaining = (now - self._started) / self._read * left if self._read else None
        self._report(Progress(done, self._total, remaining, self.what))
