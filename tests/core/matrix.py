"""Every policy that the tests hold to the same invariants; a new one joins here.

docs/adding-a-policy.md, step 6, says how.
"""

from lacache_core.policies import (
    H2O,
    TOVA,
    Full,
    LaCache,
    Random,
    SlidingWindow,
    SnapKV,
    StreamingLLM,
)

MATRIX = [
    Full(),
    SlidingWindow(40),
    StreamingLLM(40, 4),
    StreamingLLM(17, 0),
    LaCache(40, 4, 0, 4),
    LaCache(40, 4, 2, 0),
    LaCache(40, 1, 0, 4),
    LaCache(40, 5, 0, 4, "staircase"),
    LaCache(40, 4, 0, 4, slack=6),
    H2O(40),
    H2O(40, recent_share=0.0),
    H2O(9, recent_share=1.0),
    TOVA(40),
    TOVA(1),
    SnapKV(40, window=8),
    SnapKV(40, window=39, kernel=1, pooling="max"),
    Random(40),
    Random(40, num_sink=0, recent_share=0.0, seed=7),
]
"""For synthetic models: every policy, in every shape that behaves differently."""

SMALL = [
    Full(),
    SlidingWindow(24),
    StreamingLLM(24, 3),
    LaCache(24, 3, 1, 2),
    LaCache(28, 3, 0, 2, slack=5),
    H2O(24),
    TOVA(24),
    SnapKV(24, window=6),
    Random(24, 3),
]
"""For a real tiny model: every policy, at a budget that a text of 120 tokens exceeds by far."""

# What some policies promise beyond what is asked of all, by name.
FILLS_ITS_BUDGET = {"sliding_window", "streaming_llm", "h2o", "tova", "snapkv", "random"}
"""Once the budget is exceeded, each layer holds exactly that many entries."""
COUNTS_ALONE = {"full", "sliding_window", "streaming_llm", "lacache", "random"}
"""How many tokens have come decides what is held, and not in what portions they came."""
REPEATS_PLANS = {"full", "sliding_window", "streaming_llm", "lacache"}
"""The plan for one more token is the same object again, so what was made of it can be kept."""
