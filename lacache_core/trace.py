"""What happened in a run: ``StepEvent`` while it happens, ``Trace`` once it is kept.

Numpy only: a trace can be made, saved, opened and questioned where no model is. The layout is
columnar. An evicted entry never returns, so one number per layer and token, the step at which it
was dropped, answers "what was held at step t?" for every t; that is kilobytes where dense frames
would be gigabytes.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from lacache_core.errors import DamagedTraceError
from lacache_core.plan import GroupCompaction, IntArray

FloatArray = npt.NDArray[np.float32]
FORMAT = "lacache-trace-1"
HELD = -1
"""In ``evicted_at``: the entry is still held."""


@dataclass(frozen=True, eq=False)
class StepEvent:
    """One forward pass and the compaction that followed it.

    Attributes
    ----------
    step
        0, 1, 2, ... in a run.
    phase
        ``"prefill"`` (prompt in chunks), ``"decode"`` (a generated token) or ``"read"``.
    token_ids
        ``int32[q]``: the tokens that joined the cache in this step.
    nll
        ``float32[q]``: each joining token's negative log-probability given what came before it,
        in nats; NaN where it was not computed (the first token, and most of a prompt).
    seen, held
        Tokens seen and entries per layer, after the step.
    dropped
        ``int32[P, f]``: text positions that each of the ``P`` patterns dropped. Which layers (and
        heads, where they differ) follow a pattern is said once, by the planner's ``row_of_layer``.
    groups
        The group compactions of the step, in order.
    mass
        ``float32[L, n]`` or None: attention of the step's last query, mean over heads, on the ``n``
        entries that the step saw (those held before it and the joining ones, in text order); each
        layer sums to 1. What the step then dropped is still in it. ``float32[L, H, n]`` by
        key-value head where heads may hold different entries.
    next_token
        The token chosen after this step, or None (not generating, or still in the prompt).
    text
        What ``next_token`` adds to the text; "" while a character is incomplete.
    seconds
        Time of the forward pass, the choice of the next token and the compaction.
    """

    step: int
    phase: str
    token_ids: IntArray
    nll: FloatArray
    seen: int
    held: int
    dropped: IntArray
    groups: tuple[GroupCompaction, ...] = ()
    mass: FloatArray | None = None
    next_token: int | None = None
    text: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, eq=False)
class Compaction:
    """One group compaction on the clock of a run."""

    step: int
    seen: int
    start: int
    width: int
    kept: int
    cursor: int
    restart: bool


@dataclass(frozen=True, eq=False)
class MassFrame:
    """Attention of one step's last query, ``[L, n]`` or ``[L, H, n]``: see ``StepEvent.mass``."""

    step: int
    mass: npt.NDArray[np.float16]


@dataclass(frozen=True, eq=False)
class Trace:
    """A whole run, columnar.

    Attributes
    ----------
    token_ids, joined_at, nll
        ``[T]``: id of every token, the step in which it joined, its loss (NaN: not computed).
    evicted_at
        ``int32[L, T]``: the step at whose end the layer dropped the token; -1: still held. Where
        heads differ, a layer holds a token until its last head has dropped it.
    seen, seconds
        ``[steps]``: tokens seen after each step, and its time.
    compactions
        ``int32[n, 7]``: the columns of ``Compaction``.
    frames
        Attention of some steps.
    evicted_by_head
        ``int32[L, H, T]``: the same as ``evicted_at`` by key-value head; None under policies that
        treat all heads of a layer alike.
    manifest
        Settings, model, versions, texts: anything JSON can hold.
    """

    token_ids: IntArray
    joined_at: IntArray
    nll: FloatArray
    evicted_at: IntArray
    seen: IntArray
    seconds: FloatArray
    compactions: IntArray
    frames: tuple[MassFrame, ...] = ()
    evicted_by_head: IntArray | None = None
    manifest: Mapping[str, Any] = field(default_factory=dict)

    @property
    def num_layers(self) -> int:
        return int(self.evicted_at.shape[0])

    @property
    def num_tokens(self) -> int:
        return int(self.token_ids.shape[0])

    @property
    def num_steps(self) -> int:
        return int(self.seen.shape[0])

    def held_at(self, step: int) -> npt.NDArray[np.bool_]:
        """What the cache held after ``step``, in any head: ``bool[L, T]``."""
        return self._held(self.evicted_at, step)

    def share_at(self, step: int) -> FloatArray:
        """Share of a layer's heads that held each token after ``step``: ``float32[L, T]``."""
        if self.evicted_by_head is None:
            return self.held_at(step).astype(np.float32)
        share: FloatArray = self._held(self.evicted_by_head, step).mean(axis=1, dtype=np.float32)
        return share

    def positions_at(self, step: int) -> IntArray:
        """Text positions that each layer held after ``step``: ``int32[L, held]``.

        ``int32[L, H, held]`` where heads may hold different tokens.
        """
        evicted = self.evicted_at if self.evicted_by_head is None else self.evicted_by_head
        held = self._held(evicted, step)
        return np.nonzero(held)[-1].reshape(*held.shape[:-1], -1).astype(np.int32)

    def _held(self, evicted_at: IntArray, step: int) -> npt.NDArray[np.bool_]:
        gone = (evicted_at != HELD) & (evicted_at <= step)
        held: npt.NDArray[np.bool_] = (self.joined_at <= step) & ~gone
        return held

    def compaction_list(self) -> list[Compaction]:
        """The group compactions in order, with names instead of columns."""
        return [
            Compaction(step, seen, start, width, kept, cursor, bool(restart))
            for step, seen, start, width, kept, cursor, restart in self.compactions.tolist()
        ]

    def perplexity(self, start: int = 0, stop: int | None = None) -> float:
        """``exp`` of the mean loss of the tokens ``start <= t < stop`` that have one; else NaN."""
        losses = self.nll[start:stop].astype(np.float64)
        losses = losses[~np.isnan(losses)]
        return float(np.exp(losses.mean())) if losses.size else float("nan")

    def save(self, file: str | Path | IO[bytes]) -> None:
        """Write as compressed ``.npz`` with a JSON manifest; no pickle."""
        columns: dict[str, Any] = {name: getattr(self, name) for name in _COLUMNS}
        if self.evicted_by_head is not None:
            columns[BY_HEAD] = self.evicted_by_head
        np.savez_compressed(
            file,
            manifest=np.array(json.dumps({"format": FORMAT, **self.manifest})),
            frame_steps=np.array([f.step for f in self.frames], dtype=np.int32),
            frame_widths=np.array([f.mass.shape[-1] for f in self.frames], dtype=np.int32),
            frame_values=np.concatenate(
                [f.mass.ravel() for f in self.frames] or [np.empty(0, np.float16)]
            ),
            **columns,
        )

    @classmethod
    def load(cls, file: str | Path | IO[bytes]) -> Trace:
        """Read what ``save`` wrote.

        Raises
        ------
        DamagedTraceError
            When the file is not a trace, or a part is missing or does not fit the others.
        """
        try:
            with np.load(file, allow_pickle=False) as data:
                parts = {name: data[name] for name in data.files}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile, KeyError) as error:
            raise DamagedTraceError(f"This file cannot be read as a trace: {error}") from error
        return _assemble(cls, parts)

    def to_bytes(self) -> bytes:
        """The file that ``save`` writes, as bytes."""
        buffer = io.BytesIO()
        self.save(buffer)
        return buffer.getvalue()


