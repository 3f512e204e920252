"""A measurement as the page shows it: figures, a table, and what is to be said of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from app.evaluation.figures import (
    budget_in_words,
    endless_figures,
    grouped,
    legend,
    name_of,
    needle_figures,
    reading_figures,
)
from lacache_core.evaluation.tables import answered, in_common

Row = Mapping[str, Any]
Message = dict[str, Any]
NONE = "–"

_READING = (
    ("Policy", ""),
    ("Perplexity", "over all tokens read; lower is better"),
    ("Tokens", "read so far"),
    ("Held", "entries per layer at the end"),
    ("Remembered", "different tokens that at least one layer still holds"),
    ("KV cache", "memory of keys and values at the end"),
    ("Tokens/s", ""),
)
_NEEDLE = (
    ("Policy", ""),
    ("Tokens", "of the whole prompt"),
    ("Depth", "0 %: at the beginning; 100 %: right before the question"),
    ("Right", "answers that contain the key"),
    (
        "Needle still held",
        "share of the needle, over layers and tokens, when the question came",
    ),
    ("Held", "entries per layer when the question had been read"),
)


def report(kept: Row) -> Message:
    """The message for the page, from a measurement as it is stored."""
    kind, cells = kept["kind"], kept["cells"]
    notes = list(kept["notes"])
    over = kept["state"] in ("done", "stopped", "failed")
    if kind == "needle":
        grid = kept.get("grid")  # older results have none
        figures = needle_figures(cells, kept["budgets"], grid) if cells else []
        if over and cells and grid and (missing := _missing(kept)):
            notes.append(missing)
        table = _needle_table(cells, kept["budgets"])
        notes += [
            f"{c['label']}, {c['length']:,} tokens: {c['refused']}" for c in cells if c["refused"]
        ]
    else:
        figures = (reading_figures if kind == "perplexity" else endless_figures)(cells)
        figures = [figure for figure in figures if figure["spec"]["data"]]
        table = _reading_table(cells, over)
        notes += [said for cell in cells if (said := _said(cell, over))]
        if over and _never_full(cells):
            notes.append("No budget was ever full: nothing was dropped, so all read alike.")
    about = kept["about"]
    own = over and (kept.get("form") or {}).get("source") == "own"
    again = "The form does not remember it: to measure it again, paste it again." if own else ""
    made = [about.get("text", ""), again, _machine(about)]
    return {
        "kind": kind,
        "title": kept["title"],
        "command": kept["command"],
        "created": kept["created"],
        "state": {"name": kept["state"], "message": kept["message"]},
        "progress": None,
        "made": " ".join(filter(None, made)),
        "figures": figures if cells else [],
        "legend": [] if kind == "needle" else legend(cells),
        "table": table,
        "cells": [_opened(cell) for cell in cells] if kind == "needle" else [],
        "notes": list(dict.fromkeys(notes)),
    }


def _columns(columns: Sequence[tuple[str, str]]) -> list[Message]:
    return [{"label": label, "hint": hint} for label, hint in columns]


def _reading_table(cells: Sequence[Row], over: bool) -> Message:
    columns, rows = _columns(_READING), [_reading_row(cell) for cell in cells]
    settled = [k for k, c in enumerate(cells) if over or c["complete"] or c["ended"]]
    common, shares = in_common([cells[k] for k in settled])
    if common:  # they did not read equally far
        hint = "Perplexity over the tokens that all have read; lower is better"
        columns.insert(2, {"label": f"Of the first {common:,}", "hint": hint})
        of = dict(zip(settled, shares, strict=True))
        for k, row in enumerate(rows):
            row["cells"].insert(2, number(of.get(k), ",.3f"))
    return {"columns": columns, "rows": rows}


def _reading_row(cell: Row) -> Message:
    read = bool(cell["stretches"])
    return {
        "cells": [
            name_of(cell),
            number(cell["perplexity"], ",.3f"),
            _tokens(cell) if read else NONE,
            f"{cell['held']:,}" if read else NONE,
            f"{cell['union']:,}" if read else NONE,
            f"{cell['kv_bytes'] / 1e6:,.1f} MB" if read else NONE,
            number(cell["tokens_per_second"], ",.1f"),
        ]
    }


def _tokens(cell: Row) -> str:
    """How many were read, and of how many where some are missing."""
    if cell["complete"]:
        return f"{cell['tokens']:,}"
    return f"{cell['tokens']:,} of {cell['length']:,}"


def _missing(kept: Row) -> str:
    """How many cells of a grid were not measured; "" when all were."""
    places = len(kept["grid"]["lengths"]) * len(kept["grid"]["depths"])
    wanted, there = places * len(kept["budgets"]), len(kept["cells"])
    return f"{there:,} of {wanted:,} cells were measured." if there < wanted else ""


def contenders_in_words(cells: Sequence[Row], budgets: Sequence[int | float | None]) -> str:
    """Who competes, and under which of the budgets that were asked for."""
    if not cells:
        return ""
    who = ", ".join(dict.fromkeys(str(cell["label"]) for cell in cells))
    sizes = ", ".join(budget_in_words(size) for size in dict.fromkeys(budgets) if size is not None)
    return f"{who}; budget {sizes}" if sizes else who


def _needle_table(cells: Sequence[Row], budgets: Sequence[int | float | None]) -> Message:
    rows: dict[int, Message] = {}
    for k, mine in enumerate(grouped(cells)):
        for n, cell in mine:
            held = [answer["held"] for answer in cell["answers"]]
            shown = [
                name_of(cell, budgets[k] if k < len(budgets) else None),
                f"{cell['length']:,}",
                percent(cell["depth"]),
                answered(cell) or NONE,
                percent(cell["needle_layers"]),
                f"{max(held):,}" if held else NONE,
            ]
            rows[n] = {"cells": shown, "cell": n if cell["answers"] else None}
    return {"columns": _columns(_NEEDLE), "rows": [rows[n] for n in sorted(rows)]}


def _opened(cell: Row) -> Message:
    """What the panel of a cell shows; the model's own words are shown as text only."""
    return {
        "label": name_of(cell),
        "length": cell["length"],
        "depth": percent(cell["depth"]),
        "answers": [
            {name: a[name] for name in ("seed", "key", "answer", "correct", "record")}
            | {"layers": percent(a["needle_layers"])}
            for a in cell["answers"]
        ],
    }


def _said(cell: Row, over: bool) -> str:
    if cell["ended"]:
        return f"{cell['label']}: {cell['ended']}"
    if over and not cell["complete"] and cell["stretches"]:
        return f"{name_of(cell)}: read {cell['tokens']:,} of {cell['length']:,} tokens."
    return ""


def _never_full(cells: Sequence[Row]) -> bool:
    """Whether every policy with a budget held all that it read."""
    read = [cell for cell in cells if cell["stretches"] and cell["budget"] is not None]
    return bool(read) and all(cell["held"] == cell["tokens"] for cell in read)


def _machine(about: Row) -> str:
    if "model" not in about:
        return ""
    return f"Model {about['model']}, {about['dtype']}, on {about['device']}."


def number(value: float | None, form: str) -> str:
    """A number for a table; a dash where there is none."""
    return NONE if value is None or not math.isfinite(value) else format(value, form)


def percent(share: float | None) -> str:
    """A share as whole per cent; a dash where there is none."""
    return number(share, ".0%").replace("%", " %")
