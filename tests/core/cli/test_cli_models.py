"""``models``: what is known and what is here."""

from __future__ import annotations

import json

from tiny import LAYERS


def test_models_lists_what_is_known(run, monkeypatch, model):
    monkeypatch.setenv("LACACHE_MODEL", model)
    status, out, err = run("models", "--json")
    assert (status, err) == (0, "")
    answer = json.loads(out)
    assert answer["default"] == model
    known = {entry["id"]: entry for entry in answer["models"]}
    assert known["smollm2-135m"]["num_layers"] == 30
    assert known[model]["present"] and known[model]["num_layers"] == LAYERS
    status, out, _ = run("models")
    assert status == 0
    assert f"* {model}" in out and "  smollm2-135m" in out


def test_models_get_says_when_the_embedded_model_cannot_be_had(run, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("LACACHE_HOME", str(tmp_path / "file"))
    status, out, err = run("models", "--get")
    assert (status, out) == (1, "")
    assert "LACACHE_HOME" in err and err.count("\n") == 1
