"""Reference perplexities of SmolLM2-135M-Instruct, measured beside the numbers to reproduce.

The first 1,024 targets of the WikiText-2 test split (tokenised form, with ``<unk>`` marks), without
a start token, fp32, one token at a time, four sinks. The text is not part of this project: give its
path. The numbers to reproduce were measured once with an implementation that recomputes every key's
position in each step; span 15, overlap 0 at budget 256 also with the published LaCache code.

    python -m benchmarks perplexity --text wikitext2_test_head.txt
"""

from __future__ import annotations

import argparse
import json
import platform
from datetime import date
from pathlib import Path
from typing import NamedTuple

from lacache_core.evaluation.contenders import Contender

TARGETS = 1024
HALF = TARGETS // 2  # the table's second column: targets 513 to 1,024


class Row(NamedTuple):
    """Who is measured, and the perplexities to reproduce: all targets, and the second half."""

    contender: Contender
    whole: float
    second_half: float


def lacache(budget: int, span: int, overlap: int = 0, **more: str) -> Contender:
    return Contender("lacache", budget, {"span": span, "overlap": overlap, **more})


ROWS = [
    Row(Contender("full"), 10.979, 7.121),
    Row(Contender("streaming_llm", 256), 19.296, 19.679),
    Row(lacache(256, 15), 18.111, 18.228),
    Row(lacache(256, 8, 4), 17.413, 16.460),
    Row(lacache(256, 9, 7), 18.345, 18.477),
    Row(lacache(256, 4), 18.392, 18.511),
    Row(lacache(256, 15, arrangement="staircase"), 18.739, 18.891),
    Row(lacache(256, 8, 4, arrangement="staircase"), 17.500, 17.244),
    Row(Contender("streaming_llm", 192), 20.509, 21.353),
    Row(lacache(192, 8, 4), 19.745, 19.917),
    Row(Contender("streaming_llm", 128), 22.868, 24.350),
    Row(lacache(128, 15), 22.548, 23.687),
]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks perplexity")
    parser.add_argument("--text", type=Path, required=True, help="WikiText-2 test split, raw text")
    parser.add_argument("--out", type=Path, help="write the numbers as JSON to this file")
    options = parser.parse_args(arguments)

    import torch
    import transformers

    from lacache_core.evaluation.perplexity import perplexity
    from lacache_core.models import load
    from lacache_core.text import encode

    loaded = load("smollm2-135m")
    ids = encode(loaded.tokenizer, options.text.read_text(encoding="utf-8"))[: TARGETS + 1]
    print(f"{'policy':34} {'budget':>6}  {'perplexity':>22}  {'targets 513-1024':>22}  tokens/s")
    print(f"{'':34} {'':>6}  {'here':>10} {'to match':>11}  {'here':>10} {'to match':>11}")
    results, worst = [], 0.0
    for contender, whole, second_half in ROWS:
        *_, reading = perplexity(loaded, ids, [contender], stretch=HALF)
        here, here_half = reading.perplexity, reading.stretches[-1].perplexity
        worst = max(worst, abs(here - whole), abs(here_half - second_half))
        print(
            f"{reading.label:34} {reading.budget or '-':>6}  {here:10.3f} {whole:11.3f}  "
            f"{here_half:10.3f} {second_half:11.3f}  {reading.tokens_per_second:8.1f}",
            flush=True,
        )
        results.append(
            {
                "policy": reading.label,
                "budget": reading.budget,
                "perplexity": here,
                "perplexity_to_match": whole,
                "second_half": here_half,
                "second_half_to_match": second_half,
            }
        )
    print(f"largest difference: {worst:.4f}")
    if options.out:
        about = {
            "date": date.today().isoformat(),
            "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "largest_difference": worst,
            "rows": results,
        }
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(about, indent=1) + "\n")
    return 0 if worst <= 0.01 else 1
