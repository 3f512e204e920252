"""``needle``: does the model still know a fact it read long ago, under each of several policies?"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from lacache_core.cli import measuring
from lacache_core.cli.options import add_settings, command_parser, whole
from lacache_core.cli.progress import load_shown
from lacache_core.evaluation.tables import about, answered, as_csv, as_json, needle_cells
from lacache_core.evaluation.tasks import TASKS, Grid

if TYPE_CHECKING:
    from lacache_core.evaluation.needle import Cell

_EXAMPLES = """\
examples:
  lacache needle --lengths 512,1024 --depths 0,0.5,1 --seeds 3
  lacache needle --policy lacache --policy streaming_llm --budget 0.5 --json
  lacache needle --task word --policy full --policy lacache:span=8,overlap=4 --budget 256

JSON: {"cells": [{"policy", "label", "budget", "length", "depth", "asked": prompts,
"trials": how many of them were answered, "correct": right answers, "needle_layers": mean share of
layers that hold the needle when the question has been read, "answers": [{"seed", "key", "answer",
"correct", ...}], ...}], ...}"""

_SPELLED = {
    "length": "--lengths",
    "lengths": "--lengths",
    "depth": "--depths",
    "seeds": "--seeds",
}


def add_command(commands: Any) -> None:
    """Add the parser of ``needle``."""
    parser = command_parser(
        commands,
        "needle",
        help="Hide a fact in a long text and ask for it, by length and depth.",
        description="Hide a fact in a long text and ask for it at the end, at several lengths and "
        "depths, under each of several policies. An answer is right when the key occurs in it. "
        "What was asked before is not asked again. Ctrl+C prints what is finished.",
        epilog=_EXAMPLES,
    )
    parser.add_argument(
        "--lengths",
        type=measuring.numbers(int, "whole numbers of tokens"),
        default=[512, 1024],
        metavar="N,N,...",
        help="Tokens of the whole prompt; default 512,1024.",
    )
    parser.add_argument(
        "--depths",
        type=measuring.numbers(float, "numbers from 0 to 1"),
        default=[0.0, 0.5, 1.0],
        metavar="X,X,...",
        help="Where the fact stands: 0 at the beginning, 1 right before the question; default "
        "0,0.5,1.",
    )
    parser.add_argument(
        "--seeds",
        type=whole(1, 1000),
        default=3,
        metavar="N",
        help="How many prompts of each kind, with the seeds 0, 1, 2, ...; default 3.",
    )
    parser.add_argument(
        "--task",
        choices=list(TASKS),
        default="passkey",
        help="passkey: a number of five digits; word: somebody's secret word. Default passkey.",
    )
    measuring.add_contenders(parser, ("full", "streaming_llm", "lacache"), 0.5)
    add_settings(parser, ["chunk"])
    measuring.add_common(parser)
    parser.set_defaults(run=_run, spelled=_SPELLED)


def _run(options: argparse.Namespace) -> int:
    measuring.check_output(options)
    competing = measuring.competing(options)
    grid = Grid(options.lengths, options.depths, options.seeds, TASKS[options.task])
    loaded = load_shown(options)

    from lacache_core.evaluation.needle import needle

    cells: list[Cell] = []
    with measuring.stoppable() as cancel, measuring.bar(options) as progress:
        for cell in needle(
            loaded,
            competing,
            grid,
            chunk=options.chunk,
            keeper=measuring.keeper_of(options),
            progress=progress,
            cancel=cancel,
        ):
            cells.append(cell)
    if options.json:
        answer = about(loaded, interrupted=cancel.is_set())
        print(as_json({**answer, "cells": needle_cells(cells)}))
    elif options.csv:
        print(as_csv(cell.row() for cell in cells), end="")
    else:
        _print_cells(cells)
    return measuring.finish(
        options,
        stopped=cancel.is_set(),
        left_out=(f"{c.label}, {c.length:,} tokens: {c.refused}" for c in cells if c.refused),
        some=any(c.trials for c in cells),
    )


def _print_cells(cells: list[Cell]) -> None:
    rows = [
        (
            cell.label,
            measuring.number(cell.budget, ",d"),
            f"{cell.length:,}",
            f"{cell.depth:g}",
            answered(cell.row()) or "-",
            measuring.number(cell.needle_layers, ".0%"),
        )
        for cell in cells
    ]
    headings = ("policy", "budget", "tokens", "depth", "right", "layers holding it")
    measuring.print_table(headings, rows)
