"""What the commands that read a text share: reading it under every policy, and telling of it."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from lacache_core.cli import measuring
from lacache_core.cli.options import OF_TEXT, add_settings, whole
from lacache_core.cli.progress import load_shown
from lacache_core.evaluation.contenders import Contender
from lacache_core.evaluation.tables import (
    about,
    as_csv,
    as_json,
    csv_rows,
    in_common,
    reading_cells,
)

if TYPE_CHECKING:
    from lacache_core.evaluation.reading import Reading
    from lacache_core.models import LoadedModel


def add_reading(
    parser: argparse.ArgumentParser,
    run: Callable[[argparse.Namespace], int],
    *,
    tokens: tuple[int, int, str],
    stretch: tuple[int | None, str],
    policies: Sequence[str],
) -> None:
    """Which text, how much of it, in what steps, and who competes; ``run`` carries it out.

    Parameters
    ----------
    tokens
        The fewest, the default, and what they are.
    stretch
        The default, and how that is told.
    policies
        Who competes when nobody says otherwise.
    """
    least, usual, about_tokens = tokens
    usual_stretch, told = stretch
    measuring.add_text(parser)
    parser.add_argument(
        "--tokens",
        type=whole(least, 1_000_000),
        default=usual,
        metavar="N",
        help=f"{about_tokens}; default {usual}.",
    )
    parser.add_argument(
        "--stretch",
        type=whole(1, 1_000_000),
        default=usual_stretch,
        metavar="N",
        help=f"Tokens per measured stretch; default{told}.",
    )
    measuring.add_contenders(parser, policies, 256)
    add_settings(parser, ["read_chunk"])
    measuring.add_common(parser)
    parser.set_defaults(run=run, spelled=OF_TEXT)


def asked_for(options: argparse.Namespace) -> tuple[list[Contender], str | None, LoadedModel]:
    """Who competes, on which text (None: none was named), with which model; all of it checked."""
    measuring.check_output(options)
    competing = measuring.competing(options)
    text = measuring.text_of(options)
    return competing, text, load_shown(options)


def read_and_print(
    options: argparse.Namespace,
    loaded: LoadedModel,
    read: Callable[..., Iterator[Reading]],
    print_tables: Callable[[Sequence[Reading]], None],
    **said: Any,
) -> int:
    """Read to the end or until Ctrl+C, print what is finished; the exit status.

    Parameters
    ----------
    read
        Takes ``chunk``, ``keeper``, ``progress`` and ``cancel``, as ``perplexity`` does.
    print_tables
        Prints it for people.
    said
        What the JSON is to say beside the numbers.
    """
    from lacache_core.evaluation.reading import latest

    readings: list[Reading] = []
    with measuring.stoppable() as cancel, measuring.bar(options) as progress:
        coming = read(
            chunk=options.read_chunk,
            keeper=measuring.keeper_of(options),
            progress=progress,
            cancel=cancel,
        )
        for found in latest(coming):
            readings = found
    cells = reading_cells(readings)
    if options.json:
        answer = about(loaded, **said, interrupted=cancel.is_set())
        print(as_json({**answer, "cells": cells}))
    elif options.csv:
        print(as_csv(csv_rows(cells)), end="")
    else:
        print_tables(readings)
    return measuring.finish(
        options,
        stopped=cancel.is_set(),
        left_out=(f"{r.label}: {r.ended}" for r in readings if r.ended and not r.stretches),
        some=any(r.stretches for r in readings),
    )


def print_readings(readings: Sequence[Reading]) -> None:
    """A line for every policy and budget, and what there is to say about one."""
    common, shares = in_common(reading_cells(readings))
    headings = ["policy", "budget", "perplexity", "tokens", "held", "union", "KV MB", "tokens/s"]
    rows = [
        [
            reading.label,
            measuring.number(reading.budget, ",d"),
            measuring.number(reading.perplexity),
            f"{reading.tokens:,}",
            f"{reading.held:,}",
            f"{reading.union:,}",
            measuring.number(reading.kv_bytes / 1e6, ",.1f"),
            measuring.number(reading.tokens_per_second, ",.1f"),
        ]
        for reading in readings
    ]
    if common:  # they did not read equally far
        headings.insert(3, f"first {common:,}")
        for row, share in zip(rows, shares, strict=True):
            row.insert(3, measuring.number(share))
    measuring.print_table(headings, rows)
    for reading in readings:
        if not reading.stretches:
            continue
        if reading.ended:
            print(f"{reading.label}: {reading.ended}")
        elif not reading.complete:
            print(f"{reading.label}: stopped after {reading.tokens:,} of {reading.length:,} tokens")
