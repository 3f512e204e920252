"""Who competes: policies, budgets as entries or shares, settings in a policy's own name."""

import math

import pytest

from lacache_core.errors import InvalidSettingError
from lacache_core.evaluation.contenders import (
    Contender,
    as_budget,
    contenders,
    describe,
    parse_budget,
)
from lacache_core.policies import POLICIES, Full, LaCache, StreamingLLM
from lacache_core.settings import RunSettings


def test_every_policy_with_every_budget_and_the_full_cache_once():
    found = contenders(["full", "streaming_llm", "lacache"], [128, 256], {"span": 9})
    assert [(c.policy, c.budget) for c in found] == [
        ("full", None),
        ("streaming_llm", 128),
        ("streaming_llm", 256),
        ("lacache", 128),
        ("lacache", 256),
    ]
    assert [c.at(1000) for c in found] == [
        Full(),
        StreamingLLM(128),
        StreamingLLM(256),
        LaCache(128, 9),
        LaCache(256, 9),
    ]


@pytest.mark.parametrize("name", POLICIES)
def test_every_policy_of_the_registry_can_compete(name):
    (one,) = contenders([name])
    policy = one.at(1000)
    assert policy.name == name
    budget = RunSettings.model_fields["budget"].default
    assert getattr(policy, "budget", budget) == budget
    assert describe(policy).startswith(policy.label)


def test_settings_in_a_policys_own_name():
    found = contenders(
        ["lacache:span=8,overlap=4", "lacache:arrangement=staircase", "streaming_llm:budget=64"],
        [96],
        {"num_sink": 2, "span": 15},
    )
    assert [c.at(0) for c in found] == [
        LaCache(96, 8, 4, 2),
        LaCache(96, 15, num_sink=2, arrangement="staircase"),
        StreamingLLM(64, 2),
    ]
    assert describe(found[0].at(0)) == "LaCache, span 8, overlap 4, num_sink 2"
    assert describe(found[1].at(0)) == "LaCache, span 15, num_sink 2, staircase"


def test_the_same_twice_competes_once():
    assert len(contenders(["lacache", "lacache", "full", "full"], [64, 64])) == 2


def test_a_share_of_the_length_is_cut_down_to_whole_entries():
    assert Contender("streaming_llm", 0.3).at(129).budget == 38
    assert contenders(["streaming_llm"], [0.5])[0].at(512) == StreamingLLM(256)
    with pytest.raises(InvalidSettingError, match="budget"):
        Contender("streaming_llm", 0.1).at(100)  # 10 entries: below the schema's least


@pytest.mark.parametrize(
    "text, budget",
    [("256", 256), ("0.5", 0.5), ("50%", 0.5), ("1.0", 1.0), ("256.0", 256)],
)
def test_budgets_as_they_are_typed(text, budget):
    assert parse_budget(text) == budget and type(parse_budget(text)) is type(budget)


@pytest.mark.parametrize(
    "wrong", ["", "x", "1.5", "-0.5", "0.0", "nan", "inf", "1e999", "150%", "0%"]
)
def test_impossible_budgets_as_they_are_typed(wrong):
    with pytest.raises(InvalidSettingError, match="budget"):
        contenders(["lacache"], [parse_budget(wrong)])


@pytest.mark.parametrize("wrong", [True, None, "256", math.nan, math.inf, 1.5, 0.0, -0.5, [1]])
def test_impossible_budgets(wrong):
    with pytest.raises(InvalidSettingError, match="budget"):
        as_budget(wrong)


@pytest.mark.parametrize(
    "policies, budgets, settings, named",
    [
        ([], [], {}, "policy"),
        (["nosuch"], [], {}, "nosuch"),
        (["lacache:spam=1"], [], {}, "spam"),
        (["lacache:span"], [], {}, "span"),
        (["full:span=3"], [], {}, "full"),
        (["lacache:span=x"], [], {}, "span"),
        (["lacache:span=0"], [], {}, "span"),
        (["lacache:arrangement=circle"], [], {}, "arrangement"),
        (["lacache"], [8], {}, "budget"),
        (["lacache"], [0.5], {"span": 0}, "span"),
        (["lacache"], [99_999], {}, "budget"),
        (["streaming_llm"], [16], {"num_sink": 16}, "budget"),
    ],
)
def test_what_is_impossible_is_named(policies, budgets, settings, named):
    with pytest.raises(InvalidSettingError, match=named):
        contenders(policies, budgets, settings)
