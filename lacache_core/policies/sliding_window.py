"""Sliding window: the most recent tokens, the same in every layer, and no sinks.

Source: the "window attention" that Xiao et al., *Efficient Streaming Language Models with Attention
Sinks*, ICLR 2024 (arXiv 2309.17453), figure 1b, compare with, after Beltagy et al., *Longformer*
(arXiv 2004.05150); public code: mit-han-lab/streaming-llm with ``start_size=0``. Perplexity breaks
down once the first tokens leave the window, which is what sinks are for. Budget semantics: a layer
never holds more than ``budget`` entries after a step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lacache_core.policies.base import Planner
from lacache_core.policies.streaming_llm import StreamingLLM


@dataclass(frozen=True)
class SlidingWindow:
    """Keep the newest ``budget`` tokens: StreamingLLM without sinks."""

    budget: int

    name: ClassVar[str] = "sliding_window"
    label: ClassVar[str] = "Sliding window"
    about: ClassVar[str] = "The newest tokens, in every layer the same."

    def __post_init__(self) -> None:
        self._window()

    def _window(self) -> StreamingLLM:
        return StreamingLLM(self.budget, num_sink=0)

    def bind(self, num_layers: int, num_heads: int = 1) -> Planner:
        """See ``Policy.bind``."""
        return self._window().bind(num_layers)
