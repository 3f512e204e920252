"""StreamingLLM: attention sinks and the most recent tokens, the same in every layer.

Source: Xiao et al., *Efficient Streaming Language Models with Attention Sinks*, ICLR 2024
(arXiv 2309.17453), section 3.2; public code: mit-han-lab/streaming-llm. Budget semantics: sinks and
recent tokens together, so a layer never holds more than ``budget`` entries after a step.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, partial
from typing import ClassVar

import numpy as np

from lacache_core.errors import InvalidSettingError
from lacache_core.plan import CompactionPlan, GroupCompaction
from lacache_core.policies.base import Arrival, Planner, check_whole


@dataclass(frozen=True)
class StreamingLLM:
    """Keep the first ``num_sink`` tokens and the newest ``budget - num_sink``."""

    budget: int
    num_sink: int = 4

    name: ClassVar[str] = "streaming_llm"
    label: ClassVar[str] = "StreamingLLM"
    about: ClassVar[str] = "A window: the first few and the newest tokens, in every layer the same."

    def __post_init__(self) -> None:
        for field in ("budget", "num_sink"):
            check_whole(field, getattr(self, field), 0)
        if self.budget <= self.num_sink:
            raise InvalidSettingError(
                "budget", self.budget, f"{self.num_sink + 1} or more for `num_sink` {self.num_sink}"
            )

    def bind(self, num_layers: int, num_heads: int = 1) -> Planner:
        """See ``Policy.bind``."""
        return Planner(
            row_of_layer=np.zeros(num_layers, dtype=np.int32),
            capacity=self.budget,
            cursor=self.num_sink,
            reserve=self.budget - self.num_sink,
            plan=partial(_slide, self, num_layers),
        )


def _slide(policy: StreamingLLM, num_layers: int, arrival: Arrival) -> CompactionPlan | None:
    if arrival.held + arrival.arriving <= policy.budget:
        return None
    return _drop_oldest(policy, num_layers, arrival.held, arrival.arriving)


@lru_cache(maxsize=1024)
def _drop_oldest(policy: StreamingLLM, num_layers: int, held: int, arriving: int) -> CompactionPlan:
    start, total = policy.num_sink, held + arriving
    freed = total - policy.budget
    return CompactionPlan(
        length=total,
        start=start,
        stop=start + freed,
        kept=np.empty((1, 0), dtype=np.int32),
        row_of_layer=np.zeros(num_layers, dtype=np.int32),
        cursor=start,
        groups=(GroupCompaction(arriving, start, freed, 0, start, False),),
    )
