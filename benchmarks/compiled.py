"""A compiled decoding step under every cache, side by side; and with --batches what fits a GPU.

Weights are random in the shape of a known model (--shape), or the embedded model's. The bandwidth
that a step is held against is measured too: what copying a large tensor reads and writes.

    python -m benchmarks compiled [--shape llama-3-8b] [--dtype bfloat16] [--budget 1024]
        [--batches] [--steps N] [--out FILE]
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from types import FunctionType
from typing import Any

from benchmarks.decode import (
    CHUNK,
    KINDER,
    NAIVE,
    Contender,
    Eager,
    filled,
    frozen,
    naive,
    spread,
    static,
    step_back,
)
from benchmarks.report import Row, status, write

SHAPES = {
    "llama-3-8b": {
        "vocab_size": 128_256,
        "hidden_size": 4096,
        "intermediate_size": 14_336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "max_position_embeddings": 131_072,
        "rope_parameters": {"rope_type": "default", "rope_theta": 500_000.0},
    },
}
WARM = 5  # steps that compile and capture
BATCH, SEEN, FAR = 32, 8192, 32_768
FLOOR, OURS = "static-n, compiled", "ours, compiled"


def compiled(model: Any, contender: Contender) -> Contender:
    """The same contender, its step compiled into one graph of its own."""
    import torch

    def step(input_ids: Any, position_ids: Any, cache: Any) -> Any:
        given = {"input_ids": input_ids, "position_ids": position_ids, "past_key_values": cache}
        return model(**given, use_cache=True, logits_to_keep=1).logits

    # Compilers keep what they know of a function with its code: each contender gets its own.
    own = FunctionType(step.__code__.replace(), step.__globals__, closure=step.__closure__)
    # On a GPU the step is captured, and the products of one row are tuned, which cuBLAS is not for.
    tuned = {"triton.cudagraphs": True, "coordinate_descent_tuning": True}
    options = tuned if model.device.type == "cuda" else None
    graph = torch.compile(own, options=options, fullgraph=True)  # type: ignore[call-overload]

    def forward(tokens: Any) -> None:
        where = torch.full((1, 1), contender.position(), device=tokens.device)
        graph(tokens, where, contender.cache)

    contender.forward = forward  # type: ignore[method-assign]
    return contender


def load(shape: str | None, dtype: str, model_id: str | None) -> Any:
    """The model: random weights of a shape, or a real one."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    if shape is None:
        from lacache_core.models import load as load_model
        from lacache_core.settings import default_model_id

        return load_model(model_id or default_model_id(), dtype=dtype).model
    config = AutoConfig.for_model("llama", **SHAPES[shape])
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        return AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype)).eval()


def bandwidth(device: Any) -> float:
    """Bytes a second that a copy reads and writes."""
    import torch

    size = 1 << (32 if device.type == "cuda" else 28)
    source = torch.zeros(size, dtype=torch.uint8, device=device)
    target, took = torch.empty_like(source), []
    for _ in range(10):
        started = time.perf_counter()
        target.copy_(source)
        if device.type == "cuda":
            torch.cuda.synchronize()
        took.append(time.perf_counter() - started)
    return 2 * size / median(took)


def bytes_of_step(model: Any, entries: int) -> int:
    """What a step cannot do without reading: the weights that it uses, keys and values."""
    from lacache_core.buffers import bytes_per_entry

    table = model.get_input_embeddings().weight  # of which a row is read, unless it is the head too
    head = model.get_output_embeddings().weight
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    if head.data_ptr() != table.data_ptr():
        weights -= table.numel() * table.element_size()
    return int(weights + entries * bytes_per_entry(model.config, model.dtype)[1])


def ours(model: Any, budget: int, ids: Any, name: str = OURS, *, fixed: bool = True) -> Contender:
    """This library's cache past its budget, compacting at every token."""
    from lacache_core.cache import LadderCache

    cache = LadderCache(model, ladder(model, budget), positions="index", static=fixed)
    return filled(name, model, cache, budget, ids)


