"""Something moving on stderr while work goes on, where somebody sits in front of it."""

from __future__ import annotations

import argparse
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm

from lacache_core.embedded import Progress
from lacache_core.models import LoadedModel, load


def hidden(options: argparse.Namespace) -> bool:
    """Whether progress is not to be shown: ``--quiet``, or stderr is no terminal."""
    return bool(options.quiet) or not sys.stderr.isatty()


@contextmanager
def waiting(hide: bool) -> Iterator[Progress]:
    """A line that says what is being done, how far it is, and for how long."""
    done = threading.Event()
    with tqdm(total=100, bar_format="{desc} {bar:24} {elapsed}", leave=False, disable=hide) as bar:

        def show(message: str, fraction: float | None) -> None:
            bar.set_description_str(message)
            bar.n = 0 if fraction is None else int(100 * fraction)
            bar.refresh()

        def tick() -> None:
            while not done.wait(0.5):
                bar.refresh()

        ticker = threading.Thread(target=tick, daemon=True)
        ticker.start()
        try:
            yield show
        finally:
            done.set()
            ticker.join()


def load_shown(options: argparse.Namespace) -> LoadedModel:
    """The model that the options name, loaded with something moving.

    Raises
    ------
    ModelUnavailableError, UnsupportedModelError, InvalidSettingError
        As ``load``.
    """
    if hidden(options):  # read by huggingface_hub and transformers when they are imported
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    with waiting(hidden(options)) as show:
        return load(options.model, device=options.device, dtype=options.dtype, progress=show)
