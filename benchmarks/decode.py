"""One decoding step under every cache, side by side: the same weights, the same tokens, in turn.

Every contender is filled to the same length; then each takes one step after another, all of them in
turn, so that whatever disturbs the machine disturbs all alike. Ratios are of medians, over as many
steps as a whole pass of the ladder takes, since what a compaction costs depends on where it is.

    python -m benchmarks decode [--budget 256 --budget 1024] [--batch 1] [--steps N] [--only NAME]
        [--out FILE]
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable
from pathlib import Path
from statistics import mean, median, quantiles
from typing import Any

from benchmarks.report import Row, status, write

SHAPE = {"span": 15, "overlap": 0}
CHUNK = 256


class Contender:
    """A cache that a model runs with; ``step`` takes one token and comes back to its length."""

    def __init__(self, name: str, model: Any, cache: Any, after: Callable[[], None]) -> None:
        self.name, self.model, self.cache, self.after = name, model, cache, after
        self.took: list[float] = []

    def position(self) -> int:
        """Where the next token stands."""
        return int(getattr(self.cache, "next_position", None) or self.cache.get_seq_length())

    def step(self, tokens: Any) -> None:
        import torch

        started = time.perf_counter()
        self.forward(tokens)
        self.after()
        if tokens.is_cuda:
            torch.cuda.synchronize()
        self.took.append(time.perf_counter() - started)

    def forward(self, tokens: Any) -> None:
        import torch

        where = torch.arange(tokens.shape[1], device=tokens.device)[None] + self.position()
        self.model(
            input_ids=tokens,
            position_ids=where,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        )


class Observed(Contender):
    """The same, with the last query's attention looked at in every step."""

    def forward(self, tokens: Any) -> None:
        from lacache_core.attention import watch

        with watch() as watching:
            super().forward(tokens)
            watching.take()


class Eager(Contender):
    """The same with attention as the published code has it; changing over is not timed."""

    def step(self, tokens: Any) -> None:
        usual = self.model.config._attn_implementation
        self.model.set_attn_implementation("eager")
        try:
            super().step(tokens)
        finally:
            self.model.set_attn_implementation(usual)


def frozen(model: Any, length: int, ids: Any) -> Contender:
    """A plain cache that never grows: what is appended in a step is let go after it."""
    from transformers import DynamicCache

    cache = DynamicCache()
    model(input_ids=ids[:, : length - 1], past_key_values=cache, use_cache=True, logits_to_keep=1)
    kept = [(layer.keys, layer.values) for layer in cache.layers]

    def restore() -> None:
        for layer, (keys, values) in zip(cache.layers, kept, strict=True):
            layer.keys, layer.values = keys, values

    return Contender("plain-n", model, cache, restore)


def growing(model: Any, length: int, ids: Any) -> Contender:
    """A plain cache that grows with the text."""
    from transformers import DynamicCache

    cache = DynamicCache()
    model(input_ids=ids[:, : length - 1], past_key_values=cache, use_cache=True, logits_to_keep=1)
    return Contender("full", model, cache, lambda: None)


def static(model: Any, length: int, ids: Any) -> Contender:
    """transformers' cache of a fixed size, written in place."""
    from transformers import StaticCache

    cache = StaticCache(config=model.config, max_cache_len=length)
    model(input_ids=ids[:, : length - 1], past_key_values=cache, use_cache=True, logits_to_keep=1)

    return Contender("static-n", model, cache, lambda: step_back(cache))


def step_back(cache: Any) -> None:
    """Let transformers' static cache forget that its last token came."""
    import torch

    counts = [layer.cumulative_length for layer in cache.layers]
    if isinstance(counts[0], torch.Tensor):
        torch._foreach_sub_(counts, 1)  # one launch on a GPU
        return
    for layer, count in zip(cache.layers, counts, strict=True):
        layer.cumulative_length = count - 1


def filled(
    name: str, model: Any, cache: Any, length: int, ids: Any, kind: type[Contender] = Contender
) -> Contender:
    """This library's cache, past its budget."""
    import torch

    for first in range(0, 2 * length, CHUNK):
        part = ids[:, first : first + CHUNK]
        where = torch.arange(part.shape[1], device=ids.device)[None] + cache.next_position
        model(input_ids=part, position_ids=where, past_key_values=cache, logits_to_keep=1)
    return kind(name, model, cache, cache.settle)


def naive(
    name: str, model: Any, policy: Any, length: int, ids: Any, kind: type[Contender] = Contender
) -> Contender:
    """The published code's way."""
    from benchmarks.naive import NaiveCache
    from lacache_core.rope import rotary_of

    rotary = rotary_of(model)
    cache = NaiveCache(policy.ladder(rotary.num_layers), rotary, policy.num_sink)
    for first in range(0, 2 * length, CHUNK):
        model(input_ids=ids[:, first : first + CHUNK], past_key_values=cache, logits_to_keep=1)
        cache.compact()
    return kind(name, model, cache, cache.compact)


FLOOR, OURS, OBSERVED = "plain-n", "ours 15/0", "ours 15/0, observed"
NAIVE, KINDER = "naive", "naive, SDPA"


