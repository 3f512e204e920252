"""What the commands that read a text share: reading it under every policy, and telling of it."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from lacache_core.cli import measuring
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
        Takes ``keeper``, ``progress`` and ``cancel``, as ``perplexity`` and ``endless`` do.
    print_tables
        Prints it for people.
    said
        What the JSON is to say beside the numbers.
    """
    from lacache_core.evaluation.reading import latest

    readings: list[Reading] = []
    with measuring.stoppable() as cancel, measuring.bar(options) as progress:
        coming = read(keeper=measuring.keeper_of(options), progress=progress, cancel=cancel)
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
