"""A run as messages for the browser: docs/live-map.md is the contract.

Step events go in, small JSON objects come out: a snapshot first, then deltas that carry only what
is new. Knows nothing of Gradio.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lacache_core.plan import IntArray
from lacache_core.policies import policy_settings
from lacache_core.settings import RunSettings
from lacache_core.trace import HELD, FloatArray, StepEvent
from lacache_core.trace_builder import TraceBuilder

Message = dict[str, Any]


def as_text(message: Message) -> str:
    """A message as it travels: JSON without spaces, on one line."""
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


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
    """

    row_of_layer: IntArray
    capacity: int | None
    reserve: int
    bytes_per_entry: int
    full_bytes_per_entry: int
    prompt_tokens: int


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
        Turns token ids into what is shown of each.
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
        self._builder = TraceBuilder(info.row_of_layer)
        self._seq = -1
        self._text = ""
        self._tokens: list[str] = []
        self._pending: list[StepEvent] = []
        self._newest: StepEvent | None = None
        self._mass: Message | None = None
        self._state: Message = {"name": "running", "message": ""}
        self._figures = _Figures(info, started)

    def add(self, event: StepEvent) -> None:
        """Take in the next event."""
        with self._lock:
            self._builder.add(event)
            self._figures.add(event)
            self._pending.append(event)
            self._newest = event

    def message(self, name: str = "running", text: str = "") -> Message:
        """The next message: what came since the last one, and the state of the run."""
        with self._lock:
            self._state = {"name": name, "message": text}
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
                "figures": self._figures.values(),
                "state": self._state,
            }

    def snapshot(self) -> Message:
        """All that has been told so far, as one message with the number of the last one."""
        with self._lock:
            told = self._builder.build()
            tokens = len(self._tokens)
            joined = told.joined_at[:tokens]
            steps = int(joined[-1]) + 1 if tokens else 0
            evicted = self._builder.evicted_rows(tokens)
            evicted = np.where(evicted < steps, evicted, HELD)
            compactions = told.compactions[told.compactions[:, 0] < steps]
            return {
                "kind": "snapshot",
                "run": self.run,
                "seq": self._seq,
                "layers": int(self._info.row_of_layer.shape[0]),
                "rowOfLayer": self._info.row_of_layer.tolist(),
                "setup": self._setup(),
                "steps": steps,
                "tokens": list(self._tokens),
                "ids": told.token_ids[:tokens].tolist(),
                "joinedAt": _packed(joined),
                "evictedAt": _packed(evicted),
                "nll": _packed(told.nll[:tokens]),
                "compactions": _packed(compactions),
                "text": self._text,
                "mass": self._mass,
                "figures": self._figures.values(),
                "state": self._state,
            }

    def _setup(self) -> Message:
        settings, info = self._settings, self._info
        bounded = info.capacity is not None
        generates = settings.mode == "generate"
        return {
            "policy": settings.policy,
            "label": self._label,
            "model": settings.model,
            "mode": settings.mode,
            "budget": settings.budget if bounded else None,
            "effectiveBudget": info.capacity,
            "numSink": settings.num_sink if "num_sink" in policy_settings(settings.policy) else 0,
            # A window is all reserve; only where something else is kept does the word say anything.
            "reserve": info.reserve if settings.policy == "lacache" else 0,
            "bytesPerEntry": info.bytes_per_entry,
            "fullBytesPerEntry": info.full_bytes_per_entry,
            "promptTokens": info.prompt_tokens,
            "expected": info.prompt_tokens + (settings.max_new_tokens - 1 if generates else 0),
        }

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
        self._mass = {
            "step": newest.step,
            "length": int(newest.mass.shape[-1]),
            "values": _packed(mass_bytes(newest.mass)),
        }
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
        self._loss, self._losses = 0.0, 0
        self._seen = self._held = self._union = 0

    def add(self, event: StepEvent) -> None:
        self._last = time.perf_counter()
        if self._first_token is None:
            if event.next_token is not None or event.phase == "read":
                self._first_token = self._last
        else:
            self._tokens_after_first += event.token_ids.size
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
            "perplexity": (
                round(float(np.exp(self._loss / self._losses)), 4) if self._losses else None
            ),
        }


def mass_bytes(mass: FloatArray) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Shares of attention as bytes on a log scale: 255 is all of it, 51 less is a tenth."""
    with np.errstate(divide="ignore"):
        value = 255 + 51 * np.log10(mass.astype(np.float64))
    out: np.ndarray[Any, np.dtype[np.uint8]] = np.clip(np.rint(value), 0, 255).astype(np.uint8)
    return out


def _packed(values: IntArray | FloatArray | np.ndarray[Any, Any]) -> str:
    """Base64 of the array's bytes, little-endian."""
    array = np.ascontiguousarray(values)
    return base64.b64encode(array.astype(array.dtype.newbyteorder("<")).tobytes()).decode("ascii")


def notice(name: str, text: str) -> Message:
    """A message about the state alone, before there is a run."""
    return {"kind": "notice", "state": {"name": name, "message": text}}
