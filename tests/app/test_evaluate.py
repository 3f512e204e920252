"""What the Evaluate page does by itself: words on settings, files that are opened, findings."""

from __future__ import annotations

import json

import pytest

from app.evaluation.findings import findings
from app.evaluation.jobs import Measurements
from app.main import build
from app.pages import evaluate
from app.pages.evaluate import _checked, _read_file, _started
from app.runs import Runs
from lacache_core.settings import MAX_PROMPT_CHARS

READ = {
    "policies": ["full", "lacache"],
    "budgets": ["128"],
    "variants": [],
    "source": "manual",
    "tokens": 511,
    "read_chunk": 1,
}


@pytest.fixture(autouse=True)
def bare(monkeypatch, tmp_path):
    monkeypatch.delenv("SPACE_ID", raising=False)
    monkeypatch.setattr(evaluate, "MEASUREMENTS", Measurements(tmp_path, Runs([])))


def test_what_it_costs_is_said_before_one_presses_run():
    said, command = _checked("perplexity", READ, stored=True)
    assert "About <b>40 s</b> for 1,024 tokens" in said
    assert command.startswith("python -m lacache_core perplexity --policy full --policy lacache")


def test_what_is_wrong_is_said_with_the_name_of_the_control():
    said, _ = _checked("perplexity", {**READ, "budgets": ["<b>8"]})
    assert "Budgets" in said and "&lt;b&gt;8" in said and "lx-bad" in said
    said, command = _checked("perplexity", {**READ, "policies": ["lacache:span=40"]})
    assert "Span = 40" in said and "1 to 29" in said and "span=40" in command
    said, _ = _checked("perplexity", {**READ, "tokens": 9000})
    assert "Full cache is left out" in said and "8,191" in said and "lx-bad" not in said


def test_there_is_no_command_for_what_is_impossible():
    for changed in ({"policies": []}, {"budgets": ["abc"]}, {"tokens": 0}):
        said, command = _checked("perplexity", {**READ, **changed})
        assert "lx-bad" in said and command == ""


def test_nothing_starts_when_something_is_wrong():
    message, said = _started("perplexity", {**READ, "source": "own", "own": ""})
    assert "Your text" in said and not isinstance(message, str)


def test_it_gives_the_measurement_to_follow():
    message, _ = _started("perplexity", {**READ, "tokens": 1})
    name = json.loads(message)["follow"]
    found = evaluate.MEASUREMENTS
    assert found.look(name)["id"] == name
    found.stop(name)


def test_files_that_are_opened(tmp_path):
    file = tmp_path / "a.txt"
    file.write_bytes("\ufeffWörter".encode())
    assert _read_file(str(file)) == ("Wörter", "6 characters.")
    file.write_bytes(b"\xff\xfe\x00")
    assert "no text file in UTF-8" in _read_file(str(file))[1]
    file.write_bytes(b" \n")
    assert "holds no text" in _read_file(str(file))[1]
    file.write_text("é" * (MAX_PROMPT_CHARS + 5))
    text, said = _read_file(str(file))
    assert len(text) == MAX_PROMPT_CHARS and "first 400,000 characters" in said
    assert "did not arrive" in _read_file(str(tmp_path / "gone"))[1]
    assert _read_file(None)[1] == ""


def test_findings_are_the_files_of_the_repository(tmp_path):
    (tmp_path / "b.md").write_text("# Second\n\nSee [the first](README.md) and [out](https://x.y).")
    (tmp_path / "README.md").write_text("# First\n\nText.\n![a picture](a.png)")
    assert findings(tmp_path) == [
        ("First", "Text."),
        ("Second", "See the first and [out](https://x.y)."),
    ]
    assert findings(tmp_path / "nowhere") == []
    assert findings()


def test_no_event_of_the_page_is_offered_as_an_endpoint():
    for dependency in build().config["dependencies"]:
        if dependency["api_visibility"] == "public":
            assert dependency["api_name"] in ("run", "stop", "preview", "describe")
