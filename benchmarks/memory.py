"""Resident memory while a text of 20,000 tokens is written, and what a step costs after it.

The cache that wrote the text and one that has seen 1,000 tokens then take their steps in turn, so
that whatever disturbs the machine disturbs both alike.

python -m benchmarks memory [--tokens 20000] [--budget 256] [--out FILE]
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import median

from benchmarks.report import Row, status, write

EVERY = 500  # tokens between two looks at the memory
SETTLED = 1000  # tokens after which everything has been set up
STEPS = 800  # steps of each cache, in turn


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks memory")
    parser.add_argument("--model", help="local folder or Hub id; default: the embedded model")
    parser.add_argument("--tokens", type=int, default=20_000)
    parser.add_argument("--budget", type=int, default=256)
    parser.add_argument("--out", type=Path, help="write the numbers as JSON to this file")
    options = parser.parse_args(arguments)

    import psutil
    import torch

    from lacache_core.cache import LadderCache
    from lacache_core.models import load
    from lacache_core.policies import make_policy
    from lacache_core.settings import default_model_id
    from lacache_core.stopwatch import stopwatch, timed

    loaded = load(options.model or default_model_id())
    model, process = loaded.model, psutil.Process()
    policy = make_policy("lacache", budget=options.budget, span=15)
    token = torch.tensor([[model.config.vocab_size // 2]])
    memory: list[int] = []

    def step(cache: LadderCache) -> float:
        """Let the model write one token of its own into `cache`; how many seconds it took."""
        nonlocal token
        with stopwatch() as watch, timed("step"):
            where = torch.tensor([[cache.next_position]])
            logits = model(token, position_ids=where, past_key_values=cache).logits
            token = logits[:, -1].argmax(-1, keepdim=True)
            cache.settle()
        return sum(watch.seconds.values())

    with torch.inference_mode():
        late = LadderCache(model, policy, positions="index")
        for seen in range(options.tokens):
            step(late)
            if seen % EVERY == EVERY - 1:
                memory.append(process.memory_info().rss)
                print(f"{seen + 1:,} tokens: {memory[-1] / 1e6:,.1f} MB", flush=True)
        early = LadderCache(model, policy, positions="index")
        while early.seen < SETTLED:
            step(early)
        print(f"{STEPS} steps of each, in turn", flush=True)
        took = [(step(late), step(early)) for _ in range(STEPS)]
    settled = memory[SETTLED // EVERY - 1 :]
    growth = 100 * (max(settled) / settled[0] - 1)
    about = f"{settled[0] / 1e6:,.0f} to at most {max(settled) / 1e6:,.0f} MB"
    rows = [Row(f"memory over {options.tokens:,} tokens, growth", growth, "%", 2.0, more=about)]
    after, before = (median(times) for times in zip(*took, strict=True))
    pace = f"{1e3 * before:.2f} and {1e3 * after:.2f} ms"
    name = f"step after {options.tokens:,} tokens / after {SETTLED:,}"
    rows.append(Row(name, after / before, "x", 1.05, more=pace))
    for row in rows:
        print(row)
    write(options.out, rows, model=options.model, resident=memory)
    return status(rows)
