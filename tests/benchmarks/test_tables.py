"""Tables of what the command line measured."""

import json

import pytest

from benchmarks.tables import main


def reading(policy, label, budget, perplexity, **settings):
    return {
        "policy": policy,
        "label": label,
        "budget": budget,
        "perplexity": perplexity,
        "settings": settings,
    }


LADDER = {"span": 15, "overlap": 0, "arrangement": "interleaved"}


def test_policies_down_budgets_across_the_best_is_bold(tmp_path, capsys):
    file = tmp_path / "novel.json"
    cells = [
        reading("full", "Full cache", None, 10.0),
        reading("streaming_llm", "StreamingLLM", 64, 14.254),
        reading("streaming_llm", "StreamingLLM", 128, 12.0),
        reading("lacache", "LaCache, span 15", 64, 13.0, **LADDER),
        reading("lacache", "LaCache, span 15", 128, None, **LADDER),
    ]
    file.write_text(json.dumps({"cells": cells}))
    assert main([str(file)]) == 0
    assert capsys.readouterr().out.strip().splitlines()[2:] == [
        "| policy | budget 64 | budget 128 |",
        "|---|--:|--:|",
        "| Full cache | 10.00 | 10.00 |",
        "| StreamingLLM | 14.25 | **12.00** |",
        "| LaCache 15/0, interleaved | **13.00** | – |",
    ]


def test_needles_by_length_and_depth(tmp_path, capsys):
    file = tmp_path / "needle.json"
    common = {"policy": "full", "label": "Full cache", "settings": {}, "length": 256}
    cells = [
        {**common, "depth": 0.0, "trials": 2, "correct": 1, "needle_layers": 0.5},
        {**common, "depth": 1.0, "trials": 0, "correct": 0, "needle_layers": None},
    ]
    file.write_text(json.dumps({"cells": cells}))
    assert main([str(file)]) == 0
    assert capsys.readouterr().out.strip().splitlines()[2:] == [
        "| 256 tokens | depth 0 | depth 1 |",
        "|---|--:|--:|",
        "| Full cache | 1 of 2 (50 %) | – |",
    ]


@pytest.mark.parametrize("content", ["no json", "[]", "{}", '{"cells": []}', None])
def test_another_file_is_refused_in_a_line(tmp_path, capsys, content):
    file = tmp_path / "other.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(SystemExit) as stop:
        main([str(file)])
    assert stop.value.code == 2 and "other.json" in capsys.readouterr().err
