"""Two runs told together: in turn, each as it would be alone; stopping; what cannot run."""

from __future__ import annotations

import pytest
from stand_in import stand_in

from app import pair, runner
from app.pages import compare
from app.pair import SideError, forget_pair, impossible, pair_messages, stop_pair
from app.places import Places
from app.recorded import FOLDER, MAX_BYTES, PAIR, recorded_pair
from app.runner import run_messages
from app.runs import Runs
from lacache_core.errors import ModelUnavailableError

SHARED = {
    "prompt": "one two three four five six seven eight nine ten " * 12,
    "mode": "read",
    "temperature": 1.2,
}
VALUES = {
    "": SHARED,
    "a": {"policy": "streaming_llm", "budget": 48},
    "b": {"policy": "lacache", "budget": 64, "span": 15},
}


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    return stand_in(monkeypatch)


def told(values=VALUES, session=None, runs=None):
    runs = runs or Runs(recorded=[])
    found = list(pair_messages(values, session, runs))
    ids = {item["side"]: item["message"]["run"] for item in found if "run" in item["message"]}
    return found, {side: runs.trace(run) for side, run in ids.items()}


@pytest.mark.parametrize("mode", ["read", "generate"])
def test_each_run_is_what_it_is_alone(mode):
    shared = {**SHARED, "mode": mode, "max_new_tokens": 30}
    found, traces = told({**VALUES, "": shared})
    assert len({item["pair"] for item in found}) == 1
    for side, trace in traces.items():
        runs = Runs(recorded=[])
        *_, last = run_messages({**shared, **VALUES[side]}, None, runs)
        alone = runs.trace(last["run"])
        assert trace.token_ids.tolist() == alone.token_ids.tolist()
        assert trace.evicted_at.tolist() == alone.evicted_at.tolist()
        assert trace.nll.tolist() == pytest.approx(alone.nll.tolist(), nan_ok=True)


def test_whichever_has_seen_less_goes_on(monkeypatch):
    def one(settings, policy, run, place):
        for seen in range(0, 60, settings.read_chunk):
            yield {"kind": "delta", "figures": {"seen": seen}, "state": {"name": "running"}}

    monkeypatch.setattr(runner, "going", one)
    slow = {**VALUES["b"], "read_chunk": 2}
    found = list(pair_messages({**VALUES, "a": {**VALUES["a"], "read_chunk": 6}, "b": slow}))
    seen = {"a": 0, "b": 0}
    for item in found:
        seen[item["side"]] = item["message"]["figures"]["seen"]
        assert abs(seen["a"] - seen["b"]) <= 6
    monkeypatch.setattr(runner, "BORROWS_GPU", True)  # lent by the call: one after the other
    sides = [item["side"] for item in pair_messages(VALUES | {"": SHARED | {"read_chunk": 6}})]
    assert sides == sorted(sides)


def test_stop_and_leaving_end_both():
    for end in (stop_pair, forget_pair):
        runs = Runs(recorded=[])
        messages = pair_messages(
            {**VALUES, "": {**SHARED, "mode": "generate", "max_new_tokens": 5000}}, "me", runs
        )
        for item in messages:
            if item["side"] == "b" and item["message"].get("figures", {}).get("seen", 0) > 130:
                break
        end("me", runs)
        last = {item["side"]: item["message"]["state"]["name"] for item in messages}
        assert last == {"a": "stopped", "b": "stopped"} and runs.active == 0


def test_a_pair_takes_one_place_and_stop_reaches_both_before_the_second_has_begun(monkeypatch):
    places = Places(at_once=1)
    monkeypatch.setattr(pair, "PLACES", places)
    runs = Runs(recorded=[])
    messages = pair_messages(VALUES, "me", runs)
    first = next(messages)
    assert first["side"] == "a" and first["message"]["state"]["name"] == "loading"
    with places.ask() as after:
        assert runs.active == 2 and after.ahead == 1
    stop_pair("me", runs)
    rest = list(messages)
    last = {item["side"]: item["message"]["state"]["name"] for item in rest}
    assert last == {"a": "stopped", "b": "stopped"} and runs.active == 0
    assert not any("tokens" in item["message"] for item in rest if item["side"] == "b")


