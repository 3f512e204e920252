"""Runs: loading, stopping, leaving, limits; on a tiny model in place of the embedded one."""

from __future__ import annotations

import io
import pickle
import threading

import pytest
from stand_in import stand_in

import app.runner as runner
from app.places import NoPlaceError, Places
from app.runner import check, describe_problem, run_messages
from app.runs import Runs
from lacache_core import models
from lacache_core.errors import InvalidSettingError, ModelUnavailableError
from lacache_core.manifest import Manifest
from lacache_core.settings import RunSettings
from lacache_core.trace import Trace


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    return stand_in(monkeypatch)


TEXT = "one two three four five six seven eight nine ten " * 12
VALUES = {"prompt": TEXT, "budget": 64, "max_new_tokens": 20, "chunk": 16}


def test_a_run_from_settings_to_messages():
    runs = Runs()
    starting, *found = list(run_messages(VALUES, "me", runs))
    said = "Reading the text: 120 tokens, 16 at a time."
    assert starting["state"] == {"name": "loading", "message": said}
    assert found[0]["kind"] == "snapshot"
    assert {m["kind"] for m in found[1:]} == {"delta"}
    assert found[-1]["state"] == {
        "name": "done",
        "message": "Done: all the tokens asked for were written.",
        "reason": "length",
    }
    assert found[-1]["figures"]["seen"] == 120 + 19
    assert found[0]["setup"]["expected"] == 139
    assert runs.active == 0
    assert runs.snapshot(found[0]["run"])["figures"]["seen"] == 139


@pytest.mark.parametrize("policy", ["full", "streaming_llm", "lacache"])
@pytest.mark.parametrize("mode", ["generate", "read"])
def test_every_policy_in_both_modes(policy, mode):
    found = list(run_messages({**VALUES, "policy": policy, "mode": mode, "read_chunk": 7}))
    assert found[-1]["state"]["name"] == "done"
    assert found[-1]["figures"]["seen"] == (120 if mode == "read" else 139)
    assert found[-1]["figures"]["perplexity"] > 1


def test_stop_ends_it_within_a_step_and_says_so():
    runs = Runs()
    messages = run_messages({**VALUES, "max_new_tokens": 5000}, "me", runs)
    next(messages)
    assert runs.active == 1
    assert runs.stop("me")
    rest = list(messages)
    assert rest[-1]["state"]["name"] == "stopped"
    assert len(rest) <= 2
    assert runs.active == 0
    assert not runs.stop("me")
    assert not runs.stop(None)
    assert not runs.stop("nobody")


def test_leaving_frees_the_run():
    runs = Runs()
    messages = run_messages({**VALUES, "max_new_tokens": 5000}, "me", runs)
    next(messages)
    messages.close()
    assert runs.active == 0
    messages = run_messages({**VALUES, "max_new_tokens": 5000}, "me", runs)
    next(messages)
    runs.forget("me")
    assert list(messages)[-1]["state"]["name"] == "stopped"


def test_a_run_that_was_left_does_not_seem_to_go_on():
    runs = Runs()
    messages = run_messages({**VALUES, "max_new_tokens": 5000}, "me", runs)
    run = next(message for message in messages if message["kind"] == "snapshot")["run"]
    messages.close()
    state = runs.snapshot(run)["state"]
    assert state["name"] == "stopped" and "left" in state["message"]
    assert runs.trace(run).manifest["stop_reason"] == "cancelled"


def test_a_run_waits_for_its_turn_and_says_so(monkeypatch):
    places, runs = Places(at_once=1), Runs()
    monkeypatch.setattr(runner, "PLACES", places)
    line = [places.ask(), places.ask()]
    messages = run_messages(VALUES, "me", runs)
    first = next(messages)
    assert first["state"]["name"] == "loading"
    assert first["state"]["message"].endswith("starts when 2 of those before it have ended.")
    places.leave(line[0])
    second = next(messages)
    assert second["state"]["message"].endswith("starts when one of them has ended.")
    places.leave(line[1])
    *_, last = messages
    assert last["state"]["name"] == "done" and last["run"] == first["run"] == second["run"]
    with places.ask() as place:
        assert place.ahead == 0  # it gave its own back


