"""Places for runs: so many go on at once, and whoever comes later waits in turn.

Gradio's own queue would do that too, but it says nothing to whoever waits, and what waits in it can
neither be stopped nor replaced. Knows nothing of runs.
"""

from __future__ import annotations

import threading

from lacache_core.errors import LaCacheError

MOST_AT_ONCE = 4
MOST_WAITING = 16
CALLS_AT_ONCE = MOST_AT_ONCE + MOST_WAITING + 4
"""What Gradio is told to let in: all of these, and a few that are refused with the reason."""


class NoPlaceError(LaCacheError):
    """So many wait already that one more is refused; says so in words."""


class Place:
    """One place in the line, given back at the end of its ``with`` block."""

    def __init__(self, places: Places, after: Place | None = None) -> None:
        self._places, self.after = places, after

    @property
    def ahead(self) -> int:
        """How many that are there must end before it is this one's turn; 0 when it is."""
        return self._places.ahead(self)

    def __enter__(self) -> Place:
        return self

    def __exit__(self, *_: object) -> None:
        self._places.leave(self)


class Places:
    """A line of whom the first ``at_once`` go on."""

    def __init__(self, at_once: int = MOST_AT_ONCE, waiting: int = MOST_WAITING) -> None:
        self.at_once = at_once
        self._most = at_once + waiting
        self._lock = threading.Lock()
        self._line: list[Place] = []

    def ask(self, after: Place | None = None) -> Place:
        """A place at the end of the line or, where one is about to be given back, that one.

        Raises
        ------
        NoPlaceError
            When as many wait as may.
        """
        with self._lock:
            if after in self._line:
                place = Place(self, after)
                self._line.insert(self._line.index(after) + 1, place)
                return place
            if len(self._line) >= self._most:
                raise NoPlaceError(
                    f"As many runs go on ({self.at_once}) and wait ({self._most - self.at_once}) "
                    "here as may. Please try again in a few minutes."
                )
            place = Place(self)
            self._line.append(place)
        return place

    def ahead(self, place: Place) -> int:
        """How many must end before it is the turn of this place."""
        with self._lock:
            # Who is about to give a place to another is not counted beside that one.
            leaving = [one.after for one in self._line]
            before = self._line[: self._line.index(place)]
            ahead = sum(one not in leaving for one in before) - self.at_once + 1
            return max(0, ahead, int(place.after is not None))

    def leave(self, place: Place) -> None:
        """Give a place back."""
        with self._lock:
            self._line.remove(place)
            for one in self._line:
                if one.after is place:
                    one.after = None


PLACES = Places()
"""The places of this process, for runs of the page and of scripts alike; a pair takes one."""