def test_an_empty_text_is_neither_side_s_fault():
    with pytest.raises(SideError, match="^Text is empty"):
        next(pair_messages({**VALUES, "": {**SHARED, "prompt": " "}}))


def test_closing_ends_both():
    runs = Runs(recorded=[])
    messages = pair_messages(VALUES, "me", runs)
    for item in messages:
        if item["side"] == "b":
            break
    assert runs.active == 2
    messages.close()
    assert runs.active == 0


@pytest.mark.parametrize(
    "change, said",
    [
        ({"a": {"policy": "lacache", "budget": 20, "span": 15}}, "A: Budget = 20"),
        ({"b": {"policy": "lacache", "span": 30}}, "B: Span = 30"),
        ({"": {**SHARED, "prompt": " "}}, "Text is empty"),
        ({"": {**SHARED, "seed": -1}}, "Seed = -1"),
    ],
)
def test_what_cannot_run_is_named_with_its_side_and_nothing_starts(change, said):
    runs = Runs(recorded=[])
    with pytest.raises(SideError) as caught:
        list(pair_messages({**VALUES, **change}, "me", runs))
    assert str(caught.value).startswith(said)
    assert runs.active == 0


def test_what_shows_only_in_the_run_is_named_with_its_side_too():
    text = {**SHARED, "prompt": "word " * 3000}
    with pytest.raises(SideError, match="B: Text = '3,000 tokens'"):
        list(pair_messages({**VALUES, "": text, "b": {"policy": "full"}}))


# The page


def test_progress_and_problems_are_said_beside_the_button(monkeypatch):
    said = [text for _, text, _ in compare._run_for_page(VALUES, "me")]
    assert any("A: " in text and "of 120 tokens" in text for text in said)
    assert said[-1] == "Both are done."

    def broken(values, session):
        raise ModelUnavailableError("<b>No</b> model.")
        yield

    monkeypatch.setattr(compare, "pair_messages", broken)
    [(_, _, text)] = compare._run_for_page(VALUES, "me")
    assert "&lt;b&gt;No" in text and "role='alert'" in text

    def unforeseen(values, session):
        raise RuntimeError("secret")
        yield

    monkeypatch.setattr(compare, "pair_messages", unforeseen)
    [(_, _, text)] = compare._run_for_page(VALUES, "me")
    assert "secret" not in text and "went wrong" in text


# The pair that the page opens with


def test_the_recorded_pair_is_one_text_under_one_budget():
    (_, window), (_, ladder) = recorded_pair()
    assert window.token_ids.tolist() == ladder.token_ids.tolist()
    assert (window.manifest["policy"], ladder.manifest["policy"]) == ("streaming_llm", "lacache")
    assert window.manifest["budget"] == ladder.manifest["budget"] == 256
    assert window.perplexity() > ladder.perplexity() + 5
    for name in PAIR:
        path = FOLDER / "pair" / f"{name}.npz"
        assert path.stat().st_size <= MAX_BYTES
    sides = [item["side"] for item in compare.recorded_messages()]
    assert sides == ["a", "b"]


def test_without_the_recordings_the_page_opens_all_the_same(monkeypatch, tmp_path):
    monkeypatch.setattr("app.recorded.FOLDER", tmp_path)
    recorded_pair.cache_clear()
    try:
        assert compare.recorded_messages() == []
    finally:
        recorded_pair.cache_clear()


def test_settings_that_are_about_to_run_nowhere_are_checked_by_side():
    assert impossible(VALUES) == []
    wrong = {**VALUES, "a": {**VALUES["a"], "budget": 3}, "b": {**VALUES["b"], "span": 99}}
    first, second = impossible(wrong)
    assert first.startswith("A: Budget = 3") and second.startswith("B: Span = 99")


def test_a_link_to_what_is_impossible_says_so_at_once():
    link = {"b_span": "99", "a_policy": "nope", "b_budget": "100"}
    *updates, _, said, problem = compare._restored({}, link)
    assert updates == [] and said == "Settings taken from the link."
    told = problem.replace("&#x27;", "'")
    assert "policy = 'nope'" in told and "B: Span = 99" in told and "budget" not in told.lower()
    *_, said, problem = compare._restored({}, {})
    assert not isinstance(problem, str) and not isinstance(said, str)