def test_a_run_that_waits_can_be_stopped_and_replaced(monkeypatch):
    places, runs = Places(at_once=1), Runs()
    monkeypatch.setattr(runner, "PLACES", places)
    with places.ask():
        waiting = run_messages(VALUES, "me", runs)
        next(waiting)
        again = run_messages(VALUES, "me", runs)
        assert next(again)["state"]["name"] == "loading"
        assert [m["state"]["message"] for m in waiting] == ["Stopped before it began."]
        assert runs.stop("me")
        assert [m["state"]["name"] for m in again] == ["stopped"]
        assert runs.active == 0


def test_a_run_takes_over_the_place_of_the_one_that_it_replaces(monkeypatch):
    places, runs = Places(at_once=1, waiting=1), Runs()
    monkeypatch.setattr(runner, "PLACES", places)
    mine = run_messages({**VALUES, "max_new_tokens": 5000}, "me", runs)
    next(mine)
    with places.ask() as other:
        with pytest.raises(NoPlaceError):
            next(run_messages(VALUES, "you", runs))
        again = run_messages(VALUES, "me", runs)
        assert "starts when one of them has ended" in next(again)["state"]["message"]
        assert list(mine)[-1]["state"]["name"] == "stopped" and other.ahead == 1
        assert list(again)[-1]["state"]["name"] == "done" and other.ahead == 0


def test_a_session_that_is_gone_holds_on_to_nothing():
    """Else its last run would stay in memory however many others came after it."""
    runs = Runs()
    for over in (True, False):
        run = runs.start("me")
        run.active = not over
        runs.forget("me")
        assert run.cancel.is_set() is not over
        assert not runs._of_session


def test_a_session_s_new_run_stops_its_old_one_and_nobody_else_s():
    runs = Runs()
    mine = run_messages({**VALUES, "max_new_tokens": 5000}, "me", runs)
    other = run_messages({**VALUES, "max_new_tokens": 30}, "you", runs)
    next(mine), next(other)
    again = run_messages(VALUES, "me", runs)
    next(again)
    assert list(mine)[-1]["state"]["name"] == "stopped"
    assert list(other)[-1]["state"]["name"] == "done"
    assert list(again)[-1]["state"]["name"] == "done"


