"""The command line: ``python -m lacache_core COMMAND``, or ``lacache COMMAND`` once installed.

One module per command, named in ``COMMANDS``; each has ``add_command(commands)``, which adds its
parser and sets ``run``, a function from the parsed options to the exit status. To add one: write
its module, then name it there. Importing a command must not import torch; running it may.

Exit status: 0 done; 1 a model or text cannot be had or something broke; 2 bad arguments, with one
line on stderr, or a measurement in which no policy could take part; 130 interrupted; 141 whoever
read the output, such as head, had enough of it.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from lacache_core import __version__
from lacache_core.cli.options import OneLineParser, in_option_words
from lacache_core.devices import is_out_of_memory
from lacache_core.errors import LaCacheError, ModelUnavailableError, TextUnavailableError

_ENOUGH = 141  # what a shell says of a program that SIGPIPE ended
COMMANDS = ("retained", "read", "generate", "perplexity", "needle", "endless", "models")

_DESCRIPTION = """\
A ladder-shaped key-value cache under a fixed budget: see what it keeps, read or write
text with it, compare it with other policies."""
_EXAMPLES = """\
examples:
  lacache retained --layers 30 --budget 256 --span 15 --tokens 1000
  lacache read --text novel.txt --policy lacache --budget 256 --span 15 --tokens 1024
  lacache generate --prompt "Once upon a time" --budget 128 --span 8 --overlap 4
  lacache perplexity --text novel.txt --budget 128 --budget 256
  lacache needle --policy lacache --policy streaming_llm --budget 0.5
  lacache endless --tokens 20000
  lacache models

'lacache COMMAND --help' explains a command. Without installing, 'python -m lacache_core'
does the same as 'lacache'. LACACHE_MODEL, LACACHE_DEVICE and LACACHE_DTYPE set other
defaults; LACACHE_HOME is where the embedded model is kept, LACACHE_RESULTS where
measured results are."""


def build_parser() -> OneLineParser:
    """The parser with all commands; imports no torch."""
    parser = OneLineParser(
        prog="lacache",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"lacache {__version__}")
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND")
    for name in COMMANDS:
        import_module(f"lacache_core.cli.{name}").add_command(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    arguments
        What follows the program's name; None: what this process was started with.

    Returns
    -------
    int
        The exit status.
    """
    if sys.stdout is None:
        return _complain("Standard output is closed: there is nowhere to write the answer.", 1)
    options = argparse.Namespace()
    try:
        parser = build_parser()
        options = parser.parse_args(arguments)
        if options.command is None:
            parser.error(f"name a command: {', '.join(COMMANDS)} (--help says what they do)")
        status = int(options.run(options))
        sys.stdout.flush()
        return status
    except SystemExit as stop:  # argparse: help was shown, or an argument is wrong
        return int(stop.code or 0)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader, such as head, had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _ENOUGH
    except (ModelUnavailableError, TextUnavailableError) as error:
        return _complain(str(error), 1)
    except LaCacheError as error:
        return _complain(in_option_words(error, getattr(options, "spelled", None)), 2)
    except Exception as error:  # no traceback reaches a user who did not ask for one
        if os.environ.get("LACACHE_DEBUG"):
            raise
        if is_out_of_memory(error):
            return _complain("Memory ran out: take a smaller budget, chunk or model.", 1)
        what = f"{type(error).__name__}: {error}"
        return _complain(f"Something went wrong ({what}). LACACHE_DEBUG=1 shows where.", 1)


def _complain(text: str, status: int) -> int:
    """One line on stderr."""
    print(f"lacache: {' '.join(text.split())}", file=sys.stderr)
    return status
