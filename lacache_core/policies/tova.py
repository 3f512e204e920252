"""TOVA: what the newest query looks at least goes, per layer.

Source: Oren et al., *Transformers are Multi-State RNNs*, EMNLP 2024 (arXiv 2401.06104); public
code: schwartz-lab-NLP/TOVA, ``src/tova_cache.py``. Over budget, each layer drops the entries with
the lowest attention of the last query, averaged over all heads; nothing else protects an entry,
neither age nor place. Budget semantics: a layer never holds more than ``budget`` entries after a
step.

One difference: the published code lets the newest token compete with the others; here it is always
kept, as in NVIDIA/kvpress, whose version an author of the paper reviewed.

The paper takes the prompt in one pass and drops at its end; so does a prompt that arrives in one
step here. In chunks, each chunk's last query decides, so that memory stays at the budget plus a
chunk.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np

from lacache_core.plan import CompactionPlan, IntArray
from lacache_core.policies.base import Arrival, AttentionNeed, Planner, check_whole, lowest


@dataclass(frozen=True)
class TOVA:
    """Keep the newest token and the ``budget - 1`` others that its query looks at most."""

    budget: int

    name: ClassVar[str] = "tova"
    label: ClassVar[str] = "TOVA"
    about: ClassVar[str] = "The tokens that the newest one looks at most."

    def __post_init__(self) -> None:
        check_whole("budget", self.budget, 1)

    def bind(self, num_layers: int, num_heads: int = 1) -> Planner:
        """See ``Policy.bind``."""
        rows = np.arange(num_layers, dtype=np.int32)
        return Planner(
            row_of_layer=rows,
            capacity=self.budget,
            cursor=0,
            reserve=1,
            plan=partial(_drop_lowest, self, rows),
            attention=AttentionNeed(_last_query, adds_up=False),
        )


def _last_query(arrival: Arrival) -> range:
    return range(arrival.arriving - 1, arrival.arriving)


def _drop_lowest(policy: TOVA, rows: IntArray, arrival: Arrival) -> CompactionPlan | None:
    total = arrival.total
    if total <= policy.budget:
        return None
    scores = arrival.seen_mass().mean(axis=1)[:, : total - 1]
    gone = lowest(scores, total - policy.budget)
    return CompactionPlan.dropping(total, gone, rows, arrived=arrival.arriving, cursor=0)
