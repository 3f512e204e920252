"""What happened in a run: ``StepEvent`` while it happens, ``Trace`` once it is kept.

Numpy only: a trace can be made, saved, opened and questioned where no model is. The layout is
columnar. An evicted entry never returns, so one number per layer and token, the step at which it
was dropped, answers "what was held at step t?" for every t; that is kilobytes where dense frames
would be gigabytes.
"""

from __future__ import annotations

import io
import math
import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from lacache_core.errors import InvalidSettingError
from lacache_core.plan import GroupCompaction, IntArray

FloatArray = npt.NDArray[np.float32]
HELD = -1
"""In ``evicted_at``: the entry is still held."""
COMPACTION_COLUMNS = 7


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
    parts
        The same by part, as ``lacache_core.stopwatch`` names them; empty on a GPU, which does its
        work later than it is asked to.
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
    parts: Mapping[str, float] = field(default_factory=dict)


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
    manifest
        Settings, model, versions, texts: anything JSON can hold.
    evicted_by_head
        ``int32[L, H, T]``: the same as ``evicted_at`` by key-value head; None under policies that
        treat all heads of a layer alike.
    """

    token_ids: IntArray
    joined_at: IntArray
    nll: FloatArray
    evicted_at: IntArray
    seen: IntArray
    seconds: FloatArray
    compactions: IntArray
    frames: tuple[MassFrame, ...] = ()
    manifest: Mapping[str, Any] = field(default_factory=dict)
    evicted_by_head: IntArray | None = None

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
        """What the cache held after ``step``, in any head: ``bool[L, T]``.

        Raises
        ------
        InvalidSettingError
            When the run has no such step; -1 is before the first, when nothing was held.
        """
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
        held = self._held(self._finest, step)
        return np.nonzero(held)[-1].reshape(*held.shape[:-1], -1).astype(np.int32)

    def entries_at(self, step: int) -> int:
        """Entries per layer after ``step``; every layer, and every head, holds equally many."""
        return self.positions_at(step).shape[-1] if self.num_layers else 0

    @property
    def _finest(self) -> IntArray:
        return self.evicted_at if self.evicted_by_head is None else self.evicted_by_head

    @property
    def row_shape(self) -> tuple[int, ...]:
        """``(L,)``, or ``(L, H)`` where heads differ: what has a row in ``evicted_rows``."""
        return self._finest.shape[:-1]

    @property
    def evicted_rows(self) -> IntArray:
        """``evicted_at`` as finely as it is known, row by row: ``int32[L or L * H, T]``."""
        return self._finest.reshape(math.prod(self.row_shape), self.num_tokens)

    def _held(self, evicted_at: IntArray, step: int) -> npt.NDArray[np.bool_]:
        step = _index("step", step, -1, self.num_steps - 1)
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

    def until(self, steps: int) -> Trace:
        """The run as it was after its first ``steps`` steps."""
        steps = _index("steps", steps, 0, self.num_steps)
        tokens = int(self.seen[steps - 1]) if steps > 0 else 0

        def then(evicted_at: IntArray) -> IntArray:
            evicted = evicted_at[..., :tokens]
            return np.where(evicted < steps, evicted, HELD).astype(np.int32)

        by_head = self.evicted_by_head
        return Trace(
            token_ids=self.token_ids[:tokens],
            joined_at=self.joined_at[:tokens],
            nll=self.nll[:tokens],
            evicted_at=then(self.evicted_at),
            seen=self.seen[:steps],
            seconds=self.seconds[:steps],
            compactions=self.compactions[self.compactions[:, 0] < steps],
            frames=tuple(f for f in self.frames if f.step < steps),
            manifest=self.manifest,
            evicted_by_head=None if by_head is None else then(by_head),
        )

    @property
    def nbytes(self) -> int:
        """Bytes that the arrays take."""
        arrays: list[npt.NDArray[Any]] = [self.token_ids, self.joined_at, self.nll]
        arrays += [self.evicted_rows, self.seen, self.seconds, self.compactions]
        arrays += [frame.mass for frame in self.frames]
        return sum(array.nbytes for array in arrays)

    def save(self, file: str | Path | IO[bytes]) -> None:
        """Write as compressed ``.npz`` with a JSON manifest and a digest; no pickle."""
        from lacache_core.trace_file import write  # it needs this class

        write(self, file)

    @classmethod
    def load(cls, file: str | Path | IO[bytes], **limits: int) -> Trace:
        """Read what ``save`` wrote.

        Parameters
        ----------
        file
            A path, or an open file.
        limits
            ``max_bytes`` of the file and ``max_unpacked`` bytes of what is in it, where other
            limits should hold than those of ``trace_file``.

        Raises
        ------
        DamagedTraceError
            When the file is too large or not a trace, a part is missing or does not fit the others,
            or it was changed after it was saved.
        """
        from lacache_core.trace_file import read

        return read(file, **limits)

    def to_bytes(self) -> bytes:
        """The file that ``save`` writes, as bytes."""
        buffer = io.BytesIO()
        self.save(buffer)
        return buffer.getvalue()


def _index(name: str, value: object, least: int, most: int) -> int:
    """``value`` as an int within these limits."""
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        found = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        found = least - 1
    if not least <= found <= most:
        raise InvalidSettingError(name, value, f"a whole number from {least} to {most}")
    return found


def last_of_heads(by_head: IntArray) -> IntArray:
    """``evicted_at`` of layers from that of their heads: ``[L, H, T] -> [L, T]``."""
    still = (by_head == HELD).any(axis=1)
    last: IntArray = np.where(still, HELD, by_head.max(axis=1)).astype(np.int32)
    return last
