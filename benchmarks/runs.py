"""Runs as the app starts them: how soon a first token is there, and how two runs share a machine.

python -m benchmarks runs [--prompt 256 --prompt 1024] [--repeats 5] [--out FILE]
"""

from __future__ import annotations

import argparse
import threading
import time
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.report import Row, status, write

WORD = " again"  # one token to most tokenizers
NEW = 150


def settings(prompt: str, new: int, observe: bool) -> dict[str, Any]:
    return {"prompt": prompt, "max_new_tokens": new, "observe": observe, "chat": False}


def first_token(tokens: int, repeats: int) -> list[Row]:
    """From Run to the message with the first token, beside the model's own pass over the prompt."""
    import torch
    from transformers import DynamicCache

    from app.runner import run_messages
    from lacache_core.models import load
    from lacache_core.settings import default_model_id
    from lacache_core.turns import in_turn

    loaded = load(default_model_id())
    prompt = "Once" + WORD * (tokens - 1)
    ids = loaded.tokenizer(prompt, return_tensors="pt").input_ids
    plain: list[float] = []
    ours: list[float] = []

    @torch.inference_mode()
    def own_pass() -> None:
        logits = loaded.model(ids, past_key_values=DynamicCache(), logits_to_keep=1).logits
        logits[0, -1].argmax().item()

    for _ in range(repeats + 1):
        started = time.perf_counter()
        in_turn(own_pass)
        plain.append(time.perf_counter() - started)
        started = time.perf_counter()
        messages = run_messages(settings(prompt, 2, observe=True))
        for message in messages:
            if message.get("text"):
                ours.append(time.perf_counter() - started)
                break
        messages.close()
    took, floor = median(ours[1:]), median(plain[1:])
    what = f"prompt of {ids.shape[1]:,} tokens: first token / the model's own pass"
    return [Row(what, took / floor, "x", 1.2, more=f"{took:.3f} and {floor:.3f} s")]


def sharing() -> list[Row]:
    """Two runs begun at once: what each has when the first ends, and what they get done together.

    Of the time after both have their first token; against one run that has the machine alone.
    """
    from app.runner import run_messages

    def speed_alone() -> float:
        for message in run_messages(settings("Once" + WORD * 100, NEW, observe=False)):
            last = message
        return float(last["figures"]["tokensPerSecond"])

    def tokens_of(message: dict[str, Any]) -> int:
        return int(message.get("figures", {}).get("seen") or 0)

    alone = speed_alone()
    seen, ended = [0, 0], threading.Event()
    speeds = [0.0, 0.0]

    def run(index: int) -> None:
        text = ("Once" if index else "Twice") + WORD * 100
        for message in run_messages(settings(text, NEW, observe=False), session=f"bench {index}"):
            if not ended.is_set():
                seen[index] = max(seen[index], tokens_of(message))
                speeds[index] = message.get("figures", {}).get("tokensPerSecond") or 0.0
        ended.set()

    threads = [threading.Thread(target=run, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told = f"{seen[0]} and {seen[1]} tokens"
    share = min(seen) / max(seen)
    both = f"{sum(speeds):.1f} and {alone:.1f} tokens/s"
    return [
        Row("two runs at once: tokens of the slower / faster", share, "x", 0.9, True, told),
        Row("two runs at once: speed of both / of one alone", sum(speeds) / alone, "x", more=both),
    ]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks runs")
    parser.add_argument("--prompt", type=int, action="append", help="tokens; default 256 and 1024")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, help="write the numbers as JSON to this file")
    options = parser.parse_args(arguments)

    from lacache_core.models import load_in_background
    from lacache_core.settings import default_model_id
    from lacache_core.turns import take_turns

    take_turns()  # as the app does
    load_in_background(default_model_id()).join()
    rows: list[Row] = []
    for tokens in options.prompt or [256, 1024]:
        rows += first_token(tokens, options.repeats)
    rows += sharing()
    for row in rows:
        print(row)
    write(options.out, rows)
    return status(rows)
