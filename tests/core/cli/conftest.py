"""What tests of the command line share: a tiny model, a text, and a way to run a command."""

from __future__ import annotations

import pytest
from command_line import TEXT
from tiny import tiny_folder
from transformers.utils import logging as transformers_logging

from lacache_core.cli import main


@pytest.fixture(scope="module", autouse=True)
def no_progress_bars():
    """A program of its own turns them off before transformers is imported; here it already is."""
    transformers_logging.disable_progress_bar()
    yield
    transformers_logging.enable_progress_bar()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A tiny model in a folder; one token a byte."""
    return str(tiny_folder(tmp_path_factory.mktemp("model")))


@pytest.fixture
def text(tmp_path):
    """A text of 216 tokens in a file."""
    file = tmp_path / "text.txt"
    file.write_text(TEXT)
    return str(file)


@pytest.fixture
def run(capsys):
    """Runs a command; gives status, stdout, stderr."""

    def run(*arguments):
        status = main([str(a) for a in arguments])
        out, err = capsys.readouterr()
        return status, out, err

    return run