def ladder(model: Any, budget: int) -> Any:
    from lacache_core.policies import make_policy

    return make_policy("lacache", budget=budget, span=model.config.num_hidden_layers // 2)


def measure(model: Any, budget: int, steps: int) -> list[Row]:
    """A step at batch 1."""
    import torch

    on_gpu = model.device.type == "cuda"
    ids = torch.arange(1000, 1000 + 2 * budget + CHUNK, device=model.device)[None]
    ids = ids % model.config.vocab_size
    with torch.inference_mode():
        floor = static(model, budget, ids)
        floor.name = FLOOR
        field = [
            compiled(model, floor),
            compiled(model, ours(model, budget, ids)),
            ours(model, budget, ids, "ours", fixed=False),
            frozen(model, budget, ids),
            naive(NAIVE, model, ladder(model, budget), budget, ids, Eager),
            naive(KINDER, model, ladder(model, budget), budget, ids),
        ]
        for n in range(steps + WARM):
            for contender in field:
                contender.step(ids[:, n % budget :][:, :1])
        took = {c.name: median(c.took[WARM:]) for c in field}
        row_of_steps = in_a_row(field[1], ids[:, :1], steps)
        bound = bytes_of_step(model, budget) / bandwidth(model.device)
    rows = []
    for c in field:
        bar = 1.05 if c.name == OURS else None
        what = f"budget {budget:,}: {c.name} / {FLOOR}"
        rows.append(Row(what, took[c.name] / took[FLOOR], "x", bar, more=spread(c.took[WARM:])))
    what, bar = f"budget {budget:,}: {OURS} / {NAIVE}", 0.2 if on_gpu else None
    rows.append(Row(what, took[OURS] / took[NAIVE], "x", bar))
    rows.append(Row(f"budget {budget:,}: {OURS} / {KINDER}", took[OURS] / took[KINDER], "x"))
    what, bar = f"budget {budget:,}: share of the bandwidth bound", 0.8 if on_gpu else None
    told = f"{1e3 * bound:.2f} of {1e3 * row_of_steps:.2f} ms, steps in a row"
    rows.append(Row(what, bound / row_of_steps, "x", bar, at_least=True, more=told))
    return rows


def in_a_row(contender: Contender, tokens: Any, steps: int) -> float:
    """Seconds a step takes when nobody waits for its end before the next, as greedy search need
    not: the median of stretches of ten."""
    import torch

    took = []
    for _ in range(max(1, steps // 10)):
        started = time.perf_counter()
        for _ in range(10):
            contender.forward(tokens)
            contender.after()
        if tokens.is_cuda:
            torch.cuda.synchronize()
        took.append((time.perf_counter() - started) / 10)
    return median(took)


def full(model: Any, length: int, batch: int) -> Contender:
    """transformers' static cache as after ``length`` tokens; what lies in it is of no interest."""
    import torch

    ids = torch.ones(batch, 8, dtype=torch.long, device=model.device)
    contender = static(model, 8, ids)
    cache = type(contender.cache)(config=model.config, max_cache_len=length)
    model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)

    for layer in cache.layers:
        layer.cumulative_length.fill_(length - 1)
    return Contender("full", model, cache, lambda: step_back(cache))


def batched(model: Any, budget: int, steps: int) -> list[Row]:
    """Tokens a second of many texts of which much has been seen."""
    import torch

    took = {}
    with torch.inference_mode():
        for name in ("full", OURS):
            if name == OURS:
                ids = torch.ones(BATCH, 2 * budget + CHUNK, dtype=torch.long, device=model.device)
                contender = compiled(model, ours(model, budget, ids))
            else:
                contender = compiled(model, full(model, SEEN, BATCH))
            tokens = torch.ones(BATCH, 1, dtype=torch.long, device=model.device)
            for _ in range(steps + WARM):
                contender.step(tokens)
            took[name] = median(contender.took[WARM:])
            del contender
            _give_back()
    pace = f"{BATCH / took[OURS]:,.0f} and {BATCH / took['full']:,.0f} tokens/s"
    what = f"batch {BATCH}, {SEEN:,} seen: tokens/s at budget {budget:,} / full cache"
    return [Row(what, took["full"] / took[OURS], "x", 1.5, at_least=True, more=pace)]


def largest(step: Callable[[int], None]) -> int:
    """The largest batch for which ``step`` does not run out of memory, found to an eighth."""
    import torch

    fits, fails = 0, 0
    while not fails or fails - fits > max(1, fits // 8):
        batch = 2 * fits or 1
        batch = batch if not fails else (fits + fails) // 2
        try:
            step(batch)
            fits = batch
        except torch.OutOfMemoryError:
            fails = batch
        _give_back()
    return fits


def fitting(model: Any, budget: int) -> list[Row]:
    """How many texts fit when much has been seen of each."""
    import torch

    def one_token(batch: int) -> Any:
        return torch.ones(batch, 1, dtype=torch.long, device=model.device)

    def with_full(batch: int) -> None:
        full(model, FAR, batch).step(one_token(batch))

    def with_ours(batch: int) -> None:
        from lacache_core.cache import LadderCache

        # Past the budget nothing grows any more, however much is read.
        cache = LadderCache(model, ladder(model, budget), positions="index", static=True)
        token, tokens = one_token(batch), max(1, 8192 // batch)
        for seen in range(0, budget + 64, tokens):
            part = token.expand(-1, min(tokens, budget + 64 - seen))
            where = cache.next_position + torch.arange(part.shape[1], device=token.device)[None]
            given = {"input_ids": part, "position_ids": where, "past_key_values": cache}
            model(**given, logits_to_keep=1)
            cache.settle()

    with torch.inference_mode():
        found = {"ours": largest(with_ours), "full": largest(with_full)}
    what = f"{FAR:,} seen: largest batch at budget {budget:,} / full cache"
    told = f"{found['ours']} and {found['full']} texts"
    return [Row(what, found["ours"] / max(1, found["full"]), "x", 10, at_least=True, more=told)]


def _give_back() -> None:
    import torch

    torch._dynamo.reset()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks compiled")
    parser.add_argument("--model", help="local folder or Hub id; default: the embedded model")
    parser.add_argument("--shape", choices=SHAPES, help="random weights in this shape instead")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--budget", type=int, action="append", help="default 1024")
    parser.add_argument("--batches", action="store_true", help="also what batches a GPU takes")
    parser.add_argument("--steps", type=int, default=100, help="steps of each")
    parser.add_argument("--out", type=Path, help="write the numbers as JSON to this file")
    options = parser.parse_args(arguments)
    model = load(options.shape, options.dtype, options.model)
    if options.batches and model.device.type != "cuda":
        parser.error("--batches: no CUDA device is here")
    rows: list[Row] = []
    for budget in options.budget or [1024]:
        measures = [lambda b: measure(model, b, options.steps)]
        if options.batches:
            measures += [lambda b: batched(model, b, options.steps), lambda b: fitting(model, b)]
        for measured in measures:
            for row in measured(budget):
                rows.append(row)
                print(row, flush=True)
            _give_back()
    about = {"model": options.shape or options.model or "embedded", "dtype": options.dtype}
    write(options.out, rows, **about)
    return status(rows)
