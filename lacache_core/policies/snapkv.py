"""SnapKV: the prompt is compressed once, by what its last queries look at, per key-value head.

Source: Li et al., *SnapKV: LLM Knows What You are Looking for Before Generation*, NeurIPS 2024
(arXiv 2404.14469); public code: FasterDecoding/SnapKV, ``snapkv_utils.py``. At the end of the
prompt the attention of its last ``window`` queries on everything before them is summed and pooled
over ``kernel`` neighbours; each head keeps the ``budget - window`` entries that score most, and the
window itself. A prompt that fits the budget is left alone, as in the public code. Where several
query heads share a key-value head, their attention is averaged (before it is pooled); of entries
with equal scores, which max pooling makes, the newer stay.

Budget semantics: the public code compresses the prompt to ``budget`` and lets everything generated
come on top. To compare at equal memory, here the chosen entries stay for ever and the newest
``window`` tokens slide behind them, so that no head holds more than ``budget`` entries once the
prompt has been read. Until then the prompt is held whole (``holds_prompt``): memory reaches the
length of the prompt, and how it is cut into chunks makes no difference.

What the prompt is: the engine's ``generate`` says it; elsewhere it is the first step. Where that is
less than the budget (a text read token by token, a short prompt), the first ``budget + 1`` tokens
are compressed as if they were the prompt.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal, get_args

import numpy as np

from lacache_core.errors import InvalidSettingError
from lacache_core.plan import CompactionPlan, IntArray
from lacache_core.policies.base import (
    Arrival,
    AttentionNeed,
    Planner,
    check_whole,
    lowest,
    one_row_per_head,
)
from lacache_core.trace import FloatArray

Pooling = Literal["avg", "max"]


@dataclass(frozen=True)
class SnapKV:
    """Keep of the prompt what its last queries look at; then the newest ``window`` tokens."""

    budget: int
    window: int = 32
    kernel: int = 5
    pooling: Pooling = "avg"

    name: ClassVar[str] = "snapkv"
    label: ClassVar[str] = "SnapKV"
    about: ClassVar[str] = "The tokens of the prompt that its end looks at, and the newest."

    def __post_init__(self) -> None:
        for field in ("budget", "window", "kernel"):
            check_whole(field, getattr(self, field), 1)
        if self.window >= self.budget:
            allowed = f"less than the budget {self.budget}, for the prompt needs room beside it"
            raise InvalidSettingError("window", self.window, allowed)
        if self.kernel % 2 == 0:
            raise InvalidSettingError("kernel", self.kernel, "an odd number, as it has a middle")
        if self.pooling not in get_args(Pooling):
            raise InvalidSettingError(
                "pooling", self.pooling, "one of " + ", ".join(get_args(Pooling))
            )

    @property
    def chosen(self) -> int:
        """Entries of the prompt that are chosen by their score."""
        return self.budget - self.window

    def bind(self, num_layers: int, num_heads: int = 1) -> Planner:
        """See ``Policy.bind``."""
        rows = one_row_per_head(num_layers, num_heads)
        return Planner(
            row_of_layer=rows,
            capacity=self.budget,
            cursor=0,  # and ``chosen`` once the prompt has been compressed
            reserve=self.window,
            plan=partial(_compress, self, rows),
            attention=AttentionNeed(partial(_window_queries, self), adds_up=True),
            holds_prompt=True,
        )

    def end(self, arrival: Arrival) -> int:
        """Tokens after which the prompt is compressed."""
        return max(arrival.prompt, self.budget + 1)


def _window_queries(policy: SnapKV, arrival: Arrival) -> range:
    """Those of the arriving tokens that are among the last ``window`` of the prompt."""
    stop = policy.end(arrival) - arrival.seen
    first = max(stop - policy.window, 0)
    return range(first, max(first, min(stop, arrival.arriving)))


def _compress(policy: SnapKV, rows: IntArray, arrival: Arrival) -> CompactionPlan | None:
    total, end = arrival.total, policy.end(arrival)
    if arrival.seen + arrival.arriving < end or total <= policy.budget:
        return None
    # 1. What is neither chosen nor among the newest ``window`` goes.
    sliding = np.arange(arrival.cursor, total - policy.window, dtype=np.int32)
    gone = np.broadcast_to(sliding, (rows.size, sliding.size))
    # 2. At the end of the prompt, what goes of it is told by the scores.
    if not arrival.cursor:
        before = end - policy.window
        scores = _pooled(arrival.seen_mass().reshape(rows.size, total)[:, :before], policy)
        gone = np.concatenate([lowest(scores, before - policy.chosen), gone[:, before:]], axis=1)
    return CompactionPlan.dropping(
        total, gone, rows, arrived=arrival.arriving, cursor=policy.chosen
    )


def _pooled(scores: FloatArray, policy: SnapKV) -> FloatArray:
    """``scores[P, n]`` pooled over neighbours; zeros beyond the ends count, as published."""
    side = policy.kernel // 2
    padded = np.pad(scores, ((0, 0), (side, side)))
    neighbours = np.lib.stride_tricks.sliding_window_view(padded, policy.kernel, axis=1)
    pooled: FloatArray = (
        neighbours.mean(axis=-1) if policy.pooling == "avg" else neighbours.max(axis=-1)
    )
    return pooled
