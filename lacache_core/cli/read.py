"""``read``: feed a model a given text under a policy, and measure how well it predicts it."""

from __future__ import annotations

import argparse
import json
import math
import time
from typing import Any

from tqdm import tqdm

from lacache_core.cli.options import (
    OF_TEXT,
    add_model_options,
    add_output_options,
    add_settings,
    command_parser,
    output_file,
    settings_of,
    text_file,
    whole,
)
from lacache_core.cli.progress import hidden, load_shown
from lacache_core.policies import SETTINGS, make_policy

_EXAMPLES = """\
examples:
  lacache read --text novel.txt --policy lacache --budget 256 --span 15 --tokens 1024
  lacache read --text novel.txt --policy streaming_llm --budget 256 --json
  cat novel.txt | lacache read --text - --policy full

JSON: {"perplexity": exp of the mean loss, "nll": [loss in nats of each token after the
first], "held": entries per layer at the end, "tokens_per_second": ...}"""


def add_command(commands: Any) -> None:
    """Add the parser of ``read``."""
    parser = command_parser(
        commands,
        "read",
        help="Read a text under a policy and measure its perplexity.",
        description="Feed a model a text, token by token, under a cache policy, and measure how "
        "well it predicts each next token: the perplexity. Policies compare on equal terms.",
        epilog=_EXAMPLES,
    )
    parser.add_argument(
        "--text",
        type=text_file,
        required=True,
        metavar="FILE",
        help="The text, UTF-8; - reads standard input.",
    )
    parser.add_argument(
        "--tokens",
        type=whole(1, 1_000_000),
        default=1024,
        metavar="N",
        help="How many tokens to predict at most, after the text's first, which nothing predicts; "
        "default 1024.",
    )
    add_settings(parser.add_argument_group("policy"), ("policy", *SETTINGS, "read_chunk"))
    add_model_options(parser)
    add_output_options(parser)
    parser.add_argument(
        "--trace", type=output_file, metavar="OUT.npz", help="Save what happened, step by step."
    )
    parser.set_defaults(run=_run, spelled=OF_TEXT)


def _run(options: argparse.Namespace) -> int:
    settings = settings_of(options, mode="read")
    policy = make_policy(settings.policy, **settings.model_dump())
    loaded = load_shown(options)

    from lacache_core.engine import Engine
    from lacache_core.text import encode

    # The text's first token is given, so one more is read than is predicted.
    ids = encode(loaded.tokenizer, options.text)[: options.tokens + 1]
    engine = Engine(loaded.model, loaded.tokenizer, policy)
    started = time.perf_counter()
    hide = hidden(options)
    with tqdm(total=len(ids), desc="Reading", unit=" tokens", leave=False, disable=hide) as bar:
        for event in engine.read(ids.tolist(), chunk=settings.read_chunk):
            bar.update(len(event.token_ids))
    speed = len(ids) / (time.perf_counter() - started)
    trace = engine.trace()
    if options.trace:
        with options.trace.open("wb") as file:
            trace.save(file)
    answer = {
        "perplexity": _number(trace.perplexity()),
        "nll": [_number(loss) for loss in trace.nll[1:]],
        "held": event.held,
        "tokens_per_second": speed,
    }
    if options.json:
        print(json.dumps(answer, allow_nan=False))
        return 0
    targets = len(ids) - 1
    capacity = engine.planner.capacity
    shown = "unknown: one token predicts nothing" if not targets else f"{trace.perplexity():.3f}"
    print(f"policy       {policy.label}")
    print(f"perplexity   {shown}  (over {targets:,} tokens)")
    limit = "no limit" if capacity is None else f"at most {capacity:,}"
    print(f"held         {event.held:,} of {event.seen:,} tokens per layer ({limit})")
    print(f"speed        {speed:.1f} tokens/s on {loaded.model.device}, {loaded.model.dtype}")
    return 0


def _number(value: float) -> float | None:
    """A number as JSON has it; what is none is null."""
    return float(value) if math.isfinite(value) else None
