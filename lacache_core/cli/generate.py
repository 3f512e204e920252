"""``generate``: let a model continue a text under a policy; the text streams to stdout."""

from __future__ import annotations

import argparse
import json
import sys
import unicodedata
from typing import Any

from tqdm import tqdm

from lacache_core.cli.options import (
    add_model_options,
    add_output_options,
    add_settings,
    command_parser,
    output_file,
    settings_of,
)
from lacache_core.cli.progress import hidden, load_shown
from lacache_core.errors import InvalidSettingError
from lacache_core.policies import SETTINGS, make_policy

_WRITING = ("max_new_tokens", "temperature", "top_p", "seed", "chat")
_EXAMPLES = """\
examples:
  lacache generate --prompt "Once upon a time" --budget 128 --span 8 --overlap 4
  lacache generate --prompt "What is a ladder?" --chat --temperature 0
  lacache generate --prompt - --policy streaming_llm --trace run.npz < novel.txt

JSON: {"text": what was written, "new_tokens": ..., "stop_reason": ..., "seen": tokens seen,
"held": entries per layer at the end, "tokens_per_second": ...}"""


def add_command(commands: Any) -> None:
    """Add the parser of ``generate``."""
    parser = command_parser(
        commands,
        "generate",
        help="Continue a text under a policy; it streams as it is written.",
        description="Let a model continue a text while its cache is kept within a budget. The "
        "text streams to stdout as it is written; Ctrl+C ends it.",
        epilog=_EXAMPLES,
    )
    parser.add_argument(
        "--prompt", required=True, metavar="TEXT", help="The text; - reads standard input."
    )
    add_settings(parser.add_argument_group("writing"), _WRITING)
    add_settings(parser.add_argument_group("policy"), ("policy", *SETTINGS, "chunk"))
    add_model_options(parser)
    add_output_options(parser)
    parser.add_argument(
        "--trace", type=output_file, metavar="OUT.npz", help="Save what happened, step by step."
    )
    add_settings(parser, ["observe"])
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    prompt = sys.stdin.read() if options.prompt == "-" else options.prompt
    settings = settings_of(options, prompt=prompt)
    if not prompt.strip():
        raise InvalidSettingError("prompt", prompt, "a text of at least one word")
    policy = make_policy(settings.policy, **settings.model_dump())
    loaded = load_shown(options)

    from lacache_core.engine import Engine
    from lacache_core.text import encode

    engine = Engine(
        loaded.model,
        loaded.tokenizer,
        policy,
        observe_every=1 if options.trace and settings.observe else 0,
        chunk=settings.chunk,
    )
    ids = encode(loaded.tokenizer, prompt, chat=settings.chat)
    events = engine.generate(
        ids.tolist(),
        max_new_tokens=settings.max_new_tokens,
        temperature=settings.temperature,
        top_p=settings.top_p,
        seed=settings.seed,
    )
    pieces: list[str] = []
    new_tokens, seconds, event, interrupted = 0, 0.0, None, False
    bar = tqdm(total=len(ids), desc="Reading", unit=" tokens", leave=False, disable=hidden(options))
    try:
        for event in events:
            if event.phase == "prefill":
                bar.update(len(event.token_ids))
            if event.next_token is not None:
                bar.close()
                new_tokens, seconds = new_tokens + 1, seconds + event.seconds
                pieces.append(event.text)
                if not options.json:
                    sys.stdout.write(_harmless(event.text) if sys.stdout.isatty() else event.text)
                    sys.stdout.flush()
    except KeyboardInterrupt:
        interrupted = True
    finally:
        bar.close()
    if options.trace and event is not None:
        with options.trace.open("wb") as file:
            engine.trace().save(file)
    answer = {
        "text": "".join(pieces),
        "new_tokens": new_tokens,
        "stop_reason": "interrupted" if interrupted else engine.stop_reason,
        "seen": event.seen if event else 0,
        "held": event.held if event else 0,
        "tokens_per_second": new_tokens / seconds if seconds else None,
    }
    if options.json:
        print(json.dumps(answer))
    else:
        print()
        if not options.quiet:
            print(_summary(answer), file=sys.stderr)
    return 130 if interrupted else 0


def _summary(answer: dict[str, Any]) -> str:
    speed = answer["tokens_per_second"]
    return (
        f"[{answer['new_tokens']:,} new tokens; ended by: {answer['stop_reason']}; each layer "
        f"holds {answer['held']:,} of {answer['seen']:,} tokens"
        + (f"; {speed:.1f} tokens/s]" if speed else "]")
    )


def _harmless(text: str) -> str:
    """Without control characters: what a model writes must not steer the terminal."""
    return "".join(
        "\N{REPLACEMENT CHARACTER}" if unicodedata.category(c) == "Cc" and c not in "\n\t" else c
        for c in text
    )
