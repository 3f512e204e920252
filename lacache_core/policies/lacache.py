"""LaCache: different tokens in different layers, compacted again and again.

Source: Shi et al., *LaCache: Ladder-Shaped KV Caching for Efficient Long-Context Modeling of Large
Language Models*, ICML 2025 (arXiv 2507.14204), section 3; public code: GATECH-EIC/LaCache. The rule
itself stands in ``lacache_core.ladder``. Budget semantics: the length of a layer swings between
``E - R`` and ``E`` with ``E = budget + floor(R / 2)``, so its mean is about ``budget``; with slack
it swings further down, never further up.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from typing import ClassVar

from lacache_core.ladder import Ladder, LadderConfig
from lacache_core.plan import CompactionPlan
from lacache_core.policies.base import Arrival, Planner


@dataclass(frozen=True)
class LaCache(LadderConfig):
    """The ladder as a policy; its settings are those of ``LadderConfig``."""

    name: ClassVar[str] = "lacache"
    label: ClassVar[str] = "LaCache"
    about: ClassVar[str] = "A ladder: of old text, different tokens in different layers."

    @classmethod
    def from_config(cls, config: LadderConfig) -> LaCache:
        """The policy for a plain ladder configuration."""
        return config if isinstance(config, cls) else cls(**asdict(config))

    def bind(self, num_layers: int, num_heads: int = 1) -> Planner:
        """See ``Policy.bind``; raises ``InvalidLadderError``."""
        ladder = self.ladder(num_layers)
        return Planner(
            row_of_layer=ladder.row_of_layer,
            capacity=ladder.effective_budget,
            cursor=self.num_sink,
            reserve=num_layers,
            plan=partial(_compact, ladder),
        )


def _compact(ladder: Ladder, arrival: Arrival) -> CompactionPlan | None:
    return ladder.plan(arrival.held, arrival.arriving, arrival.cursor)
