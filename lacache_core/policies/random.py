"""Random: sinks, the most recent tokens, and a random sample of all others, layer by layer.

The floor that any idea about what to keep must beat; no paper, but a usual baseline, for example in
NVIDIA/kvpress (``random_press.py``). Every token has a random rank per layer, drawn from the seed;
over budget, each layer drops the lowest ranks among its old entries. What is held is therefore a
uniform sample of everything older than the recent tokens, and depends on the seed and the number of
tokens alone, not on how they arrive. Budget semantics: sinks, sample and recent tokens together, so
a layer never holds more than ``budget`` entries after a step.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from lacache_core.errors import InvalidSettingError
from lacache_core.plan import CompactionPlan, IntArray
from lacache_core.policies.base import (
    Arrival,
    Planner,
    check_share,
    check_whole,
    lowest,
    share_of,
)

Words = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Random:
    """Keep sinks, the newest ``recent_share`` of the rest of the budget, and a random sample."""

    budget: int
    num_sink: int = 4
    recent_share: float = 0.5
    seed: int = 0

    name: ClassVar[str] = "random"
    label: ClassVar[str] = "Random"
    about: ClassVar[str] = "The newest tokens, and older ones by chance: to compare with."

    def __post_init__(self) -> None:
        for field in ("budget", "num_sink", "seed"):
            check_whole(field, getattr(self, field), 0)
        check_share("recent_share", self.recent_share)
        if self.budget <= self.num_sink:
            raise InvalidSettingError(
                "budget", self.budget, f"{self.num_sink + 1} or more for `num_sink` {self.num_sink}"
            )

    @property
    def recent(self) -> int:
        """The newest entries, which are always kept."""
        return share_of(self.budget - self.num_sink, self.recent_share)

    def bind(self, num_layers: int, num_heads: int = 1) -> Planner:
        """See ``Policy.bind``."""
        rows = np.arange(num_layers, dtype=np.int32)
        return Planner(
            row_of_layer=rows,
            capacity=self.budget,
            cursor=self.num_sink,
            reserve=self.recent,
            plan=partial(_drop_lowest_ranks, self, rows),
        )


def _drop_lowest_ranks(policy: Random, rows: IntArray, arrival: Arrival) -> CompactionPlan | None:
    total, first = arrival.total, policy.num_sink
    if total <= policy.budget:
        return None
    old = arrival.positions()[:, first : total - policy.recent]
    gone = lowest(_ranks(policy.seed, rows, old), total - policy.budget) + first
    return CompactionPlan.dropping(
        total, gone.astype(np.int32), rows, arrived=arrival.arriving, cursor=first
    )


def _ranks(seed: int, rows: IntArray, text: IntArray) -> Words:
    """A random 64-bit number for every layer and text position: the same on every machine."""
    of_seed = _mixed(np.array([[seed]], dtype=np.uint64))
    of_layer = _mixed(of_seed + rows[:, None].astype(np.uint64))
    return _mixed(of_layer + text.astype(np.uint64))


def _mixed(values: Words) -> Words:
    """SplitMix64 (Steele et al., OOPSLA 2014): neighbouring numbers become unrelated ones."""
    z = values + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
