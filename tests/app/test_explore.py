"""What the page does by itself: which controls rest, what a link restores, what errors become."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from app.pages import explore
from app.samples import samples
from lacache_core.errors import InvalidSettingError
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


def test_ladder_settings_rest_where_the_policy_has_none():
    _, *updates = explore._preview({"policy": "streaming_llm", "budget": 64, "span": 15}, 512)
    assert [u["interactive"] for u in updates] == [False] * 4
    _, *updates = explore._preview({"policy": "lacache", "budget": 64, "span": 15}, 512)
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


def test_a_link_sets_the_controls_it_names_and_no_others():
    names = ["budget", "span", "policy", "prompt"]
    *updates, said = explore._restored(names, {"span": "8", "policy": "full", "utm": "x"})
    assert [u.get("value") for u in updates] == [None, 8, "full", None]
    assert said == "Settings taken from the link."


def test_a_damaged_link_changes_nothing_and_says_why():
    *updates, said = explore._restored(["span"], {"span": "<b>many</b>"})
    assert "value" not in updates[0]
    assert "span = " in said and "&lt;b&gt;" in said and "<b>" not in said