def test_two_runs_at_once_give_what_each_gives_alone():
    runs = Runs()

    def text(policy, out):
        for message in run_messages(
            {**VALUES, "policy": policy, "seed": len(policy), "temperature": 1.5}, None, runs
        ):
            run = message.get("run")
        out += runs.snapshot(run)["ids"]

    alone, together = [[], []], [[], []]
    for policy, out in zip(["lacache", "streaming_llm"], alone, strict=True):
        text(policy, out)
    threads = [
        threading.Thread(target=text, args=pair)
        for pair in zip(["lacache", "streaming_llm"], together, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert alone == together
    assert alone[0] != alone[1]


def test_the_deadline_ends_a_run_on_a_public_space(monkeypatch):
    monkeypatch.setattr(runner, "DEADLINE_SECONDS", 0.0)
    found = list(run_messages({**VALUES, "max_new_tokens": 3}))
    assert found[-1]["state"]["name"] == "done"  # on one's own machine
    monkeypatch.setenv("SPACE_ID", "somebody/space")
    found = list(run_messages({**VALUES, "max_new_tokens": 5000}))
    assert found[-1]["state"]["name"] == "stopped"
    assert "minutes" in found[-1]["state"]["message"]


def test_loading_is_told_and_can_be_stopped(monkeypatch, tiny):
    release = threading.Event()
    monkeypatch.setattr(models, "_loaded", {})
    monkeypatch.setattr(models, "_states", {})

    def slow(model_id, dtype, device, say):
        say("Converting", 0.5)
        release.wait(10)
        return tiny

    monkeypatch.setattr(models, "_load", slow)
    runs = Runs()
    messages = run_messages(VALUES, "me", runs)
    first = next(messages)
    assert first["kind"] == "notice" and first["state"]["name"] == "loading"
    runs.stop("me")
    assert list(messages)[-1]["state"]["name"] == "stopped"

    messages = run_messages(VALUES, "me", runs)
    assert next(messages)["state"]["name"] == "loading"
    release.set()
    assert list(messages)[-1]["state"]["name"] == "done"


def test_a_model_that_cannot_be_had_is_said(monkeypatch):
    monkeypatch.setattr(models, "_loaded", {})

    def broken(*_):
        raise ModelUnavailableError("The embedded model could not be downloaded. Try again.")

    monkeypatch.setattr(models, "_load", broken)
    with pytest.raises(ModelUnavailableError, match="could not be downloaded"):
        list(run_messages(VALUES))


BAD = [
    ({"budget": 20}, "budget = 20"),
    ({"span": 30}, "span = 30"),
    ({"span": 29, "overlap": 28}, "overlap = 28"),
    ({"prompt": "   "}, "prompt is empty"),
    ({"prompt": None}, "prompt is empty"),
    ({"policy": "best"}, "policy = 'best'"),
    ({"temperature": float("nan")}, "temperature = nan"),
    ({"seed": 1.5}, "seed = 1.5"),
    ({"chat": True}, "chat = True"),
    ({"policy": "full", "prompt": "word " * 3000}, "2,048 tokens"),
    ({"budget": 2040, "policy": "streaming_llm"}, "budget = 2040"),
]


@pytest.mark.parametrize("change, words", BAD)
def test_bad_values_are_named(change, words):
    runs = Runs()
    with pytest.raises(InvalidSettingError, match=words):
        list(run_messages({**VALUES, **change}, "me", runs))
    assert runs.active == 0


def test_a_public_space_runs_its_own_model_only(monkeypatch):
    monkeypatch.setenv("SPACE_ID", "someone/space")
    with pytest.raises(InvalidSettingError, match="model = 'other/model'"):
        check({"model": "other/model"})


def test_a_public_space_may_have_a_default_model_of_its_own(monkeypatch):
    monkeypatch.setenv("SPACE_ID", "someone/space")
    monkeypatch.setenv("LACACHE_MODEL", "some/model")
    assert check({"model": "some/model"})[0].model == "some/model"
    assert check({"model": "smollm2-135m"})[2].num_layers == 30
    with pytest.raises(InvalidSettingError, match="it must be 'some/model' or 'smollm2-135m'"):
        check({"model": "other/model"})


def test_unforeseen_errors_are_one_sentence():
    assert "Traceback" not in describe_problem(RuntimeError("secret detail"))
    assert "secret" not in describe_problem(RuntimeError("secret detail"))


def test_what_crosses_to_a_worker_can_be_pickled(monkeypatch):
    """Where a GPU is lent by the call, the run goes on in another process."""
    crossing = []

    def steps(*given):
        crossing.append(pickle.dumps(given))
        return original(*given)

    original = runner._steps
    monkeypatch.setattr(runner, "_steps", steps)
    monkeypatch.setattr(runner, "GPU", object())
    assert list(run_messages(VALUES, "me", Runs()))[-1]["state"]["name"] == "done"
    assert crossing
    settings, policy, _ = check(VALUES)
    for item in original(settings, policy, list(range(40)), None):
        pickle.dumps(item)


def test_a_finished_run_is_a_whole_trace():
    runs = Runs(recorded=[])
    found = list(run_messages({**VALUES, "seed": 3}, "me", runs))
    trace = runs.trace(found[-1]["run"])
    manifest = Manifest.of(trace)
    assert manifest.stop_reason == "length" and manifest.settings["seed"] == 3
    assert "prompt" not in manifest.settings and manifest.prompt_tokens == 120
    assert trace.num_tokens == 139 and len(manifest.tokens) == 139
    assert {"torch", "transformers", "lacache_core"} <= set(manifest.versions)
    assert Trace.load(io.BytesIO(trace.to_bytes())).manifest == trace.manifest


def test_a_stopped_run_says_so_in_its_trace():
    runs = Runs(recorded=[])
    messages = run_messages({**VALUES, "max_new_tokens": 5000}, "me", runs)
    next(messages)  # says that it begins
    run = next(messages)["run"]
    assert runs.trace(run).manifest["stop_reason"] == ""
    runs.stop("me")
    list(messages)
    assert runs.trace(run).manifest["stop_reason"] == "cancelled"


@pytest.mark.parametrize(
    "tokens, values, said",
    [
        (1, {}, "1 token."),
        (256, {}, "256 tokens."),
        (2000, {}, "2,000 tokens, 512 at a time."),
        (2000, {"mode": "read"}, "2,000 tokens, one at a time."),
    ],
)
def test_it_says_how_a_text_is_read(tokens, values, said):
    settings = RunSettings.validate_values(values)
    assert runner._reading(tokens, settings) == f"Reading the text: {said}"
