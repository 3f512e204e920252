"""Markdown tables from what the command line measured: policies down, budgets across; of a needle
grid, depths across, a table for every length.

python -m lacache_core perplexity --text novel.txt ... --json > novel.json
python -m benchmarks tables novel.json
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Cell = dict[str, Any]
NONE = "–"


def table(cells: list[Cell], value: Callable[[Cell], str], best: Callable[[Cell], float]) -> str:
    """Policies down, budgets across; in each column the least ``best`` is bold."""
    budgets = sorted({cell["budget"] for cell in cells if cell["budget"] is not None})
    columns = budgets or [None]
    lines = ["| policy | " + " | ".join(f"budget {budget:,}" for budget in columns) + " |"]
    lines.append("|---|" + "--:|" * len(columns))
    rivals = [cell for cell in cells if cell["budget"] is not None]
    least = {b: min((best(c) for c in rivals if c["budget"] == b), default=0.0) for b in columns}
    for name in dict.fromkeys(name_of(cell) for cell in cells):
        mine = {cell["budget"]: cell for cell in cells if name_of(cell) == name}
        shown = []
        for budget in columns:
            cell = mine.get(budget, mine.get(None))
            text = "" if cell is None else value(cell)
            bold = cell is not None and budget in mine and best(cell) == least[budget]
            shown.append(f"**{text}**" if bold else text)
        lines.append(f"| {name} | " + " | ".join(shown) + " |")
    return "\n".join(lines)


def needle_tables(cells: list[Cell]) -> str:
    """For each length: policies down, depths across; right answers and the share still held."""
    found = []
    for length in sorted({cell["length"] for cell in cells}):
        here = [cell for cell in cells if cell["length"] == length]
        depths = sorted({cell["depth"] for cell in here})
        lines = [f"| {length:,} tokens | " + " | ".join(f"depth {d:g}" for d in depths) + " |"]
        lines.append("|---|" + "--:|" * len(depths))
        for name in dict.fromkeys(name_of(cell) for cell in here):
            at = {cell["depth"]: cell for cell in here if name_of(cell) == name}
            shown = [_answered(at[depth]) if depth in at else NONE for depth in depths]
            lines.append(f"| {name} | " + " | ".join(shown) + " |")
        found.append("\n".join(lines))
    return "\n\n".join(found)


def _answered(cell: Cell) -> str:
    if not cell["trials"]:
        return NONE
    share = f"{cell['needle_layers']:.0%}".replace("%", " %")
    return f"{cell['correct']} of {cell['trials']} ({share})"


def _perplexity(cell: Cell) -> float:
    """Without one, which a policy that could not take part has, no number is less."""
    value = cell["perplexity"]
    return float("inf") if value is None else float(value)


def name_of(cell: Cell) -> str:
    """A contender without its budget."""
    settings = cell["settings"]
    if cell["policy"] == "lacache":
        shape = f"{settings['span']}/{settings['overlap']}"
        return f"LaCache {shape}, {settings['arrangement']}"
    return str(cell["label"]).split(" · ")[0].split(", ")[0]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks tables")
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE.json")
    for path in parser.parse_args(arguments).files:
        try:
            cells = json.loads(path.read_text())["cells"]
            readings = "perplexity" in cells[0]
        except OSError as error:
            parser.error(f"cannot read {str(path)!r}: {error.strerror}")
        except (ValueError, LookupError, TypeError):
            parser.error(f"{str(path)!r} is not what perplexity or needle print with --json")
        print(f"\n{path.stem}\n")
        if readings:
            print(table(cells, _shown, _perplexity))
        else:
            print(needle_tables(cells))
    return 0


def _shown(cell: Cell) -> str:
    return NONE if cell["perplexity"] is None else f"{cell['perplexity']:.2f}"
