"""What was measured as rows, CSV and JSON: the same from the command line and from the page.

Knows nothing of where the texts go. Importing it imports no torch.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lacache_core.evaluation.needle import Cell
    from lacache_core.evaluation.reading import Reading
    from lacache_core.models import LoadedModel

Row = dict[str, Any]


def about(loaded: LoadedModel, **more: Any) -> Row:
    """What the numbers were measured with."""
    import torch
    import transformers

    from lacache_core import __version__

    return {
        "model": loaded.id,
        "dtype": str(loaded.model.dtype).removeprefix("torch."),
        "device": str(loaded.model.device),
        "versions": {
            "lacache_core": __version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
        **more,
    }


def reading_cells(readings: Iterable[Reading]) -> list[Row]:
    """Readings with their stretches, for JSON."""
    return [{**r.row(), "stretches": [s.row() for s in r.stretches]} for r in readings]


def needle_cells(cells: Iterable[Cell]) -> list[Row]:
    """Cells with what was answered, for JSON."""
    return [{**c.row(), "answers": [asdict(t) for t in c.trials]} for c in cells]


def answered(cell: Mapping[str, Any]) -> str:
    """How many of a needle cell's answers were right, and how many are missing; "" without any."""
    if not cell["trials"]:
        return ""
    told = f"{cell['correct']} of {cell['trials']}"
    missing = cell.get("asked", 0) - cell["trials"]  # of which older results say nothing
    return f"{told}, {missing} not asked" if missing > 0 else told


def in_common(cells: Sequence[Mapping[str, Any]]) -> tuple[int, list[float | None]]:
    """Readings of different lengths on equal terms: up to the last token that all have read.

    Takes what ``reading_cells`` gives. A perplexity over more tokens is another number, since a
    text is not equally hard everywhere.

    Returns
    -------
    tuple
        How many tokens, and the perplexity over them of each reading; None where one never began.
        No tokens when there is nothing to put right: all read equally far, or have no stretch in
        common.
    """
    read = [cell for cell in cells if cell["stretches"]]
    stops = [{stretch["stop"]: stretch["accumulated"] for stretch in c["stretches"]} for c in read]
    nothing: tuple[int, list[float | None]] = 0, [None] * len(cells)
    if len({max(each) for each in stops}) < 2:
        return nothing
    shared = set.intersection(*map(set, stops))
    if not shared:
        return nothing
    at = max(shared)
    found = iter(each[at] for each in stops)
    return at, [next(found) if cell["stretches"] else None for cell in cells]


def csv_rows(cells: Sequence[Mapping[str, Any]]) -> list[Row]:
    """A row for every stretch of a reading, or for every cell of a needle grid.

    Takes what ``reading_cells`` or ``needle_cells`` gives; what could not be read has no rows.
    """
    rows: list[Row] = []
    for cell in cells:
        if "stretches" in cell:
            named = ("policy", "label", "budget", "settings", "length", "complete")
            whose = {name: cell[name] for name in named}
            rows += [{**whose, **stretch} for stretch in cell["stretches"]]
        else:
            rows.append({name: value for name, value in cell.items() if name != "answers"})
    return rows


def as_json(answer: Mapping[str, Any]) -> str:
    """One line of JSON; numbers that are none become null."""
    return json.dumps(finite(answer), allow_nan=False)


def as_csv(rows: Iterable[Mapping[str, Any]]) -> str:
    """CSV with a heading; what is no plain value is written as JSON. Empty without rows."""
    file = io.StringIO()
    writer = None
    for row in rows:
        flat = {
            name: json.dumps(value) if isinstance(value, (dict, list)) else value
            for name, value in finite(row).items()
        }
        if writer is None:
            writer = csv.DictWriter(file, flat, lineterminator="\n")
            writer.writeheader()
        writer.writerow(flat)
    return file.getvalue()


def finite(value: Any) -> Any:
    """The same with None in place of numbers that JSON does not have."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {name: finite(v) for name, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(v) for v in value]
    return value
