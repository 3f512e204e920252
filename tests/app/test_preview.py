"""What settings would keep, by the rule alone: numbers, picture, refusals."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from app import preview
from lacache_core.errors import ModelUnavailableError
from lacache_core.ladder import LadderConfig, retained
from lacache_core.policies import LaCache


def test_facts_are_those_of_the_rule():
    facts = preview.preview_facts({"budget": 128, "span": 8, "overlap": 4}, 3000)
    rows = retained(LadderConfig(128, 8, 4), 30, 3000)
    ladder = LadderConfig(128, 8, 4).ladder(30)
    assert facts["held"] == rows.shape[1]
    assert facts["union"] == len(np.unique(rows))
    assert facts["oldest_after_sinks"] == rows[:, 4:].min()
    assert facts["effective_budget"] == ladder.effective_budget
    assert (facts["group_width"], facts["kept_width"]) == (ladder.group_width, ladder.kept_width)


@pytest.mark.parametrize("tokens", [0, 1, 5, 300])
@pytest.mark.parametrize("policy", ["full", "sliding_window", "streaming_llm", "lacache", "random"])
def test_facts_for_every_policy_and_any_length(policy, tokens):
    facts = preview.preview_facts({"policy": policy, "budget": 64}, tokens)
    assert facts["held"] <= tokens
    assert facts["union"] >= facts["held"]


@pytest.mark.parametrize("policy, label", [("h2o", "H2O"), ("tova", "TOVA"), ("snapkv", "SnapKV")])
def test_what_takes_a_model_is_said_before_a_run(policy, label):
    said = preview.preview_message({"policy": policy}, 500)["note"]
    assert said.startswith(f"What {label} keeps depends on where the model looks")


def test_rows_after_equals_retained():
    planner = LaCache(64, 15).bind(30)
    rows = preview.rows_after(planner, 500)[planner.row_of_layer]
    assert (rows == retained(LadderConfig(64, 15), 30, 500)).all()


@pytest.mark.parametrize("tokens", [1, 100, 333])
def test_the_picture_is_what_the_rule_retains(tokens):
    values = {"budget": 64, "span": 8, "overlap": 4, "num_sink": 2}
    picture = preview.preview_message(values, tokens)["picture"]
    packed = np.frombuffer(base64.b64decode(picture["bits"]), dtype=np.uint8)
    patterns = max(picture["rowOfLayer"]) + 1
    held = np.unpackbits(packed.reshape(patterns, -1), axis=1, count=tokens).astype(bool)
    expected = retained(LadderConfig(64, 8, 4, num_sink=2), 30, tokens)
    for layer, row in enumerate(picture["rowOfLayer"]):
        assert (np.nonzero(held[row])[0] == expected[layer]).all()
    assert picture["layers"] == 30 and picture["tokens"] == tokens
    assert picture["window"] == max(2, tokens - 62)


def test_memory_is_told_in_bytes_once_a_model_is_there(monkeypatch):
    from lacache_core import models

    monkeypatch.setattr(models, "loaded_model", lambda model_id: None)
    memory = preview.preview_facts({"budget": 64}, 640)["memory"]
    assert memory == {"bytes": None, "full_bytes": None, "saved": pytest.approx(0.9)}


@pytest.mark.model
def test_bytes_are_those_of_the_model(smollm2):
    memory = preview.preview_facts({"budget": 64}, 640)["memory"]
    assert memory["bytes"] == 64 * 30 * 3 * 64 * 4 * 2
    assert memory["full_bytes"] == 640 * 30 * 3 * 64 * 4 * 2


def test_an_impossible_combination_says_why_at_once():
    said = preview.preview_message({"policy": "lacache", "budget": 256, "span": 35}, 500)["problem"]
    assert "Span = 35" in said and "less than the model's 30 layers" in said
    said = preview.preview_message({"policy": "lacache", "budget": 30, "span": 15}, 500)["problem"]
    assert "Budget = 30" in said and "35 or more" in said


def test_a_model_of_unknown_layers_is_not_loaded_for_a_preview():
    with pytest.raises(ModelUnavailableError, match="How many layers 'some/model' has"):
        preview.preview_facts({"model": "some/model"}, 100)
