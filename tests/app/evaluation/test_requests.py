"""What the controls ask for: as the command line does, or a sentence that names the control."""

from __future__ import annotations

import shlex

import pytest

from app.evaluation.requests import (
    MOST_CONTENDERS,
    Request,
    Text,
    command,
    request_of,
    variant,
)
from lacache_core.cli import build_parser
from lacache_core.cli.measuring import competing
from lacache_core.errors import InvalidSettingError
from lacache_core.evaluation.tasks import TASKS, Grid

READ = {
    "policies": ["full", "lacache"],
    "budgets": ["128", "50%"],
    "variants": ["lacache:span=8,overlap=4"],
    "source": "manual",
    "tokens": 300.0,
    "read_chunk": 1,
    "stretch": None,
}
ASK = {
    "policies": ["streaming_llm"],
    "budgets": ["0.5"],
    "lengths": ["512", "256", "512"],
    "depths": ["0", "50%", "1"],
    "seeds": 2,
    "task": "word",
    "chunk": 64,
}


def test_controls_become_a_request():
    found = request_of("perplexity", READ)
    assert found == Request(
        "perplexity",
        ("full", "lacache", "lacache:span=8,overlap=4"),
        (128, 0.5),
        tokens=300,
        text=Text("manual"),
    )
    asked = request_of("needle", ASK)
    assert asked.grid == Grid([256, 512], [0.0, 0.5, 1.0], 2, TASKS["word"])


@pytest.mark.parametrize(
    "kind, values",
    [
        ("perplexity", READ),
        ("perplexity", {**READ, "stretch": " 25 ", "read_chunk": 16, "num_sink": 8, "fresh": True}),
        ("endless", {**READ, "tokens": 20000, "source": "hub", "dataset": "a/b:c:d"}),
        ("needle", ASK),
        ("needle", {**ASK, "policies": ["full"], "budgets": ["16"], "chunk": 128}),
    ],
)
def test_the_command_asks_for_the_same(kind, values):
    """What the command line makes of the command is what the page makes of the controls."""
    request = request_of(kind, values)
    words = shlex.split(command(request))
    assert words[:4] == ["python", "-m", "lacache_core", kind]
    options = build_parser().parse_args(words[3:])
    theirs = [one.at(512) for one in competing(options)]
    assert theirs == [one.at(512) for one in request.competing()]
    assert options.fresh == request.fresh
    if kind == "needle":
        mine = request.grid
        assert (options.lengths, options.depths) == (mine.lengths, mine.depths)
        assert (options.seeds, options.task) == (mine.seeds, mine.task.name)
        assert options.chunk == request.chunk
    else:
        assert (options.tokens, options.read_chunk) == (request.tokens, request.read_chunk)
        assert options.stretch == (request.stretch or (512 if kind == "endless" else None))
        assert (options.dataset or "") == request.text.dataset


@pytest.mark.parametrize(
    "kind, changed, said",
    [
        ("perplexity", {"policies": [], "variants": []}, "Policies"),
        ("perplexity", {"policies": ["best"], "variants": []}, "Policies = 'best'"),
        ("perplexity", {"policies": None, "variants": None}, "Policies"),
        ("perplexity", {"variants": ["lacache:spam=8"]}, "Variants = 'lacache:spam=8'"),
        ("perplexity", {"variants": ["lacache:span=900"]}, "span a whole number from 1 to 127"),
        ("perplexity", {"budgets": ["8"]}, "budget"),
        ("perplexity", {"budgets": ["lots"]}, "Budgets = 'lots'"),
        ("perplexity", {"budgets": []}, "Budgets"),
        ("perplexity", {"tokens": 3.5}, "Tokens = 3.5"),
        ("perplexity", {"tokens": float("nan")}, "Tokens = nan"),
        ("perplexity", {"tokens": None}, "Tokens is empty"),
        ("perplexity", {"tokens": True}, "Tokens = True"),
        ("perplexity", {"tokens": 10**9}, "100,000"),
        ("perplexity", {"stretch": "-1"}, "Tokens per point = -1"),
        ("perplexity", {"stretch": "a few"}, "Tokens per point = 'a few'"),
        ("perplexity", {"read_chunk": 0}, "Reading chunk = 0"),
        ("perplexity", {"num_sink": "x"}, "Sinks = 'x'"),
        ("perplexity", {"source": "own", "own": "  "}, "Your text"),
        ("perplexity", {"source": "own", "own": "x" * 400_001}, "400,001 characters"),
        ("perplexity", {"source": "hub", "dataset": " "}, "Data set"),
        ("perplexity", {"source": "hub", "dataset": "/etc/ssl"}, "Data set = '/etc/ssl'"),
        ("perplexity", {"source": "hub", "dataset": "../up/here"}, "Data set"),
        ("perplexity", {"source": "elsewhere"}, "Text = 'elsewhere'"),
        ("endless", {"tokens": 1}, "Tokens = 1"),
        ("needle", {"lengths": []}, "Lengths"),
        ("needle", {"lengths": ["many"]}, "Lengths = 'many'"),
        ("needle", {"lengths": ["0"]}, "Lengths = 0"),
        ("needle", {"depths": ["2"]}, "Depths = 2.0"),
        ("needle", {"depths": None}, "Depths"),
        ("needle", {"seeds": 0}, "Prompts per cell = 0"),
        ("needle", {"task": "riddle"}, "Task = 'riddle'"),
        ("needle", {"lengths": [str(n) for n in range(200, 900)]}, "at most 600 cells"),
        ("needle", {"budgets": [str(n) for n in range(20, 46)]}, f"at most {MOST_CONTENDERS}"),
    ],
)
def test_what_is_wrong_names_the_control(kind, changed, said):
    with pytest.raises(InvalidSettingError) as caught:
        request_of(kind, {**(ASK if kind == "needle" else READ), **changed})
    assert said in str(caught.value)


def test_the_full_cache_alone_needs_no_budget():
    assert request_of("perplexity", {**READ, "policies": ["full"], "budgets": [], "variants": []})


def test_a_variant_is_spelled_as_the_command_line_does():
    assert variant({"policy": "lacache", "span": 8, "overlap": 4.0, "num_sink": 4}) == (
        "lacache:span=8,overlap=4"
    )
    assert variant({"policy": "full", "span": 8}) == "full"
    assert variant({"policy": "snapkv", "pooling": "max", "kernel": 7}) == (
        "snapkv:kernel=7,pooling=max"
    )
    with pytest.raises(InvalidSettingError, match="span"):
        variant({"policy": "lacache", "span": 900})


def test_what_a_line_says_of_a_request_has_no_text_in_it():
    request = request_of("perplexity", {**READ, "source": "own", "own": "my secret words"})
    assert "secret" not in request.about() + command(request)
    assert "secret" not in str(request.form) and request.form["source"] == "own"
    assert "17 tokens predicted" in request.about(18)  # the text was shorter than asked for
    assert "Your own text, 300 tokens predicted" in request.about()


def test_a_public_space_reads_no_folder_as_a_data_set(monkeypatch, tmp_path):
    (tmp_path / "some" / "folder").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    values = {**READ, "source": "hub", "dataset": "some/folder"}
    assert request_of("perplexity", values).text.dataset == "some/folder"
    monkeypatch.setenv("SPACE_ID", "somebody/space")
    with pytest.raises(InvalidSettingError, match="Data set"):
        request_of("perplexity", values)
