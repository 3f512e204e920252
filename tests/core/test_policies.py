"""Every policy through the same invariants; the registry."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lacache_core.errors import InvalidSettingError
from lacache_core.ladder import LadderConfig
from lacache_core.policies import (
    POLICIES,
    Arrival,
    Full,
    LaCache,
    StreamingLLM,
    as_policy,
    make_policy,
    policy_settings,
)

LAYERS = 8
MATRIX = [
    Full(),
    StreamingLLM(40, 4),
    StreamingLLM(17, 0),
    LaCache(40, 4, 0, 4),
    LaCache(40, 4, 2, 0),
    LaCache(40, 1, 0, 4),
    LaCache(40, 5, 0, 4, "staircase"),
    LaCache(40, 4, 0, 4, slack=6),
]


def arrive(planner, rows, seen, count, cursor):
    """Tokens join every row and the plan is carried out: rows, cursor, plan."""
    plan = planner.plan(Arrival(rows.shape[1], count, seen, cursor))
    new = np.tile(np.arange(seen, seen + count, dtype=np.int32), (len(rows), 1))
    rows = np.concatenate([rows, new], axis=1)
    if plan is None:
        return rows, cursor, None
    assert plan.length == rows.shape[1]
    assert (np.diff(plan.kept, axis=1) > 0).all()
    assert (plan.row_of_layer == planner.row_of_layer).all()
    return plan.apply(rows), plan.cursor, plan


@pytest.mark.parametrize("policy", MATRIX, ids=repr)
@given(cuts=st.lists(st.integers(1, 60), min_size=1, max_size=10))
@settings(max_examples=30, deadline=None)
def test_invariants(policy, cuts):
    planner = policy.bind(LAYERS)
    rows, cursor, seen = np.empty((planner.num_patterns, 0), np.int32), planner.cursor, 0
    for count in cuts:
        held_before = rows.shape[1]
        rows, cursor, plan = arrive(planner, rows, seen, count, cursor)
        seen += count
        if planner.capacity is None:
            assert plan is None
            assert rows.shape[1] == seen
            continue
        assert rows.shape[1] <= planner.capacity  # never above budget
        assert (rows[:, -1] == seen - 1).all()  # the newest is kept
        assert (np.diff(rows, axis=1) > 0).all()  # text order, nothing twice
        sinks = min(policy.num_sink, seen)
        assert (rows[:, :sinks] == np.arange(sinks)).all()
        if held_before + count <= planner.capacity:
            assert plan is None  # as the full cache while the budget suffices

    # The same tokens one by one end in the same entries.
    one, at = np.empty((planner.num_patterns, 0), np.int32), planner.cursor
    for token in range(seen):
        one, at, _ = arrive(planner, one, token, 1, at)
    assert (one == rows).all()
    assert at == cursor


@pytest.mark.parametrize("policy", MATRIX, ids=repr)
def test_one_token_plans_repeat_as_the_same_object(policy):
    """So that the cache can keep what it made of them."""
    planner = policy.bind(LAYERS)
    arrival = Arrival(held=planner.capacity or 50, arriving=1, seen=500, cursor=planner.cursor)
    assert planner.plan(arrival) is planner.plan(arrival)


def test_streaming_llm_keeps_sinks_and_the_newest():
    planner = StreamingLLM(10, 3).bind(LAYERS)
    rows, _, _ = arrive(planner, np.empty((1, 0), np.int32), 0, 100, planner.cursor)
    assert rows.tolist() == [[0, 1, 2, *range(93, 100)]]


def test_union_coverage_is_what_sets_a_ladder_apart():
    def union(policy):
        planner = policy.bind(30)
        empty = np.empty((planner.num_patterns, 0), np.int32)
        rows, _, _ = arrive(planner, empty, 0, 2000, planner.cursor)
        return len(np.unique(rows))

    assert union(StreamingLLM(256)) == 256
    assert union(LaCache(256, 15)) > 400


def test_registry_names_every_policy_and_its_settings():
    assert list(POLICIES) == ["full", "streaming_llm", "lacache"]
    assert policy_settings("full") == ()
    assert policy_settings("streaming_llm") == ("budget", "num_sink")
    assert policy_settings("lacache")[:2] == ("budget", "span")
    everything = dict(budget=64, span=4, overlap=1, num_sink=2, arrangement="staircase", slack=3)
    assert make_policy("full", **everything) == Full()
    assert make_policy("streaming_llm", **everything) == StreamingLLM(64, 2)
    assert make_policy("lacache", **everything) == LaCache(64, 4, 1, 2, "staircase", 3)
    with pytest.raises(InvalidSettingError, match="policy = 'h3o'.*full, streaming_llm, lacache"):
        make_policy("h3o")


def test_a_plain_configuration_means_lacache():
    assert as_policy(LadderConfig(64, 4)) == LaCache(64, 4)
    assert as_policy(StreamingLLM(64)) == StreamingLLM(64)


@pytest.mark.parametrize("given", [(4, 4), (3, 4), (0, 0), (64.5, 4), (True, 0), (64, -1)])
def test_impossible_windows_are_refused(given):
    with pytest.raises(InvalidSettingError):
        StreamingLLM(*given)