def contenders(model: Any, budget: int, ids: Any, only: list[str]) -> list[Contender]:
    """Those that are asked for, and the floor."""
    from lacache_core.cache import LadderCache
    from lacache_core.policies import make_policy

    ladder = make_policy("lacache", budget=budget, **SHAPE)
    slack = make_policy("lacache", budget=budget, **SHAPE, slack=min(32, budget // 8))
    window = make_policy("streaming_llm", budget=budget)

    def ours(name: str, policy: Any, kind: type[Contender] = Contender) -> Contender:
        cache = LadderCache(model, policy, positions="index")
        return filled(name, model, cache, budget, ids, kind)

    made: dict[str, Callable[[], Contender]] = {
        FLOOR: lambda: frozen(model, budget, ids),
        "static-n": lambda: static(model, budget, ids),
        "full": lambda: growing(model, budget, ids),
        "streaming_llm": lambda: ours("streaming_llm", window),
        OURS: lambda: ours(OURS, ladder),
        f"{OURS}, slack": lambda: ours(f"{OURS}, slack", slack),
        OBSERVED: lambda: ours(OBSERVED, ladder, Observed),
        NAIVE: lambda: naive(NAIVE, model, ladder, budget, ids, Eager),
        KINDER: lambda: naive(KINDER, model, ladder, budget, ids),
    }
    return [make() for name, make in made.items() if name == FLOOR or not only or name in only]


def spread(took: list[float]) -> str:
    low, middle, high = (1e3 * value for value in quantiles(took, n=4))
    return f"{middle:.2f} ms ({low:.2f} to {high:.2f}), mean {1e3 * mean(took):.2f}"


def parts_of(contender: Contender, tokens: Any, steps: int) -> dict[str, float]:
    """Milliseconds a step by part."""
    from lacache_core.stopwatch import stopwatch, timed

    with stopwatch() as watch, timed("model"):
        for _ in range(steps):
            contender.step(tokens)
    return {part: 1e3 * seconds / steps for part, seconds in watch.seconds.items()}


def measure(model: Any, budget: int, batch: int, steps: int, only: list[str]) -> list[Row]:
    import torch

    from lacache_core.attention import observable

    rows: list[Row] = []
    ids = torch.arange(1000, 1000 + 2 * budget + CHUNK).repeat(batch, 1) % model.config.vocab_size
    ids = ids.to(model.device)
    with torch.inference_mode(), observable(model):
        field = contenders(model, budget, ids, only)
        for n in range(steps):
            for contender in field:
                contender.step(ids[:, n % budget :][:, :1])
        took = {c.name: median(c.took) for c in field}
        where = f"budget {budget:,}, batch {batch}"
        for c in field:
            bar = {OURS: 1.05, f"{OURS}, slack": 1.02}.get(c.name) if batch == 1 else None
            what = f"{where}: {c.name} / {FLOOR}"
            rows.append(Row(what, took[c.name] / took[FLOOR], "x", bar, more=spread(c.took)))
        if {OURS, OBSERVED} <= took.keys():
            bar = 1.1 if batch == 1 else None
            rows.append(Row(f"{where}: observed / not", took[OBSERVED] / took[OURS], "x", bar))
        for slow in (NAIVE, KINDER):
            if {OURS, slow} <= took.keys():
                known = batch == 1 and slow == NAIVE
                bar = {1024: 0.7, 4096: 0.3}.get(budget) if known else None
                rows.append(Row(f"{where}: {OURS} / {slow}", took[OURS] / took[slow], "x", bar))
        for contender in (c for c in field if c.name == OURS):
            parts = parts_of(contender, ids[:, :1], min(steps, 64))
            for part, ms in parts.items():
                share = 100 * ms / sum(parts.values())
                bar = 1.0 if part == "planning" else None
                what = f"{where}: {part}, of {OURS}"
                rows.append(Row(what, share, "%", bar, more=f"{ms:.2f} ms a step"))
    return rows


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks decode")
    parser.add_argument("--model", help="local folder or Hub id; default: the embedded model")
    parser.add_argument("--budget", type=int, action="append", help="default 256 and 1024")
    parser.add_argument("--batch", type=int, action="append", help="default 1")
    parser.add_argument(
        "--steps", type=int, help="of each; default: a pass of the ladder, 600 at most"
    )
    parser.add_argument("--only", action="append", default=[], help="a contender; default: all")
    parser.add_argument("--out", type=Path, help="write the numbers as JSON to this file")
    options = parser.parse_args(arguments)

    from lacache_core.models import load
    from lacache_core.settings import default_model_id

    loaded = load(options.model or default_model_id())
    rows: list[Row] = []
    for budget in options.budget or [256, 1024]:
        for batch in options.batch or [1]:
            steps = options.steps or min(600, budget)
            for row in measure(loaded.model, budget, batch, steps, options.only):
                rows.append(row)
                print(row, flush=True)
            gc.collect()
    write(options.out, rows, model=options.model or default_model_id())
    return status(rows)
