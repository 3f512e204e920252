"""What the page computes without a model: geometry in words, and refusals."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from app.pages import explore
from app.samples import samples
from lacache_core.errors import InvalidSettingError, ModelUnavailableError
from lacache_core.ladder import LadderConfig, retained
from lacache_core.policies import LaCache
from lacache_core.settings import RunSettings


def test_facts_are_those_of_the_rule():
    facts = explore.preview_facts({"budget": 128, "span": 8, "overlap": 4}, 3000)
    rows = retained(LadderConfig(128, 8, 4), 30, 3000)
    ladder = LadderConfig(128, 8, 4).ladder(30)
    assert facts["held"] == rows.shape[1]
    assert facts["union"] == len(np.unique(rows))
    assert facts["oldest_after_sinks"] == rows[:, 4:].min()
    assert facts["effective_budget"] == ladder.effective_budget
    assert (facts["group_width"], facts["kept_width"]) == (ladder.group_width, ladder.kept_width)


@pytest.mark.parametrize("tokens", [0, 1, 5, 300])
@pytest.mark.parametrize("policy", ["full", "streaming_llm", "lacache"])
def test_facts_for_every_policy_and_any_length(policy, tokens):
    facts = explore.preview_facts({"policy": policy, "budget": 64}, tokens)
    assert facts["held"] <= tokens
    assert facts["union"] >= facts["held"]


def test_rows_after_equals_retained():
    planner = LaCache(64, 15).bind(30)
    rows = explore.rows_after(planner, 500)[planner.row_of_layer]
    assert (rows == retained(LadderConfig(64, 15), 30, 500)).all()


def test_an_impossible_combination_says_why_at_once():
    text, *updates = explore._preview({"policy": "lacache", "budget": 256, "span": 35})
    assert "span = 35" in text and "less than the model&#x27;s 30 layers" in text
    text, *_ = explore._preview({"policy": "lacache", "budget": 30, "span": 15})
    assert "budget = 30" in text and "35 or more" in text


def test_a_model_of_unknown_layers_is_not_loaded_for_a_preview():
    with pytest.raises(ModelUnavailableError, match="How many layers 'some/model' has"):
        explore.preview_facts({"model": "some/model"}, 100)


def test_a_page_with_another_default_model(tmp_path):
    """Its layers set the sliders if its folder tells them; otherwise the schema does."""
    (tmp_path / "config.json").write_text('{"num_hidden_layers": 12}')
    code = (
        "import sys; from app.main import build; demo = build()\n"
        "[span] = [b for b in demo.blocks.values() if getattr(b, 'elem_id', '') == 'span']\n"
        "print(span.value, span.maximum, 'torch' in sys.modules)"
    )
    for model, shown in ((str(tmp_path), "11 11 False"), ("some/model", "15 127 False")):
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=Path(__file__).parents[2],
            env={**os.environ, "LACACHE_MODEL": model},
            capture_output=True,
            text=True,
        )
        assert done.stdout.strip() == shown, done.stderr


def test_what_a_user_gives_is_shown_as_text():
    text, *_ = explore._preview({"policy": "<img src=x onerror=alert(1)>"})
    assert "<img" not in text


def test_ladder_settings_rest_where_the_policy_has_none():
    _, *updates = explore._preview({"policy": "streaming_llm", "budget": 64, "span": 15})
    assert [u["interactive"] for u in updates] == [False] * 4
    _, *updates = explore._preview({"policy": "lacache", "budget": 64, "span": 15})
    assert [u["interactive"] for u in updates] == [True] * 4
    assert updates[1]["maximum"] == 14


def test_samples_are_three_and_one_is_long(smollm2):
    found = samples()
    assert len(found) == 3
    lengths = [len(smollm2.tokenizer(s.text, verbose=False)["input_ids"]) for s in found]
    assert max(lengths) >= 2000
    for sample in found:
        RunSettings.validate_values({"prompt": sample.text})
    assert found[2].text.count("marigold") == 1


def test_page_errors_become_a_notice(monkeypatch):
    def broken(values, session):
        raise RuntimeError("secret")
        yield

    monkeypatch.setattr(explore, "run_messages", broken)
    found = list(explore._run_for_page({}, None))
    assert found[-1]["state"]["name"] == "failed"
    assert "secret" not in found[-1]["state"]["message"]

    def refused(values, session):
        raise InvalidSettingError("budget", 3, "more")
        yield

    monkeypatch.setattr(explore, "run_messages", refused)
    found = list(explore._run_for_page({}, None))
    assert found[-1]["state"]["message"] == "budget = 3 is not possible: it must be more."
