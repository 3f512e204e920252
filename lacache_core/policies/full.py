"""Full cache: nothing is ever dropped.

The reference that every other policy is measured against (transformers' ``DynamicCache`` keeps the
same). Budget semantics: none; memory grows with the text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from lacache_core.plan import CompactionPlan
from lacache_core.policies.base import Arrival, Planner


@dataclass(frozen=True)
class Full:
    """Keep everything."""

    name: ClassVar[str] = "full"
    label: ClassVar[str] = "Full cache"
    about: ClassVar[str] = "Everything, without a limit: the cache grows with the text."

    def bind(self, num_layers: int, num_heads: int = 1) -> Planner:
        """See ``Policy.bind``; there is nothing to refuse."""
        return Planner(
            row_of_layer=np.zeros(num_layers, dtype=np.int32),
            capacity=None,
            cursor=0,
            reserve=0,
            plan=_keep_all,
        )


def _keep_all(arrival: Arrival) -> CompactionPlan | None:
    return None
