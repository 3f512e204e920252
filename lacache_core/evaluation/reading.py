"""Reading a text under a policy, measured stretch by stretch.

The loop is ``Engine.read`` and nothing else; perplexity and endless reading are both built from
what stands here. Knows nothing of where texts come from or how results are shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from threading import Event
from typing import Any

import numpy as np

from lacache_core.engine import Engine
from lacache_core.errors import InvalidSettingError
from lacache_core.evaluation.contenders import describe
from lacache_core.evaluation.progress import Meter
from lacache_core.plan import IntArray
from lacache_core.trace import FloatArray, StepEvent


@dataclass(frozen=True)
class Stretch:
    """Neighbouring tokens of a text that was read.

    Attributes
    ----------
    start, stop
        The tokens ``start <= t < stop`` whose losses count here. Token 0 has none, so the first
        stretch starts at 1.
    tokens
        How many were read in it: ``stop - start``, and token 0 in the first.
    perplexity, accumulated
        ``exp`` of the mean loss of these tokens, and of all tokens up to ``stop``.
    seconds
        Time of its forward passes and compactions.
    held, union
        Entries per layer, and distinct tokens held by any layer, at its end.
    kv_bytes
        Bytes of the entries held at its end.
    """

    start: int
    stop: int
    tokens: int
    perplexity: float
    accumulated: float
    seconds: float
    held: int
    union: int
    kv_bytes: int

    @property
    def ms_per_token(self) -> float:
        """Milliseconds per token."""
        return 1000 * self.seconds / self.tokens

    def row(self) -> dict[str, Any]:
        """The stretch as a row of a table."""
        return {**asdict(self), "ms_per_token": self.ms_per_token}


@dataclass(frozen=True)
class Reading:
    """A text read by one policy, as far as it got.

    Attributes
    ----------
    policy, label, settings
        Its name in the registry, in words, and its settings.
    budget
        Entries per layer; None: it has no budget.
    length
        Tokens of the text.
    stretches
        What was measured so far, in order.
    complete
        Whether all was read that was to be read.
    ended
        Why it ended before the text did, or never began; in a sentence, "" otherwise.
    """

    policy: str
    label: str
    settings: Mapping[str, Any]
    budget: int | None
    length: int
    stretches: tuple[Stretch, ...] = ()
    complete: bool = False
    ended: str = ""

    @property
    def tokens(self) -> int:
        """Tokens read."""
        return self.stretches[-1].stop if self.stretches else 0

    @property
    def perplexity(self) -> float:
        """Over all tokens read."""
        return self.stretches[-1].accumulated if self.stretches else float("nan")

    @property
    def tokens_per_second(self) -> float:
        """Over all tokens read."""
        seconds = sum(s.seconds for s in self.stretches)
        return sum(s.tokens for s in self.stretches) / seconds if seconds else float("nan")

    @property
    def held(self) -> int:
        """Entries per layer at the end."""
        return self.stretches[-1].held if self.stretches else 0

    @property
    def union(self) -> int:
        """Distinct tokens held by any layer at the end."""
        return self.stretches[-1].union if self.stretches else 0

    @property
    def kv_bytes(self) -> int:
        """Bytes of the entries held at the end."""
        return self.stretches[-1].kv_bytes if self.stretches else 0

    def row(self) -> dict[str, Any]:
        """The reading as a row of a table, without its stretches."""
        return {
            "policy": self.policy,
            "label": self.label,
            "budget": self.budget,
            "settings": dict(self.settings),
            "length": self.length,
            "tokens": self.tokens,
            "perplexity": self.perplexity,
            "tokens_per_second": self.tokens_per_second,
            "held": self.held,
            "union": self.union,
            "kv_bytes": self.kv_bytes,
            "complete": self.complete,
            "ended": self.ended,
        }


def latest(readings: Iterable[Reading]) -> Iterator[list[Reading]]:
    """All readings so far, each at its longest, whenever one of them has grown."""
    found: dict[tuple[str, int | None], Reading] = {}
    for reading in readings:
        found[reading.label, reading.budget] = reading
        yield list(found.values())


def new_reading(engine: Engine, length: int) -> Reading:
    """A reading that has not begun."""
    about = engine.description
    budget = about["settings"].get("budget")
    label = describe(engine.cache.policy)
    return Reading(about["policy"], label, about["settings"], budget, length)


def check_stretch(stretch: object, chunk: object) -> None:
    """Refuse sizes that are not whole numbers of 1 or more.

    Raises
    ------
    InvalidSettingError
        Naming the one that is wrong.
    """
    for name, value in (("stretch", stretch), ("chunk", chunk)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InvalidSettingError(name, value, "a whole number of tokens, 1 or more")


def read_on(
    engine: Engine,
    ids: IntArray,
    *,
    stretch: int,
    chunk: int = 1,
    cancel: Event | None = None,
    meter: Meter | None = None,
) -> Iterator[Reading]:
    """Read a text, and after every stretch tell what was measured so far.

    Parameters
    ----------
    ids
        ``int32[T]``, at least two tokens.
    stretch
        Tokens with a loss per stretch. One ends with the step that completes it, so it is longer
        when ``chunk`` does not divide it.
    chunk
        Tokens per step; see ``Engine.read``.
    cancel
        Once set, the reading ends; what was read of a stretch still counts.

    Yields
    ------
    Reading
        The same one every time, a stretch longer.
    """
    check_stretch(stretch, chunk)
    if len(ids) < 2:
        raise InvalidSettingError("text", f"{len(ids)} tokens", "at least two tokens long")
    reading, open_stretch = new_reading(engine, len(ids)), _Open()
    text: Any = ids  # an array of ids is a sequence of ids
    for event in engine.read(text, chunk=chunk, cancel=cancel):
        open_stretch.add(event)
        if meter is not None:
            meter.read(event.token_ids.size)
        if open_stretch.targets >= stretch:
            yield (reading := _grown(reading, open_stretch.close(engine)))
    if open_stretch.targets:
        yield _grown(reading, open_stretch.close(engine))


def _grown(reading: Reading, stretch: Stretch) -> Reading:
    complete = stretch.stop == reading.length
    return replace(reading, stretches=(*reading.stretches, stretch), complete=complete)


class _Open:
    """The stretch under way, and the sums over all before it."""

    def __init__(self) -> None:
        self._total, self._count = 0.0, 0  # of all losses so far
        self._start = self._stop = 1
        self._clear()

    def _clear(self) -> None:
        self._losses: list[FloatArray] = []
        self._tokens, self._seconds = 0, 0.0
        self._start = self._stop

    @property
    def targets(self) -> int:
        return self._stop - self._start

    def add(self, event: StepEvent) -> None:
        self._losses.append(event.nll[~np.isnan(event.nll)])
        self._tokens += event.token_ids.size
        self._seconds += event.seconds
        self._stop = event.seen

    def close(self, engine: Engine) -> Stretch:
        losses = np.concatenate(self._losses).astype(np.float64)
        self._total, self._count = self._total + float(losses.sum()), self._count + losses.size
        with np.errstate(over="ignore"):  # a loss above 709 nats is an infinite perplexity
            perplexity, accumulated = np.exp([losses.mean(), self._total / self._count])
        done = Stretch(
            start=self._start,
            stop=self._stop,
            tokens=self._tokens,
            perplexity=float(perplexity),
            accumulated=float(accumulated),
            seconds=self._seconds,
            held=engine.cache.held,
            union=int(np.unique(engine.cache.text_positions).size),
            kv_bytes=engine.cache.held * engine.cache.bytes_per_entry,
        )
        self._clear()
        return done
