"""``read``: what it measures, and how it shows its progress."""

from __future__ import annotations

import io
import json
import math
import sys

import numpy as np
import pytest
from command_line import LADDER, TEXT

from lacache_core import models
from lacache_core.cli import main
from lacache_core.ladder import LadderConfig


def test_read_measures_what_the_engine_measures(run, model, text):
    command = ("read", "--text", text, "--model", model, *LADDER, "--tokens", 150)
    status, out, err = run(*command, "--json")
    assert (status, err) == (0, "")
    answer = json.loads(out)
    assert set(answer) == {"perplexity", "nll", "held", "tokens_per_second"}
    assert len(answer["nll"]) == 150  # as many as were to be predicted
    assert answer["perplexity"] == pytest.approx(math.exp(np.mean(answer["nll"])), rel=1e-6)
    assert answer["held"] <= 33
    assert answer["tokens_per_second"] > 0

    from lacache_core.engine import Engine

    loaded = models.load(model)
    engine = Engine(loaded.model, loaded.tokenizer, LadderConfig(32, 3, 1))
    ids = loaded.tokenizer(TEXT)["input_ids"][:151]
    list(engine.read(ids))
    assert answer["nll"] == engine.trace().nll[1:].tolist()

    status, out, _ = run(*command)
    assert status == 0
    assert f"{answer['perplexity']:.3f}" in out
    assert f"{answer['held']} of 151 tokens" in out


@pytest.mark.parametrize("policy", ["full", "streaming_llm", "lacache"])
def test_read_under_every_policy(run, model, text, policy):
    command = ("read", "--text", text, "--model", model, "--policy", policy, *LADDER, "--json")
    status, out, _ = run(*command)
    assert status == 0
    answer = json.loads(out)
    assert len(answer["nll"]) == len(TEXT) - 1  # all there is
    assert (answer["held"] == len(TEXT)) == (policy == "full")


def test_what_is_no_number_is_null(run, model, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xef\xbb\xbfa")))
    status, out, _ = run("read", "--text", "-", "--model", model, *LADDER, "--json")
    assert status == 0
    assert json.loads(out) | {"tokens_per_second": 0} == {
        "perplexity": None,
        "nll": [],
        "held": 1,
        "tokens_per_second": 0,
    }


def test_progress_goes_to_a_terminal_and_is_silent_on_demand(run, model, text, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    for quiet in ([], ["--quiet"]):
        terminal = Terminal()
        monkeypatch.setattr(sys, "stderr", terminal)
        command = ("read", "--text", text, "--model", model, *LADDER, "--tokens", 40, *quiet)
        assert main([str(a) for a in command]) == 0
        assert ("tokens/s" in terminal.getvalue()) == (not quiet)
