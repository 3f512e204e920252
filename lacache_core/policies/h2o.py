"""H2O: heavy hitters by accumulated attention, and the most recent tokens, per key-value head.

Source: Zhang et al., *H2O: Heavy-Hitter Oracle for Efficient Generative Inference of Large Language
Models*, NeurIPS 2023 (arXiv 2306.14048), algorithm 1; public code: FMInference/H2O,
``h2o_hf/utils_real_drop``. Every query's attention, the prompt's included, is added to the score of
the entries it falls on. Over budget, each head drops the lowest scores among what is older than its
recent entries. Where several query heads share a key-value head, their attention is averaged (the
sum would rank alike).

Budget semantics: heavy hitters and recent tokens together, so no head ever holds more than
``budget`` entries after a step; the two halves of the paper are ``recent_share`` 0.5.

The paper takes the prompt in one pass and drops at its end; so does a prompt that arrives in one
step here. In chunks, entries are dropped after each chunk by the scores up to there, so that memory
stays at the budget plus a chunk: what a later chunk would have looked at may be gone by then.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from lacache_core.plan import CompactionPlan, IntArray
from lacache_core.policies.base import (
    Arrival,
    AttentionNeed,
    Planner,
    check_share,
    check_whole,
    lowest,
    one_row_per_head,
    share_of,
)


@dataclass(frozen=True)
class H2O:
    """Keep the newest ``recent_share`` of the budget and, of the rest, what was attended most."""

    budget: int
    recent_share: float = 0.5

    name: ClassVar[str] = "h2o"
    label: ClassVar[str] = "H2O"
    about: ClassVar[str] = "The tokens that got most attention so far, and the newest."

    def __post_init__(self) -> None:
        check_whole("budget", self.budget, 1)
        check_share("recent_share", self.recent_share)

    @property
    def recent(self) -> int:
        """The newest entries, which are kept whatever their score."""
        return share_of(self.budget, self.recent_share)

    def bind(self, num_layers: int, num_heads: int = 1) -> Planner:
        """See ``Policy.bind``."""
        rows = one_row_per_head(num_layers, num_heads)
        return Planner(
            row_of_layer=rows,
            capacity=self.budget,
            cursor=0,
            reserve=self.recent,
            plan=partial(_drop_lowest, self, rows),
            attention=AttentionNeed(_every_query, adds_up=True),
        )


def _every_query(arrival: Arrival) -> range:
    return range(arrival.arriving)


def _drop_lowest(policy: H2O, rows: IntArray, arrival: Arrival) -> CompactionPlan | None:
    total = arrival.total
    if total <= policy.budget:
        return None
    scores = arrival.seen_mass().reshape(rows.size, total)[:, : total - policy.recent]
    gone = lowest(scores, total - policy.budget)
    return CompactionPlan.dropping(total, gone, rows, arrived=arrival.arriving, cursor=0)
