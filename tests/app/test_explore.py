"""What the page does by itself: which controls rest, what a link restores, what errors become."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import gradio as gr
import pytest

from app.components.text import OWN
from app.pages import explore
from app.samples import samples
from lacache_core.errors import InvalidSettingError
from lacache_core.policies import POLICIES, SETTINGS, policy_settings
from lacache_core.settings import RunSettings


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


def test_only_settings_that_the_policy_has_are_shown():
    def shown(**values):
        _, _, *updates = explore._preview({"budget": 64, "span": 15, **values}, 512)
        return {n for n, u in zip(SETTINGS, updates, strict=True) if u["visible"]}

    for name in POLICIES:
        assert shown(policy=name) == {*policy_settings(name)} - {"seed"}
    _, _, *updates = explore._preview({"policy": "lacache", "budget": 64, "span": 15}, 512)
    assert updates[SETTINGS.index("overlap")]["maximum"] == 14


def test_samples_fit_the_settings_and_one_is_long(smollm2):
    found = samples()
    assert len({s.name for s in found}) == len({s.text for s in found}) == len(found)
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
    assert found[-1]["state"]["message"] == "Budget = 3 is not possible: it must be more."


def controls():
    return {
        "budget": gr.Slider(40, 1024, 256),
        "span": gr.Slider(1, 29, 15),
        "policy": gr.Dropdown(["full", "lacache"], value="lacache"),
        "prompt": gr.Textbox(""),
    }


def test_a_link_sets_the_controls_it_names_and_no_others():
    query = {"span": "8", "policy": "full", "utm": "x"}
    *updates, sample, said, _ = explore._restored(controls(), query)
    assert [u.get("value") for u in updates] == [None, 8, "full", None]
    assert said == "Settings taken from the link."
    assert sample == gr.skip()


@pytest.mark.parametrize("budget, low, high", [(20, 20, 1024), (300, 40, 1024), (4096, 40, 4096)])
def test_a_link_may_go_further_than_a_slider(budget, low, high):
    update, *_ = explore._restored(controls(), {"budget": str(budget)})
    assert (update["value"], update["minimum"], update["maximum"]) == (budget, low, high)


@pytest.mark.parametrize(
    "query, said", [({"span": "<b>many</b>"}, "span = "), ({"policy": "h3o"}, "policy = ")]
)
def test_a_damaged_link_changes_nothing_and_says_why(query, said):
    *updates, _, _, told = explore._restored(controls(), query)
    assert not any("value" in update for update in updates)
    assert said in told and "<b>" not in told


def test_what_is_right_in_a_damaged_link_is_kept():
    inputs = controls()
    query = {"prompt": "hello there", "budget": "abc", "span": "9"}
    *updates, _, told, problem = explore._restored(inputs, query)
    named = dict(zip(inputs, updates, strict=True))
    given = {name: update["value"] for name, update in named.items() if "value" in update}
    assert given == {n: v for n, v in {"prompt": "hello there", "span": 9}.items() if n in inputs}
    assert "budget = 'abc'" in problem.replace("&#x27;", "'") and "taken from the link" in told


@pytest.mark.parametrize(
    "query, kept, text, name",
    [
        ({}, "my own words", "my own words", OWN),
        ({}, samples()[2].text, samples()[2].text, samples()[2].name),
        ({"span": "8"}, "my own words", "my own words", OWN),
        ({"prompt": "of the link"}, "my own words", "of the link", OWN),
        ({"sample": samples()[0].name}, "my own words", samples()[0].text, samples()[0].name),
    ],
)
def test_a_text_that_the_tab_kept_is_there_again_unless_a_link_brings_another(
    query, kept, text, name
):
    inputs = controls()
    *updates, sample, said, _ = explore._restored(inputs, query, kept)
    assert dict(zip(inputs, updates, strict=True))["prompt"]["value"] == text
    assert sample["value"] == name
    assert (said == "Settings taken from the link.") == bool(query)


def test_a_number_that_is_being_typed_is_no_error():
    text, *_ = explore._preview({"policy": "lacache", "budget": 1, "span": 15}, 512)
    assert "Budget = 1 is not possible" in json.loads(text)["problem"]


def test_the_problem_names_settings_by_their_controls():
    text, *_ = explore._preview({"policy": "lacache", "budget": 20, "span": 15}, 512)
    problem = json.loads(text)["problem"]
    assert problem.startswith("Budget = 20 is not possible")
    assert "for Span 15, Overlap 0, Sinks 4, Slack 0 on 30 layers" in problem


@pytest.mark.parametrize("name", [*POLICIES, "h3o", None, ["full"]])
def test_the_policy_says_what_it_keeps(name):
    _, update, *_ = explore._preview({"policy": name, "budget": 64, "span": 15}, 512)
    known = isinstance(name, str) and name in POLICIES
    told = POLICIES[name].about if known else RunSettings.model_fields["policy"].description
    assert update["info"] == told and told.endswith(".")


def test_beside_run_stands_why_it_failed_and_nothing_else():
    message = {"state": {"name": "failed", "message": "Budget <b> is wrong."}}
    assert explore._problem_of(message) == "<p role='alert'>Budget &lt;b&gt; is wrong.</p>"
    for name in ("loading", "running", "done", "stopped"):
        assert explore._problem_of({"state": {"name": name, "message": "x"}}) == ""
