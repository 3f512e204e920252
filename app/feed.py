"""A run as messages for the browser while it happens: docs/live-map.md is the contract.

Step events go in, small JSON objects come out: a snapshot first, then deltas that carry only what
is new. At any moment what was told so far can be had as a trace. Knows nothing of Gradio.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from app.snapshot import (
    Message,
    as_text,
    mass_bytes,
    mass_message,
    parts_told,
    seconds_per_token,
    snapshot,
)
from lacache_core.plan import IntArray
from lacache_core.policies import policy_settings
from lacache_core.settings import RunSettings
from lacache_core.trace import StepEvent, Trace
from lacache_core.trace_builder import TraceBuilder

__all__ = ["Message", "RunFeed", "RunInfo", "as_text", "goes_on", "mass_bytes", "notice"]

_GOING = ("loading", "running")
MAX_FRAME_BYTES = 8_000_000  # of attention that is kept of a run


@dataclass(frozen=True, eq=False)
class RunInfo:
    """What is known of a run before its first step is told.

    Attributes
    ----------
    row_of_layer
        ``int32[L]``: which pattern each layer follows; ``int32[L, H]`` where heads differ.
    capacity
        Entries per layer that are held at most; None when there is no limit.
    reserve
        Newest entries that are never dropped.
    bytes_per_entry, full_bytes_per_entry
        Bytes of one entry in all layers: as this cache stores it, and as a plain one would.
    prompt_tokens
        Tokens of the given text.
    about
        What else the engine says of itself, for the trace's manifest.
    """

    row_of_layer: IntArray
    capacity: int | None
    reserve: int
    bytes_per_entry: int
    full_bytes_per_entry: int
    prompt_tokens: int
    about: Mapping[str, Any] = field(default_factory=dict)


class RunFeed:
    """Collects a run's events and hands them out as messages.

    Parameters
    ----------
    run
        The run's id.
    settings, info
        What was asked for, and what the engine made of it.
    label
        The policy's name for people.
    token_strings
        What the next tokens of the text add to it, for showing; called for each of them once.
    started
        When the run began, by ``time.perf_counter``.
    """

    def __init__(
        self,
        run: str,
        settings: RunSettings,
        info: RunInfo,
        label: str,
        token_strings: Callable[[Sequence[int]], list[str]],
        started: float,
    ) -> None:
        self.run = run
        self._lock = threading.RLock()  # a browser may ask for a snapshot at any moment
        self._settings, self._info, self._label = settings, info, label
        self._token_strings = token_strings
        self._builder = TraceBuilder(info.row_of_layer, max_frame_bytes=MAX_FRAME_BYTES)
        self._seq = -1
        self._text = ""
        self._tokens: list[str] = []
        self._pending: list[StepEvent] = []
        self._newest: StepEvent | None = None
        self._mass: Message | None = None
        self._state: Message = {"name": "running", "message": ""}
        self._stop_reason = ""
        self._figures = _Figures(info, started)
        self._sending = 0.0

    def add(self, event: StepEvent) -> None:
        """Take in the next event."""
        with self._lock:
            self._builder.add(event)
            self._figures.add(event)
            self._pending.append(event)
            self._newest = event

    def sent(self, seconds: float) -> None:
        """Say how long the run waited for a message to be made and taken."""
        with self._lock:
            self._sending += seconds

    def message(self, name: str = "running", text: str = "", stop_reason: str = "") -> Message:
        """The next message: what came since the last one, and the state of the run."""
        with self._lock:
            self._stop_reason = stop_reason
            self._state = {"name": name, "message": text, "reason": stop_reason}
            first = self._seq < 0
            steps = [self._step(event) for event in self._pending]
            added = "".join(event.text for event in self._pending)
            self._text += added
            self._pending = []
            mass = self._mass_message()
            self._seq += 1
            if first:
                return self.snapshot()
            return {
                "kind": "delta",
                "run": self.run,
                "seq": self._seq,
                "steps": steps,
                "text": added,
                "mass": mass,
                "figures": self._told_figures(),
                "state": self._state,
            }

    def snapshot(self) -> Message:
        """All that has been told so far, as one message with the number of the last one."""
        with self._lock:
            settings, info = self._settings, self._info
            written = settings.max_new_tokens - 1 if settings.mode == "generate" else 0
            return snapshot(
                self._told(),
                run=self.run,
                seq=self._seq,
                state=self._state,
                figures=self._told_figures(),
                row_of_layer=info.row_of_layer,
                mass=self._mass,
                expected=info.prompt_tokens + written,
            )

    def trace(self) -> Trace:
        """All that has been told so far, as a trace that can be saved and opened again."""
        with self._lock:
            return self._told()

    @property
    def nbytes(self) -> int:
        """About how much memory the run takes."""
        return self._builder.nbytes

    def _told(self) -> Trace:
        told, tokens = self._builder.build(), len(self._tokens)
        steps = int(told.joined_at[tokens - 1]) + 1 if tokens else 0
        return replace(told.until(steps), manifest=self._manifest())

    def _manifest(self) -> dict[str, Any]:
        settings, info = self._settings, self._info
        bounded = info.capacity is not None
        # The engine names a local folder without saying where it lies, and so does a manifest.
        model = info.about.get("model", settings.model)
        return {
            **info.about,
            "policy": settings.policy,
            "label": self._label,
            "model": model,
            "mode": settings.mode,
            "settings": {**settings.model_dump(exclude={"prompt"}), "model": model},
            "prompt_tokens": info.prompt_tokens,
            "tokens": list(self._tokens),
            "text": self._text,
            "budget": settings.budget if bounded else None,
            "effective_budget": info.capacity,
            "num_sink": settings.num_sink if "num_sink" in policy_settings(settings.policy) else 0,
            "reserve": info.reserve,
            "bytes_per_entry": info.bytes_per_entry,
            "full_bytes_per_entry": info.full_bytes_per_entry,
            "stop_reason": self._stop_reason,
            "seconds_by_part": self._seconds_by_part(),
        }

    def _seconds_by_part(self) -> dict[str, float]:
        parts = self._builder.seconds_by_part
        return {**parts, "sending": self._sending} if parts else {}

    def _told_figures(self) -> Message:
        """The figures; once the run is over, also where its time went."""
        if self._state["name"] in _GOING:
            return self._figures.values()
        return {**self._figures.values(), "parts": parts_told(self._seconds_by_part())}

    def _step(self, event: StepEvent) -> Message:
        ids = event.token_ids.tolist()
        strings = self._token_strings(ids)
        self._tokens += strings
        return {
            "n": event.step,
            "t": strings,
            "i": ids,
            "l": [None if np.isnan(x) else round(float(x), 3) for x in event.nll],
            "d": event.dropped.tolist(),
            "g": [
                [g.arrived, g.start, g.width, g.kept, g.cursor, int(g.restart)]
                for g in event.groups
            ],
        }

    def _mass_message(self) -> Message | None:
        newest = self._newest
        if newest is None or newest.mass is None:
            return None
        if self._mass is not None and self._mass["step"] == newest.step:
            return None
        self._mass = mass_message(newest.step, newest.mass)
        return self._mass


class _Figures:
    """The numbers that are shown above the map, kept up to date step by step."""

    def __init__(self, info: RunInfo, started: float) -> None:
        self._info = info
        self._patterns = int(info.row_of_layer.max()) + 1
        self._gone = np.zeros(0, dtype=np.int32)  # how many patterns dropped each token
        self._started = self._last = started
        self._first_token: float | None = None
        self._tokens_after_first = 0
        self._spent = 0.0  # by the steps of those tokens themselves
        self._loss, self._losses = 0.0, 0
        self._seen = self._held = self._union = 0

    def add(self, event: StepEvent) -> None:
        self._last = time.perf_counter()
        if self._first_token is None:
            if event.next_token is not None or event.phase == "read":
                self._first_token = self._last
        else:
            self._tokens_after_first += event.token_ids.size
            self._spent += event.seconds
        if event.seen > self._gone.size:
            grown = np.zeros(max(event.seen, 2 * self._gone.size), dtype=np.int32)
            grown[: self._gone.size] = self._gone
            self._gone = grown
        self._union += event.token_ids.size
        dropped, patterns = np.unique(event.dropped, return_counts=True)
        self._gone[dropped] += patterns.astype(np.int32)
        self._union -= int((self._gone[dropped] == self._patterns).sum())
        known = event.nll[~np.isnan(event.nll)]
        self._loss += float(known.sum(dtype=np.float64))
        self._losses += known.size
        self._seen, self._held = event.seen, event.held

    def values(self) -> Message:
        first = self._first_token
        elapsed = self._last - first if first is not None else 0.0
        return {
            "seen": self._seen,
            "held": self._held,
            "union": self._union,
            "kvBytes": self._held * self._info.bytes_per_entry,
            "fullBytes": self._seen * self._info.full_bytes_per_entry,
            "tokensPerSecond": round(self._tokens_after_first / elapsed, 2) if elapsed else None,
            "firstTokenSeconds": None if first is None else round(first - self._started, 3),
            "secondsPerToken": seconds_per_token(self._spent, self._tokens_after_first),
            "perplexity": (
                round(float(np.exp(self._loss / self._losses)), 4) if self._losses else None
            ),
        }


def notice(name: str, text: str, run: str | None = None) -> Message:
    """A message about the state alone, before a run has taken a step or where there is none."""
    of = {} if run is None else {"run": run}
    return {"kind": "notice", **of, "state": {"name": name, "message": text}}


def goes_on(message: Message) -> bool:
    """Whether there is more to come of a run after this message."""
    return message["state"]["name"] in _GOING
