"""Collecting the events of a run into a ``Trace`` while it happens.

Needs torch only where there is attention to keep.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lacache_core.plan import IntArray
from lacache_core.trace import (
    COMPACTION_COLUMNS,
    HELD,
    FloatArray,
    MassFrame,
    StepEvent,
    Trace,
    last_of_heads,
)

MAX_FRAME_BYTES = 64 << 20


class TraceBuilder:
    """Collects ``StepEvent`` after ``StepEvent`` into a ``Trace``.

    Parameters
    ----------
    row_of_layer
        ``int32[L]``: which pattern (row of ``StepEvent.dropped``) each layer follows; or
        ``int32[L, H]`` where the heads of a layer follow patterns of their own.
    max_frames, max_frame_bytes
        How many attention frames, and how many bytes of them, to keep at most; when there are more,
        every second one goes and from then on only every second one is taken, so they stay evenly
        spread.
    """

    def __init__(
        self,
        row_of_layer: IntArray,
        *,
        max_frames: int = 512,
        max_frame_bytes: int = MAX_FRAME_BYTES,
    ) -> None:
        self._row_of_layer = np.asarray(row_of_layer, dtype=np.int32)
        self._patterns = int(self._row_of_layer.max()) + 1
        self._max_frames, self._max_frame_bytes = max_frames, max_frame_bytes
        self._frame_bytes = 0
        self._frame_stride = 1
        self._frames: list[MassFrame] = []
        self._evicted = np.empty((self._patterns, 0), dtype=np.int32)
        self._tokens: list[IntArray] = []
        self._nll: list[FloatArray] = []
        self._joined: list[IntArray] = []
        self._seen: list[int] = []
        self._seconds: list[float] = []
        self._compactions: list[tuple[int, ...]] = []
        self.seconds_by_part: dict[str, float] = {}

    @property
    def num_steps(self) -> int:
        return len(self._seen)

    @property
    def nbytes(self) -> int:
        """About how much memory the run takes so far."""
        # The lists hold Python objects.
        per_token, per_compaction, per_step = 3 * 4, 8 * 32, 2 * 128
        return (
            self._evicted.nbytes
            + self._frame_bytes
            + per_token * (self._seen[-1] if self._seen else 0)
            + per_compaction * len(self._compactions)
            + per_step * len(self._seen)
        )

    def add(self, event: StepEvent) -> None:
        """Take in the next event of the run; events come in order."""
        step, arriving = event.step, event.token_ids.size
        if step != len(self._seen):
            raise ValueError(f"event {step} came where event {len(self._seen)} was due")
        self._tokens.append(event.token_ids)
        self._nll.append(event.nll)
        self._joined.append(np.full(arriving, step, dtype=np.int32))
        self._seen.append(event.seen)
        self._seconds.append(event.seconds)
        for part, seconds in event.parts.items():
            self.seconds_by_part[part] = self.seconds_by_part.get(part, 0.0) + seconds
        self._reserve(event.seen)
        np.put_along_axis(self._evicted, event.dropped.astype(np.int64), step, axis=1)
        before = event.seen - arriving
        self._compactions.extend(
            (step, before + g.arrived, g.start, g.width, g.kept, g.cursor, int(g.restart))
            for g in event.groups
        )
        if event.mass is not None and step % self._frame_stride == 0:
            self._frames.append(MassFrame(step, _in_half(event.mass)))
            self._frame_bytes += self._frames[-1].mass.nbytes
            self._thin()

    def _thin(self) -> None:
        """Keep frames within their limits; the first one always stays."""
        while len(self._frames) > 1 and (
            len(self._frames) > self._max_frames or self._frame_bytes > self._max_frame_bytes
        ):
            self._frame_stride *= 2
            self._frames = [f for f in self._frames if f.step % self._frame_stride == 0]
            self._frame_bytes = sum(f.mass.nbytes for f in self._frames)

    def _reserve(self, tokens: int) -> None:
        have = self._evicted.shape[1]
        if tokens > have:
            grown = np.full((self._patterns, max(tokens, 2 * have, 256)), HELD, dtype=np.int32)
            grown[:, :have] = self._evicted
            self._evicted = grown

    def build(self, manifest: Mapping[str, Any] | None = None) -> Trace:
        """The run so far; the builder can go on."""
        tokens = self._seen[-1] if self._seen else 0
        none = np.empty(0, dtype=np.int32)
        evicted = self._evicted[:, :tokens][self._row_of_layer]
        by_head = evicted if evicted.ndim == 3 else None
        return Trace(
            token_ids=np.concatenate([none, *self._tokens]).astype(np.int32),
            joined_at=np.concatenate([none, *self._joined]),
            nll=np.concatenate([none.astype(np.float32), *self._nll]),
            evicted_at=evicted if by_head is None else last_of_heads(by_head),
            seen=np.array(self._seen, dtype=np.int32),
            seconds=np.array(self._seconds, dtype=np.float32),
            compactions=np.array(self._compactions, dtype=np.int32).reshape(-1, COMPACTION_COLUMNS),
            frames=tuple(self._frames),
            evicted_by_head=by_head,
            manifest=dict(manifest or {}),
        )


def _in_half(mass: FloatArray) -> NDArray[np.float16]:
    """The same in float16; numpy takes fifty nanoseconds for each number below ``2**-14``."""
    import torch

    half: NDArray[np.float16] = torch.tensor(mass, dtype=torch.float16).numpy()
    return half
