"""``perplexity``: how well a model predicts a text under each of several policies and budgets."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from lacache_core.cli import measuring
from lacache_core.cli.options import add_settings, command_parser, whole
from lacache_core.cli.progress import load_shown

if TYPE_CHECKING:
    from lacache_core.evaluation.reading import Reading

_EXAMPLES = """\
examples:
  lacache perplexity --text novel.txt --budget 128 --budget 256
  lacache perplexity --policy full --policy lacache:span=15 --policy lacache:span=8,overlap=4
  lacache perplexity --dataset Salesforce/wikitext:wikitext-2-raw-v1 --tokens 4096 --json

JSON: {"cells": [{"policy", "label", "budget", "settings", "tokens", "perplexity",
"tokens_per_second", "held", "union", "kv_bytes", "complete", "ended", "stretches": [{"start",
"stop", "perplexity", "accumulated", "held", "union", "kv_bytes", "ms_per_token", ...}]}], ...}"""


def add_command(commands: Any) -> None:
    """Add the parser of ``perplexity``."""
    parser = command_parser(
        commands,
        "perplexity",
        help="Compare policies and budgets by perplexity on one text.",
        description="Read one text under each of several policies and budgets and compare how well "
        "the model predicts it: perplexity, by position too; speed and memory beside it. What was "
        "measured before is not measured again. Ctrl+C prints what is finished.",
        epilog=_EXAMPLES,
    )
    measuring.add_text(parser)
    parser.add_argument(
        "--tokens",
        type=whole(1, 1_000_000),
        default=1024,
        metavar="N",
        help="How many tokens to predict at most, after the text's first, which nothing predicts; "
        "default 1024.",
    )
    parser.add_argument(
        "--stretch",
        type=whole(1, 1_000_000),
        metavar="N",
        help="Tokens per measured stretch; default: a 32nd of the text.",
    )
    measuring.add_contenders(parser, ("full", "streaming_llm", "lacache"), 256)
    add_settings(parser, ["read_chunk"])
    measuring.add_common(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    measuring.check_output(options)
    grid = measuring.competing(options)
    text = measuring.text_of(options)
    loaded = load_shown(options)

    from lacache_core.evaluation.perplexity import perplexity
    from lacache_core.evaluation.texts import manual
    from lacache_core.text import encode

    ids = encode(loaded.tokenizer, manual() if text is None else text)[: options.tokens + 1]
    found: dict[tuple[str, int | None], Reading] = {}
    with measuring.stoppable() as cancel, measuring.bar(options) as progress:
        for reading in perplexity(
            loaded,
            ids,
            grid,
            stretch=options.stretch,
            chunk=options.read_chunk,
            keeper=measuring.keeper_of(options),
            progress=progress,
            cancel=cancel,
        ):
            found[reading.label, reading.budget] = reading
    readings = list(found.values())
    if options.json:
        answer = measuring.about(loaded, interrupted=cancel.is_set())
        cells = [{**r.row(), "stretches": [s.row() for s in r.stretches]} for r in readings]
        measuring.print_json({**answer, "cells": cells})
    elif options.csv:
        measuring.print_csv(stretches_as_rows(readings))
    else:
        print_readings(readings)
    return measuring.INTERRUPTED if cancel.is_set() else 0


def stretches_as_rows(readings: list[Reading]) -> list[dict[str, Any]]:
    """A row for every stretch of every reading; what cannot be read has none."""
    rows = []
    for reading in readings:
        row = reading.row()
        whose = {name: row[name] for name in ("policy", "label", "budget", "settings")}
        rows += [{**whose, **stretch.row()} for stretch in reading.stretches]
    return rows


def print_readings(readings: list[Reading]) -> None:
    """A line for every policy and budget, and what there is to say about one."""
    headings = ("policy", "budget", "perplexity", "tokens", "held", "union", "KV MB", "tokens/s")
    rows = [
        (
            reading.label,
            measuring.number(reading.budget, ",d"),
            measuring.number(reading.perplexity),
            f"{reading.tokens:,}",
            f"{reading.held:,}",
            f"{reading.union:,}",
            measuring.number(reading.kv_bytes / 1e6, ",.1f"),
            measuring.number(reading.tokens_per_second, ",.1f"),
        )
        for reading in readings
    ]
    measuring.print_table(headings, rows)
    for reading in readings:
        if reading.ended:
            print(f"{reading.label}: {reading.ended}")
        elif not reading.complete:
            print(f"{reading.label}: stopped after {reading.tokens:,} of {reading.length:,} tokens")
