"""The endpoints as a script meets them: names, documented arguments, clear refusals."""

from __future__ import annotations

import inspect
import json
import time

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from served import serving

from app import api
from app.runner import RUNS
from lacache_core.settings import RunSettings

pytestmark = pytest.mark.model
PROMPT = "The ladder stands against the wall, and " * 12


@pytest.fixture(scope="module")
def client(smollm2):
    with serving() as address:
        yield Client(address, verbose=False)


def test_endpoints_and_their_arguments_are_documented(client):
    info = client.view_api(return_format="dict")["named_endpoints"]
    assert set(info) == {"/run", "/stop", "/preview", "/describe"}
    names = {p["parameter_name"] for p in info["/run"]["parameters"]}
    assert names == set(RunSettings.model_fields)
    required = {
        p["parameter_name"] for p in info["/run"]["parameters"] if not p["parameter_has_default"]
    }
    assert required == {"prompt"}


def test_defaults_are_those_of_the_schema():
    for function in (api.run, api.preview):
        for name, parameter in inspect.signature(function).parameters.items():
            if name in RunSettings.model_fields and name != "prompt":
                assert parameter.default == RunSettings.model_fields[name].default


def test_run_streams_and_ends(client):
    job = client.submit(
        prompt=PROMPT, budget=64, max_new_tokens=12, temperature=0.0, api_name="/run"
    )
    job.result(timeout=120)
    found = [json.loads(text) for text in job.outputs()]
    found = [m for m in found if m["kind"] != "notice"]
    assert found[0]["kind"] == "snapshot"
    last = found[-1]
    assert last["state"]["name"] == "done"
    whole = RUNS.snapshot(last["run"])
    assert len(whole["text"]) > 0
    assert whole["figures"]["held"] <= 64


def test_equal_seeds_give_equal_text(client):
    def text(seed):
        answer = client.submit(
            prompt=PROMPT, max_new_tokens=8, temperature=1.0, seed=seed, api_name="/run"
        )
        answer.result(timeout=120)
        return RUNS.snapshot(json.loads(answer.outputs()[-1])["run"])["text"]

    assert text(1) == text(1)


def test_stop_by_id(client):
    job = client.submit(prompt=PROMPT, max_new_tokens=4000, api_name="/run")
    run = None
    for _ in range(600):
        told = [json.loads(t) for t in job.outputs()]
        run = next((m["run"] for m in told if m["kind"] == "snapshot"), None)
        if run:
            break
        time.sleep(0.1)
    assert client.predict(run, api_name="/stop") is True
    asked = time.perf_counter()
    job.result(timeout=20)
    assert time.perf_counter() - asked < 10
    assert json.loads(job.outputs()[-1])["state"]["name"] == "stopped"
    assert client.predict(run, api_name="/stop") is False


BAD = [
    (dict(budget=3.7), "budget = 3.7 is not possible: it must be a whole number from 16 to 8192."),
    (dict(budget=True), "budget = True"),
    (dict(budget=None), "budget is empty: it must be a whole number from 16 to 8192."),
    (dict(budget="many"), "budget = 'many'"),
    (dict(budget=[256]), "budget = [256]"),
    (dict(span=30), "from 1 to 29 (less than the model's 30 layers)"),
    (dict(overlap=15), "overlap = 15"),
    (dict(policy="best"), "one of full, sliding_window, streaming_llm, lacache, h2o"),
    (dict(policy=["full"]), "policy = ['full']"),
    (dict(temperature=-1), "a number from 0 to 2"),
    (dict(prompt=""), "prompt is empty"),
    (dict(prompt=None), "prompt is empty"),
    (dict(prompt="x" * 400_001), "at most 400,000 characters"),
    (dict(chat="yes"), "true or false"),
]


@pytest.mark.parametrize("values, words", BAD, ids=lambda v: str(v)[:30])
def test_bad_values_come_back_as_one_clear_message(client, values, words):
    with pytest.raises(AppError) as caught:
        client.predict(**{"prompt": PROMPT, **values}, api_name="/run")
    assert words in str(caught.value)
    assert "Traceback" not in str(caught.value)


def test_preview_needs_no_model(client):
    facts = client.predict(tokens_seen=4000, budget=256, span=8, overlap=4, api_name="/preview")
    assert facts["held"] <= facts["effective_budget"]
    assert facts["union"] > 256
    with pytest.raises(AppError, match="tokens_seen"):
        client.predict(tokens_seen=-1, api_name="/preview")
    with pytest.raises(AppError, match="span = 40"):
        client.predict(span=40, api_name="/preview")


def test_describe_tells_what_can_be_set(client):
    told = client.predict(api_name="/describe")
    assert told["settings"]["budget"]["minimum"] == 16
    assert set(told["settings"]) == set(RunSettings.model_fields)
    assert "lacache" in told["policies"]


def test_stop_takes_anything_quietly(client):
    for rubbish in ("", "nobody", "../../etc"):
        assert client.predict(rubbish, api_name="/stop") is False
