"""Options of the command line, made from the one settings schema, and files named by options.

What a setting is called, means, defaults to and may be stands in ``settings``; here it becomes
``--name VALUE``. Knows no command.
"""

from __future__ import annotations

import argparse
import os
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, NoReturn, get_origin

from lacache_core.errors import InvalidSettingError, LaCacheError
from lacache_core.settings import RunSettings, allowed

LADDER = ("budget", "span", "overlap", "num_sink", "arrangement", "slack")
"""The settings of a ladder, in the order of the help text."""

OF_TEXT = {"prompt": "--text", "text": "--text"}
"""What the commands that take ``--text`` call otherwise than the settings of a run are called."""

_SPELLED: dict[str, tuple[str, ...]] = {
    "num_sink": ("--sinks",),
    "max_new_tokens": ("--max-new-tokens", "--tokens"),
}


class OneLineParser(argparse.ArgumentParser):
    """A parser that complains in one line; its subcommands do so too."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong on stderr and exit with status 2."""
        self.exit(2, f"{self.prog}: {' '.join(message.split())}\n")


def command_parser(
    commands: Any, name: str, *, help: str, description: str, epilog: str
) -> argparse.ArgumentParser:
    """A command's parser; its epilog (examples, what JSON holds) keeps its lines."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=help,
        description=textwrap.fill(description, 88),
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    return parser


def flags(name: str) -> tuple[str, ...]:
    """How a setting is spelled on the command line."""
    return _SPELLED.get(name) or (f"--{name.replace('_', '-')}",)


def in_option_words(error: LaCacheError, spelled: Mapping[str, str] | None = None) -> str:
    """An error's text, naming an option where it names a setting that is one.

    Parameters
    ----------
    spelled
        Options of this command that are called otherwise than their settings, by setting.
    """
    if not isinstance(error, InvalidSettingError):
        return str(error)
    own = spelled or {}

    def option(name: str) -> str:
        return own.get(name) or (flags(name)[0] if name in RunSettings.model_fields else name)

    return error.told(option)


def add_settings(
    parser: argparse._ActionsContainer,
    names: Iterable[str],
    *,
    repeatable: Iterable[str] = (),
) -> None:
    """Add an option for each of these settings; its destination is the setting's name.

    Parameters
    ----------
    repeatable
        Settings that may be given several times; their destination is then a list, empty when the
        option is not given.
    """
    for name in names:
        info = RunSettings.model_fields[name]
        about = f"{info.description} {_sentence(allowed(name))}; default {info.default}."
        about = about.replace("%", "%%")
        if info.annotation is bool:
            parser.add_argument(
                *flags(name),
                dest=name,
                action=argparse.BooleanOptionalAction,
                default=info.default,
                help=str(info.description),
            )
        elif name in repeatable:
            about += " May be repeated."
            parser.add_argument(
                *flags(name),
                dest=name,
                action="append",
                default=[],
                type=_reader(name),
                metavar=_metavar(name),
                help=about,
            )
        else:
            parser.add_argument(
                *flags(name),
                dest=name,
                default=info.default,
                type=_reader(name),
                metavar=_metavar(name),
                help=about,
            )


def settings_of(options: argparse.Namespace, **values: Any) -> RunSettings:
    """The settings that parsed options hold, beside ``values``.

    Raises
    ------
    InvalidSettingError
        As ``RunSettings.validate_values``.
    """
    given = {name: v for name, v in vars(options).items() if name in RunSettings.model_fields}
    return RunSettings.validate_values({**given, **values})


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Which model runs, and where: ``--model``, ``--device``, ``--dtype``."""
    group = parser.add_argument_group("model")
    add_settings(group, ["model"])
    group.add_argument("--device", help="cpu, cuda, cuda:1, mps; default: a GPU if there is one.")
    group.add_argument(
        "--dtype", help="float32, bfloat16 or float16; default: 16 bits on a GPU, float32 on a CPU."
    )


def add_output_options(parser: argparse.ArgumentParser, *, progress: bool = True) -> None:
    """``--json``, and ``--quiet`` for commands that show progress."""
    group = parser.add_argument_group("output")
    group.add_argument("--json", action="store_true", help="Print JSON for machines.")
    if progress:
        group.add_argument("--quiet", action="store_true", help="Show no progress on stderr.")


def whole(low: int, high: int) -> Callable[[str], int]:
    """Reads a whole number within limits, for options that are no setting of a run."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(
                f"{text!r} is not possible: it must be a whole number from {low} to {high}"
            )
        return value

    return read


def text_file(name: str) -> str:
    """The text in a file, or of standard input for ``-``; for use as an option's ``type``."""
    try:
        if not name:
            raise argparse.ArgumentTypeError("'' is no file")
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        return data.decode("utf-8-sig")  # without the mark that some editors put first
    except OSError as error:
        raise argparse.ArgumentTypeError(f"cannot read {name!r}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise argparse.ArgumentTypeError(f"{name!r} is not a text file in UTF-8") from None


def output_file(name: str) -> Path:
    """A path that can be written, found out before the work begins; an option's ``type``."""
    path = Path(name)
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{name!r} is a folder; name a file")
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {str(path.parent)!r}")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise argparse.ArgumentTypeError(f"{name!r} cannot be written")
    return path


def _reader(name: str) -> Callable[[str], Any]:
    """Reads one setting and holds it against the schema."""
    kind = RunSettings.model_fields[name].annotation

    def read(text: str) -> Any:
        value: Any = text
        if kind in (int, float):
            try:
                value = kind(text)  # type: ignore[misc]
            except ValueError:
                pass  # the schema refuses text, in words
        try:
            return getattr(RunSettings.validate_values({name: value}), name)
        except InvalidSettingError as error:
            raise argparse.ArgumentTypeError(
                f"{text!r} is not possible: it must be {error.allowed}"
            ) from None

    return read


def _metavar(name: str) -> str:
    kind = RunSettings.model_fields[name].annotation
    if get_origin(kind) is Literal:
        return "NAME"
    return "N" if kind is int else "X" if kind is float else "ID"


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]