_COLUMNS: dict[str, tuple[type, int]] = {
    "token_ids": (np.int32, 1),
    "joined_at": (np.int32, 1),
    "nll": (np.float32, 1),
    "evicted_at": (np.int32, 2),
    "seen": (np.int32, 1),
    "seconds": (np.float32, 1),
    "compactions": (np.int32, 2),
}
_FRAMES: dict[str, tuple[type, int]] = {
    "frame_steps": (np.int32, 1),
    "frame_widths": (np.int32, 1),
    "frame_values": (np.float16, 1),
}
COMPACTION_COLUMNS = 7
BY_HEAD = "evicted_by_head"
"""A part that only traces of policies have whose heads differ."""


def last_of_heads(by_head: IntArray) -> IntArray:
    """``evicted_at`` of layers from that of their heads: ``[L, H, T] -> [L, T]``."""
    still = (by_head == HELD).any(axis=1)
    last: IntArray = np.where(still, HELD, by_head.max(axis=1)).astype(np.int32)
    return last


def _assemble(cls: type[Trace], parts: dict[str, npt.NDArray[Any]]) -> Trace:
    """Check every part against the others, then build."""
    expected = {**_COLUMNS, **_FRAMES}
    if BY_HEAD in parts:
        expected[BY_HEAD] = (np.int32, 3)
    for name, (dtype, ndim) in expected.items():
        if name not in parts:
            raise DamagedTraceError(f"The trace has no part {name!r}.")
        if parts[name].dtype != dtype or parts[name].ndim != ndim:
            raise DamagedTraceError(f"The trace's part {name!r} has the wrong type or shape.")
    try:
        manifest = json.loads(str(parts["manifest"]))
        if manifest.pop("format") != FORMAT:
            raise ValueError(f"its format is not {FORMAT}")
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise DamagedTraceError(f"The trace's manifest cannot be read: {error}") from error

    tokens, steps = parts["token_ids"].shape[0], parts["seen"].shape[0]
    widths = parts["frame_widths"]
    layers = parts["evicted_at"].shape[0]
    by_head = parts.get(BY_HEAD)
    rows: tuple[int, ...] = (layers,) if by_head is None else by_head.shape[:2]
    in_frame = int(np.prod(rows))
    fits = {
        "joined_at": parts["joined_at"].shape == (tokens,)
        and _within(parts["joined_at"], 0, steps)
        and bool((np.diff(parts["joined_at"]) >= 0).all()),
        "nll": parts["nll"].shape == (tokens,),
        "evicted_at": parts["evicted_at"].shape[1] == tokens
        and _within(parts["evicted_at"], HELD, steps),
        "seconds": parts["seconds"].shape == (steps,),
        "compactions": parts["compactions"].shape[1] == COMPACTION_COLUMNS,
        "frame_steps": parts["frame_steps"].shape == widths.shape
        and _within(parts["frame_steps"], 0, steps),
        "frame_values": _within(widths, 0, tokens + 1)
        and int(widths.astype(np.int64).sum()) * in_frame == parts["frame_values"].shape[0],
        BY_HEAD: by_head is None
        or (
            by_head.shape == (layers, in_frame // max(layers, 1), tokens)
            and np.array_equal(last_of_heads(by_head), parts["evicted_at"])
        ),
    }
    for name, right in fits.items():
        if not right:
            raise DamagedTraceError(f"The trace's part {name!r} does not fit its other parts.")
    ends = np.cumsum(widths.astype(np.int64) * in_frame)
    values = np.split(parts["frame_values"], ends[:-1]) if len(widths) else []
    frames = tuple(
        MassFrame(int(step), flat.reshape(*rows, -1))
        for step, flat in zip(parts["frame_steps"], values, strict=True)
    )
    columns = {name: parts[name] for name in _COLUMNS}
    return cls(**columns, frames=frames, evicted_by_head=by_head, manifest=manifest)


def _within(values: IntArray, low: int, high: int) -> bool:
    return values.size == 0 or bool(values.min() >= low and values.max() < high)
