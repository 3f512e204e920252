"""``perplexity``: how well a model predicts a text under each of several policies and budgets."""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

from lacache_core.cli.measuring import tell
from lacache_core.cli.options import command_parser
from lacache_core.cli.readings import add_reading, asked_for, print_readings, read_and_print

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
    about_tokens = (
        "How many tokens to predict at most, after the text's first, which nothing predicts"
    )
    add_reading(
        parser,
        _run,
        tokens=(1, 1024, about_tokens),
        stretch=(None, ": a 32nd of the text"),
        policies=("full", "streaming_llm", "lacache"),
    )


def _run(options: argparse.Namespace) -> int:
    competing, text, loaded = asked_for(options)

    from lacache_core.evaluation.perplexity import perplexity
    from lacache_core.evaluation.texts import manual
    from lacache_core.text import encode

    ids = encode(loaded.tokenizer, manual() if text is None else text)[: options.tokens + 1]
    if len(ids) <= options.tokens:
        tell(f"The text has {len(ids):,} tokens: fewer than asked for.")
    read = partial(perplexity, loaded, ids, competing, stretch=options.stretch)
    return read_and_print(options, loaded, read, print_readings)
