"""Which wording of the needle task a model can do at all, with a full cache.

A budget can only be blamed for a wrong answer where the full cache gives the right one. Measures
candidates for the passkey and the word task, at several lengths and depths, and prints a table; the
tasks of ``lacache_core.evaluation.tasks`` were chosen from it.

    python -m benchmarks needle_wording --out docs/results/needle-wording.md
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections import Counter
from dataclasses import replace
from datetime import date
from pathlib import Path

import torch
import transformers

from lacache_core.evaluation.contenders import contenders
from lacache_core.evaluation.needle import needle
from lacache_core.evaluation.tasks import PASSKEY, WORD, Grid
from lacache_core.models import LoadedModel, load

REMEMBERED = " The pass key is {key}. Remember it. {key} is the pass key."
FIND = "There is a pass key hidden in the following text. Find it.\n\n"
FIND_WORDS = "The following text tells some secret words. Find them.\n\n"
ONCE = " {name}'s secret word is {key}."
CANDIDATES = [
    ("the published wording", PASSKEY),
    ("said once", replace(PASSKEY, needle=" The pass key is {key}.")),
    ("no introduction, no question", replace(PASSKEY, intro="", question="\n\nThe pass key is")),
    (
        "chat, question at the end",
        replace(
            PASSKEY,
            intro=FIND,
            needle=REMEMBERED,
            question="\n\nWhat is the pass key?",
            chat=True,
            answer_tokens=16,
        ),
    ),
    (
        "chat, question in front",
        replace(
            PASSKEY,
            intro="What is the pass key in the following text?\n\n",
            needle=REMEMBERED,
            question="",
            chat=True,
            answer_tokens=16,
        ),
    ),
    ("said twice", WORD),
    ("said twice, three other pairs", replace(WORD, others=3)),
    ("no introduction, said twice, three other pairs", replace(WORD, intro="\n", others=3)),
    ("said once", replace(WORD, needle=ONCE, others=0)),
    (
        "said twice, three other pairs, chat",
        replace(
            WORD,
            others=3,
            intro=FIND_WORDS,
            question="\n\nWhat is {name}'s secret word?",
            chat=True,
            answer_tokens=16,
        ),
    ),
]


def row(words: str, grid: Grid, loaded: LoadedModel) -> str:
    """One wording measured: right answers by length, over all depths and seeds."""
    right, asked, wrong = Counter(), Counter(), ""
    for cell in needle(loaded, contenders(["full"]), grid, chunk=max(grid.lengths)):
        right[cell.length] += cell.correct
        asked[cell.length] += len(cell.trials)
        for trial in cell.trials:
            if not trial.correct:
                wrong = f"{trial.key}: {json.dumps(trial.answer.strip())}"
    shares = [f"{right[n]} of {asked[n]}" for n in grid.lengths]
    return f"| {grid.task.name} | {words} | {' | '.join(shares)} | {wrong.replace('|', '/')} |"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks needle_wording")
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--task", choices=[PASSKEY.name, WORD.name], help="this task alone")
    parser.add_argument("--lengths", default="256,512,1024,2048")
    parser.add_argument("--depths", default="0,0.5,1")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="write the table as Markdown to this file")
    options = parser.parse_args(arguments)

    lengths = [int(x) for x in options.lengths.split(",")]
    depths = [float(x) for x in options.depths.split(",")]
    loaded = load(options.model)
    lines = [
        f"| task | wording | {' | '.join(f'{n:,}' for n in lengths)} | a wrong answer |",
        f"|---|---|{'---|' * len(lengths)}---|",
    ]
    print("\n".join(lines), flush=True)
    for words, task in CANDIDATES:
        if options.task not in (None, task.name):
            continue
        lines.append(row(words, Grid(lengths, depths, options.seeds, task), loaded))
        print(lines[-1], flush=True)
    command = " ".join(["python -m benchmarks needle_wording", *arguments])
    about = (
        f"{date.today().isoformat()}, {options.model}, {loaded.model.dtype}, "
        f"{platform.machine()} CPU, torch {torch.__version__}, "
        f"transformers {transformers.__version__}; `{command}`"
    )
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(f"{about}\n\n" + "\n".join(lines) + "\n", encoding="utf-8")
    else:
        print(about, file=sys.stderr)
    return 0
