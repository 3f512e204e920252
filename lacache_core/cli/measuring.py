"""What the commands that measure share: who competes, progress, stopping, the store, output.

Knows no measurement; importing it imports no torch.
"""

from __future__ import annotations

import argparse
import math
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from lacache_core.cli.options import (
    add_model_options,
    add_output_options,
    add_settings,
    text_file,
)
from lacache_core.cli.progress import hidden
from lacache_core.errors import InvalidSettingError
from lacache_core.evaluation.contenders import Contender, contenders, parse_budget, parse_policy
from lacache_core.policies import POLICIES, policy_settings
from lacache_core.settings import RunSettings

if TYPE_CHECKING:
    from lacache_core.evaluation.kept import Keeper
    from lacache_core.evaluation.progress import Progress, Report

INTERRUPTED = 130
REFUSED = 2


def add_contenders(
    parser: argparse.ArgumentParser, policies: Sequence[str], budget: int | float
) -> None:
    """``--policy`` and ``--budget``, both repeatable, and the settings of all policies."""
    group = parser.add_argument_group("policies")
    group.add_argument(
        "--policy",
        action="append",
        type=_policy,
        metavar="NAME[:SETTING=VALUE,...]",
        help=f"One of {', '.join(POLICIES)}, if wanted with settings of its own, as in "
        f"lacache:span=8,overlap=4. May be repeated; default {', '.join(policies)}.",
    )
    group.add_argument(
        "--budget",
        action="append",
        type=_budget,
        metavar="N",
        help="Entries that each layer may hold, or a share of the text's length, as in 0.5 or "
        f"50%%. May be repeated: every policy runs with every budget. Default {budget}.",
    )
    known = {name: None for policy in POLICIES for name in policy_settings(policy)}
    mine = [name for name in known if name in RunSettings.model_fields and name != "budget"]
    add_settings(group, mine)
    parser.set_defaults(policies=tuple(policies), default_budget=budget, settings=tuple(mine))


def competing(options: argparse.Namespace) -> list[Contender]:
    """Who competes, by the options."""
    settings = {name: getattr(options, name) for name in options.settings}
    return contenders(
        options.policy or options.policies, options.budget or [options.default_budget], settings
    )


def add_text(parser: argparse.ArgumentParser) -> None:
    """``--text FILE`` or ``--dataset NAME``; neither: Python's manual."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--text",
        type=text_file,
        metavar="FILE",
        help="The text, UTF-8; - reads standard input. Default: Python's own manual.",
    )
    which.add_argument(
        "--dataset",
        metavar="NAME",
        help="A data set of the Hub instead: OWNER/NAME, or OWNER/NAME:CONFIGURATION:SPLIT where "
        "there are several; a folder of text files works too.",
    )


def text_of(options: argparse.Namespace) -> str | None:
    """The text that was asked for; None when none was."""
    from lacache_core.evaluation.texts import hub_text

    return hub_text(options.dataset) if options.dataset else options.text


def add_common(parser: argparse.ArgumentParser) -> None:
    """Model, output and store."""
    add_model_options(parser)
    add_output_options(parser)
    parser.add_argument("--csv", action="store_true", help="Print CSV, a row per measured part.")
    group = parser.add_argument_group("stored results")
    group.add_argument(
        "--fresh", action="store_true", help="Measure again what was measured before."
    )
    group.add_argument(
        "--no-store", action="store_true", help="Neither use nor keep stored results."
    )


def check_output(options: argparse.Namespace) -> None:
    """Refuse ``--json`` together with ``--csv``."""
    if options.json and options.csv:
        raise InvalidSettingError("--csv", "given", "left out where --json is given: choose one")


def keeper_of(options: argparse.Namespace) -> Keeper:
    """The store, as the options want it; what it has to say goes to stderr."""
    from lacache_core.evaluation.kept import Keeper
    from lacache_core.store import Store

    store = None if options.no_store else Store(say=tell)
    return Keeper(store, fresh=options.fresh, say=tell)


def finish(
    options: argparse.Namespace, *, stopped: bool, left_out: Iterable[str], some: bool
) -> int:
    """Say who could not take part, below a table or beside what machines read; the exit status.

    Parameters
    ----------
    stopped
        Whether Ctrl+C ended it.
    left_out
        Why contenders could not take part, a sentence each.
    some
        Whether anything was measured.
    """
    why = list(dict.fromkeys(left_out))
    for text in why:
        if options.json or options.csv:
            tell(text)
        else:
            print(text)
    if stopped:
        return INTERRUPTED
    return REFUSED if why and not some else 0


def tell(text: str) -> None:
    """A line on stderr."""
    tqdm.write(f"lacache: {text}", file=sys.stderr)


@contextmanager
def stoppable() -> Iterator[threading.Event]:
    """Set by Ctrl+C: what is finished is kept and printed. A second one ends at once."""
    cancel = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield cancel  # signals reach the main thread alone
        return

    def stop(number: int, frame: object) -> None:
        cancel.set()
        signal.signal(signal.SIGINT, before)
        tell("Stopping after this step; once more ends at once.")

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield cancel
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def bar(options: argparse.Namespace) -> Iterator[Report]:
    """A bar on stderr with the time remaining, where somebody sits in front of it."""
    form = "{desc} {percentage:3.0f}% {bar:24} {elapsed}{postfix}"
    with tqdm(total=1000, bar_format=form, leave=False, disable=hidden(options)) as shown:

        def show(progress: Progress) -> None:
            shown.set_description_str(progress.what, refresh=False)
            left = "" if progress.remaining is None else f"{_clock(progress.remaining)} left"
            shown.set_postfix_str(left, refresh=False)
            shown.n = int(1000 * progress.fraction)
            shown.refresh()

        yield show


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns on stdout: the first is words, the others are numbers."""
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    for row in (headings, *rows):
        cells = [f"{row[0]:<{widths[0]}}"]
        cells += [f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True)]
        print("  ".join(cells).rstrip())


def number(value: float | None, form: str = ",.3f") -> str:
    """A number for a table; "-" where there is none."""
    return "-" if value is None or not math.isfinite(value) else format(value, form)


def numbers(read: Callable[[str], Any], what: str) -> Callable[[str], list[Any]]:
    """Reads different values separated by commas; for use as an option's ``type``."""

    def parse(text: str) -> list[Any]:
        try:
            parts = [read(part.strip()) for part in text.split(",") if part.strip()]
            found = list(dict.fromkeys(parts))  # each is measured once
        except ValueError:
            found = []
        if not found:
            raise argparse.ArgumentTypeError(
                f"{text!r} is not possible: it must be {what}, separated by commas"
            )
        return found

    return parse


def _clock(seconds: float) -> str:
    return str(tqdm.format_interval(seconds))


def _policy(text: str) -> str:
    try:
        parse_policy(text)
    except InvalidSettingError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not possible: it must be {error.allowed}"
        ) from None
    return text


def _budget(text: str) -> int | float:
    try:
        return parse_budget(text)
    except InvalidSettingError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not possible: it must be {error.allowed}"
        ) from None
