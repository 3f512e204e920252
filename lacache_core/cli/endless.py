"""``endless``: read on and on under a budget; perplexity, memory and time by stretch."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from lacache_core.cli import measuring
from lacache_core.cli.options import command_parser
from lacache_core.cli.readings import add_reading, asked_for, print_readings, read_and_print

if TYPE_CHECKING:
    from lacache_core.evaluation.reading import Reading

_SHOWN = 12  # lines of the table; JSON and CSV have all stretches
_EXAMPLES = """\
examples:
  lacache endless --tokens 20000 --budget 256
  lacache endless --policy lacache:span=8,overlap=4 --text novel.txt --json

JSON: {"text": how the text was made, "cells": [{"policy", "label", "budget", "tokens", "ended",
"stretches": [{"start", "stop", "perplexity", "held", "kv_bytes", "ms_per_token", ...}], ...}],
...}"""


def add_command(commands: Any) -> None:
    """Add the parser of ``endless``."""
    parser = command_parser(
        commands,
        "endless",
        help="Read tens of thousands of tokens under a budget, beside the full cache.",
        description="Read a long text under a budget and show perplexity, memory and time per "
        "token by stretch, beside the full cache until its positions run out. A text that is too "
        "short is continued with Python's manual. Ctrl+C prints what is finished.",
        epilog=_EXAMPLES,
    )
    add_reading(
        parser,
        _run,
        tokens=(2, 20_000, "How many tokens to read"),
        stretch=(512, " 512"),
        policies=("lacache", "streaming_llm", "full"),
    )


def _run(options: argparse.Namespace) -> int:
    competing, given, loaded = asked_for(options)

    from lacache_core.evaluation.endless import endless, long_text
    from lacache_core.text import encode

    ids = None if given is None else encode(loaded.tokenizer, given)
    text = long_text(loaded.tokenizer, ids, options.tokens)
    read = partial(endless, loaded, text, competing, stretch=options.stretch)

    def print_tables(readings: Sequence[Reading]) -> None:
        print(text.made)
        for reading in readings:
            _print_stretches(reading)
        print()
        print_readings(readings)

    return read_and_print(options, loaded, read, print_tables, text=text.made)


def _print_stretches(reading: Reading) -> None:
    budget = "" if reading.budget is None else f", budget {reading.budget:,}"
    print(f"\n{reading.label}{budget}")
    every = max(1, -(-len(reading.stretches) // _SHOWN))
    rows = [
        (
            f"{stretch.start:,}-{stretch.stop - 1:,}",
            measuring.number(stretch.perplexity),
            measuring.number(stretch.accumulated),
            f"{stretch.held:,}",
            measuring.number(stretch.kv_bytes / 1e6, ",.1f"),
            measuring.number(stretch.ms_per_token, ",.1f"),
        )
        for i, stretch in enumerate(reading.stretches)
        if i % every == 0 or i == len(reading.stretches) - 1
    ]
    headings = ("tokens", "perplexity", "so far", "held", "KV MB", "ms/token")
    measuring.print_table(headings, rows)
