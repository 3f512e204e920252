"""``retained``: which tokens each layer holds after so many, by the rule alone; no model, no torch.

The picture is drawn of ASCII characters, one row per pattern, so that it survives any terminal.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import numpy as np

from lacache_core.cli.options import LADDER, add_output_options, add_settings, command_parser, whole
from lacache_core.ladder import Ladder, LadderConfig, retained
from lacache_core.plan import IntArray

_COLUMNS = 64
_SHADES = " .:-=+*#"
_EXAMPLES = """\
examples:
  lacache retained --layers 30 --budget 256 --span 15 --tokens 1000
  lacache retained --layers 30 --budget 256 --span 8 --overlap 4 --tokens 1000 --json

JSON: {"retained": [[text positions that layer 0 holds], ...], "effective_budget": the most
entries a layer holds after a step, "union": different tokens that some layer holds}"""


def add_command(commands: Any) -> None:
    """Add the parser of ``retained``."""
    parser = command_parser(
        commands,
        "retained",
        help="Which tokens each layer of a ladder holds, by its rule alone (no model).",
        description="Which tokens each layer of a ladder cache holds after a text of --tokens "
        "tokens. Runs the rule alone, without a model.",
        epilog=_EXAMPLES,
    )
    parser.add_argument(
        "--layers",
        type=whole(2, 1024),
        required=True,
        metavar="N",
        help="Decoder layers of the model (the embedded one has 30).",
    )
    parser.add_argument(
        "--tokens",
        type=whole(0, 1_000_000),
        required=True,
        metavar="N",
        help="Tokens that have arrived.",
    )
    add_settings(parser.add_argument_group("ladder"), LADDER)
    add_output_options(parser, progress=False)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    config = LadderConfig(**{name: getattr(options, name) for name in LADDER})
    ladder = config.ladder(options.layers)
    rows = retained(config, options.layers, options.tokens)
    union = len(np.unique(rows))
    if options.json:
        answer = {
            "retained": rows.tolist(),
            "effective_budget": ladder.effective_budget,
            "union": union,
        }
        print(json.dumps(answer))
    else:
        print("\n".join(_table(ladder, rows, union, options.tokens)))
    return 0


def _table(ladder: Ladder, rows: IntArray, union: int, tokens: int) -> list[str]:
    """The figures, and how densely each pattern holds each stretch of the text."""
    share = f" ({union / tokens:.0%} of the text)" if tokens else ""
    lines = [
        f"After {tokens:,} tokens each of {ladder.num_layers} layers holds {rows.shape[1]:,} "
        f"entries (at most {ladder.effective_budget:,} after a step).",
        f"Some layer holds {union:,} different tokens{share}.",
        f"Of {ladder.group_width} neighbouring entries a compaction keeps {ladder.kept_width} "
        "per layer.",
    ]
    if not tokens:
        return lines
    columns = min(_COLUMNS, tokens)
    edges = np.linspace(0, tokens, columns + 1).astype(int)
    # Token t lies in the column that ends behind it.
    column = np.searchsorted(edges, np.arange(tokens), side="right") - 1
    sizes = np.bincount(column, minlength=columns)
    patterns = ladder.row_of_layer
    scale = f"1{tokens:>{columns - 1}}" if columns > 8 else " " * columns
    lines += ["", f"{'layers':>20}  |{scale}| tokens"]
    for pattern in range(int(patterns.max()) + 1):
        layers = np.flatnonzero(patterns == pattern).tolist()
        density = np.bincount(column[rows[layers[0]]], minlength=columns) / sizes
        shade = np.ceil(density * (len(_SHADES) - 1)).astype(int)
        lines.append(f"{_numbers(layers):>20}  |{''.join(_SHADES[s] for s in shade)}|")
    lines.append(f"{'':>20}   share held: 0% '{_SHADES}' 100%")
    return lines


def _numbers(layers: list[int]) -> str:
    """ "1, 3, 5, ... 29", short enough for a row's label: people count layers from 1."""
    words = [str(layer + 1) for layer in layers]
    if len(words) > 4:
        words = [*words[:3], f"... {words[-1]}"]
    return ", ".join(words)
