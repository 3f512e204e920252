"""A long prompt in chunks under a budget, against one pass with a full cache: time and memory.

Each measurement runs in a process of its own, because the memory that a process has once had is
not given back; what is told is the most that it held above the model.

    python -m benchmarks prefill [--tokens N] [--budget N] [--chunk N ...] [--out FILE]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.report import Row, status, write

FULL = "full"


def resident() -> int:
    """Bytes of memory that this process has had at most."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def one(way: str, tokens: int, budget: int, model_id: str | None) -> dict[str, Any]:
    """Seconds and bytes of one prefill; ``way`` is "full" or the tokens of a chunk."""
    import torch
    from transformers import DynamicCache

    from lacache_core.cache import LadderCache
    from lacache_core.models import load
    from lacache_core.policies import make_policy
    from lacache_core.settings import default_model_id

    model = load(model_id or default_model_id()).model
    ids = torch.arange(tokens)[None] % model.config.vocab_size
    chunk = tokens if way == FULL else int(way)
    with torch.inference_mode():
        model(input_ids=ids[:, :8], logits_to_keep=1)  # what a first pass sets up
        before = resident()
        cache: Any = DynamicCache()
        if way != FULL:
            cache = LadderCache(model, make_policy("lacache", budget=budget, span=15))
        started = time.perf_counter()
        for first in range(0, tokens, chunk):
            part = ids[:, first : first + chunk]
            model(input_ids=part, past_key_values=cache, use_cache=True, logits_to_keep=1)
        if way != FULL:
            cache.settle()
        took = time.perf_counter() - started
    return {"seconds": took, "bytes": resident() - before}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks prefill")
    parser.add_argument("--model", help="local folder or Hub id; default: the embedded model")
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--budget", type=int, default=256)
    parser.add_argument("--chunk", type=int, action="append", help="default 64, 256 and 512")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, help="write the numbers as JSON to this file")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.one:
        print(json.dumps(one(options.one, options.tokens, options.budget, options.model)))
        return 0
    ways = [FULL, *map(str, options.chunk or [64, 256, 512])]
    found: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
    for _ in range(options.repeats):
        for way in ways:
            command = [sys.executable, "-m", "benchmarks", "prefill", *arguments, "--one", way]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            found[way].append(json.loads(done.stdout.splitlines()[-1]))
    floor = median(run["seconds"] for run in found[FULL])
    rows = []
    for way, runs in found.items():
        took, held = (median(run[what] for run in runs) for what in ("seconds", "bytes"))
        name = (
            "one pass, full cache" if way == FULL else f"chunks of {way}, budget {options.budget}"
        )
        more = (
            f"{took:.2f} s, {options.tokens / took:,.0f} tokens/s, {held / 1e6:,.0f} MB more memory"
        )
        rows.append(Row(f"{options.tokens:,} tokens: {name}", took / floor, "x", more=more))
    # The bar is met by the best chunk: how long it is, is ours to choose.
    best = min(rows[1:], key=lambda row: row.value)
    rows.append(Row("the best chunk / one pass", best.value, "x", 1.0))
    for row in rows:
        print(row)
    write(options.out, rows, model=options.model)
    return status(rows)
