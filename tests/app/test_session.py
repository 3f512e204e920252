"""Settings as a link and back."""

from __future__ import annotations

from urllib.parse import parse_qsl

import pytest

from app.samples import samples
from app.session import (
    MOST_TEXT_IN_LINK,
    from_query,
    pair_from_query,
    pair_to_query,
    to_query,
    understood,
)
from lacache_core.errors import InvalidSettingError

CHANGED = {
    "policy": "lacache",
    "budget": 100,
    "span": 9,
    "overlap": 7,
    "arrangement": "staircase",
    "temperature": 0.35,
    "observe": False,
    "chat": True,
    "mode": "read",
}


def test_there_and_back():
    query = dict(parse_qsl(to_query(CHANGED)))
    assert from_query(query) == {k: v for k, v in CHANGED.items() if k != "policy"}


def test_defaults_are_left_out():
    assert to_query({}) == ""


def test_the_text_travels_only_when_asked_for():
    values = {"prompt": "a secret & <more>", "budget": 99}
    assert "secret" not in to_query(values)
    query = dict(parse_qsl(to_query(values, with_text=True)))
    assert from_query(query) == values


def test_a_sample_is_named():
    sample = samples()[2]
    query = to_query({"prompt": sample.text})
    assert len(query) < 100
    assert from_query(dict(parse_qsl(query)))["prompt"] == sample.text


def test_a_text_too_long_for_a_link_is_refused():
    with pytest.raises(InvalidSettingError, match="at most 4,000 characters"):
        to_query({"prompt": "x" * (MOST_TEXT_IN_LINK + 1)}, with_text=True)


@pytest.mark.parametrize(
    "query, field",
    [
        ({"budget": "many"}, "budget"),
        ({"budget": "1"}, "budget"),
        ({"observe": "1"}, "observe"),
        ({"policy": "best"}, "policy"),
        ({"temperature": "nan"}, "temperature"),
        ({"sample": "No such"}, "sample"),
    ],
)
def test_a_wrong_link_names_the_field(query, field):
    with pytest.raises(InvalidSettingError) as caught:
        from_query(query)
    assert caught.value.field == field


def test_of_a_wrong_link_the_rest_is_understood():
    found, wrong = understood({"budget": "many", "span": "9", "policy": "best"}, from_query)
    assert found == {"span": 9}
    assert [sentence.split(" = ")[0] for sentence in wrong] == ["budget", "policy"]
    pair, wrong = understood({"a_policy": "nope", "b_budget": "64"}, pair_from_query)
    assert pair["b"] == {"budget": 64} and pair["a"] == {}
    assert len(wrong) == 1 and wrong[0].startswith("a_policy = 'nope'")
    assert understood({}, from_query) == ({}, [])


def test_what_is_no_setting_is_ignored():
    assert from_query({"__theme": "dark", "fbclid": "1"}) == {}


# Two runs that are compared


def pair(**changes):
    values = {"": {"mode": "read"}, "a": {"policy": "streaming_llm"}, "b": {"policy": "lacache"}}
    return {side: {**own, **changes.get(side or "shared", {})} for side, own in values.items()}


def test_a_pair_there_and_back():
    changed = pair(
        shared={"mode": "generate", "seed": 3, "observe": False},
        a={"policy": "lacache", "span": 9, "overlap": 7},  # the default of a single run
        b={"policy": "snapkv", "budget": 100, "kernel": 7},
    )
    query = dict(parse_qsl(pair_to_query(changed)))
    assert pair_from_query(query) == changed
    assert query["a_policy"] == "lacache" and "policy" not in query


def test_a_pair_as_the_page_opens_it_needs_no_link():
    assert pair_to_query(pair()) == ""
    assert pair_from_query({"budget": "99", "utm": "x"}) == {"": {}, "a": {}, "b": {}}


def test_the_text_of_a_pair_travels_once_and_only_when_asked_for():
    values = pair(shared={"prompt": "a secret"})
    assert "secret" not in pair_to_query(values)
    query = dict(parse_qsl(pair_to_query(values, with_text=True)))
    assert list(query) == ["prompt"] and pair_from_query(query)[""] == {"prompt": "a secret"}


@pytest.mark.parametrize("query", [{"a_budget": "1"}, {"b_policy": "best"}, {"seed": "many"}])
def test_a_wrong_link_to_a_pair_names_the_field(query):
    [name] = query
    with pytest.raises(InvalidSettingError) as caught:
        pair_from_query(query)
    assert caught.value.field == name.removeprefix("a_").removeprefix("b_")
