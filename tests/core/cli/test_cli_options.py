"""Options are the settings schema, and help explains them."""

from __future__ import annotations

import pytest

from lacache_core import cli
from lacache_core.cli.options import add_settings, flags
from lacache_core.settings import RunSettings, allowed


@pytest.mark.parametrize("command", [[], *([name] for name in cli.COMMANDS)], ids=str)
def test_help_explains_with_examples(run, command):
    status, out, err = run(*command, "--help")
    assert (status, err) == (0, "")
    assert "examples:" in out and "lacache " in out
    assert max(map(len, out.splitlines())) <= 100


def test_options_are_the_schema(capsys):
    """Every setting can become an option, with its help, default and limits."""
    parser = cli.OneLineParser(prog="x")
    names = list(RunSettings.model_fields)
    add_settings(parser, names, repeatable=["policy"])
    given = parser.parse_args([])
    for name, info in RunSettings.model_fields.items():
        assert getattr(given, name) == ([] if name == "policy" else info.default)
    given = parser.parse_args(["--policy", "full", "--policy", "lacache", "--no-observe"])
    assert given.policy == ["full", "lacache"]
    assert given.observe is False
    words = " ".join(parser.format_help().split())
    for name, info in RunSettings.model_fields.items():
        assert flags(name)[0] in words
        assert " ".join(info.description.split()) in words
        if info.annotation is int:
            assert allowed(name)[1:] in words
