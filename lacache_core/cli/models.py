"""``models``: which models are known, which are here; and getting the embedded one."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import Any

from lacache_core.cli.options import add_output_options, command_parser
from lacache_core.cli.progress import hidden, waiting
from lacache_core.embedded import ensure_embedded
from lacache_core.models import KnownModel, known_models
from lacache_core.settings import default_model_id

_EXAMPLES = """\
examples:
  lacache models
  lacache models --get     (fetches the embedded model, 93 MB, and converts it once)

JSON: {"default": id, "models": [{"id", "source", "present", "num_layers", "num_bytes",
"default"}, ...]}"""


def add_command(commands: Any) -> None:
    """Add the parser of ``models``."""
    parser = command_parser(
        commands,
        "models",
        help="Which models are known, and which are on this machine.",
        description="Which models are known, and which are on this machine. Any other decoder-only "
        "model with rotary positions works by its Hub id or folder: --model ID.",
        epilog=_EXAMPLES,
    )
    parser.add_argument(
        "--get",
        action="store_true",
        help="Get the embedded model, if it is not here, and say where.",
    )
    add_output_options(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    if options.get:
        with waiting(hidden(options)) as show:
            folder = ensure_embedded(show)
        if not options.json:
            print(f"Embedded model: {folder}")
            return 0
    models = list(known_models())
    if options.json:
        answer = {"default": default_model_id(), "models": [asdict(model) for model in models]}
        print(json.dumps(answer))
        return 0
    width = max(len(model.id) for model in models)
    print(f"  {'model':<{width}}  {'here':<4}  {'layers':>6}  {'size':>8}  source")
    for model in models:
        print(_line(model, width))
    print("* runs when none is named (LACACHE_MODEL sets another)")
    return 0


def _line(model: KnownModel, width: int) -> str:
    layers = "?" if model.num_layers is None else str(model.num_layers)
    size = "-" if model.num_bytes is None else f"{model.num_bytes / 1e6:,.0f} MB"
    here = "yes" if model.present else "no"
    mark = "*" if model.default else " "
    return f"{mark} {model.id:<{width}}  {here:<4}  {layers:>6}  {size:>8}  {model.source}"
