"""The rule: golden vectors, the slow statement, any cut of the arrivals, every refusal."""

import gzip
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from oracle import SlowLadder

from lacache_core.errors import InvalidLadderError
from lacache_core.ladder import LadderConfig, overlaps_that_free, retained, smallest_budget

GOLDEN = json.loads(
    gzip.decompress((Path(__file__).parent / "data/ladder_reference.json.gz").read_bytes())
)


def name_of(case):
    return "L{num_layers}-S{span}-O{overlap}-B{budget}-A{num_sink}".format(**case)


@pytest.mark.parametrize("case", GOLDEN, ids=name_of)
def test_golden_retained_sets(case):
    config = LadderConfig(case["budget"], case["span"], case["overlap"], case["num_sink"])
    ladder = config.ladder(case["num_layers"])
    assert ladder.group_width == case["group_width"]
    assert ladder.kept_width == case["kept_width"]
    assert ladder.effective_budget == case["effective_budget"]
    for point in case["checkpoints"]:
        rows = retained(config, case["num_layers"], point["tokens_seen"])
        assert rows.dtype == np.int32
        assert rows.shape == (case["num_layers"], point["retained_per_layer"])
        assert hashlib.sha256(rows.astype("<i4").tobytes()).hexdigest() == point["sha256"]
        assert len(np.unique(rows)) == point["union"]
        if "retained" in point:
            assert rows.tolist() == point["retained"]


def test_all_golden_cases_are_there():
    assert len(GOLDEN) == 167
    assert sum(len(case["checkpoints"]) for case in GOLDEN) == 1443


@st.composite
def ladders(draw, slack=False):
    layers = draw(st.integers(2, 12))
    span = draw(st.integers(1, layers - 1))
    overlap = draw(st.sampled_from(overlaps_that_free(layers, span)))
    sinks = draw(st.integers(0, 5))
    spare = draw(st.integers(0, 9)) if slack else 0
    budget = smallest_budget(layers, span, overlap, sinks, spare) + draw(st.integers(0, 20))
    kind = draw(st.sampled_from(["interleaved", "staircase"]))
    return LadderConfig(budget, span, overlap, sinks, kind, spare), layers


@given(ladders(), st.integers(0, 300))
@settings(max_examples=150, deadline=None)
def test_the_fold_is_the_rule_token_by_token(ladder, seen):
    config, layers = ladder
    slow = SlowLadder(
        layers, config.budget, config.span, config.overlap, config.num_sink, config.arrangement
    )
    for _ in range(seen):
        slow.keep()
    assert retained(config, layers, seen).tolist() == slow.rows


@given(ladders(slack=True), st.lists(st.integers(1, 90), min_size=1, max_size=12))
@settings(max_examples=150, deadline=None)
def test_arrival_does_not_matter(ladder, cuts):
    config, layers = ladder
    bound = config.ladder(layers)
    rows, cursor = np.empty((bound.reduction + 1, 0), np.int32), config.num_sink
    seen = 0
    for arriving in cuts:
        held = rows.shape[1]
        plan = bound.plan(held, arriving, cursor)
        new = np.arange(seen, seen + arriving, dtype=np.int32)
        rows = np.concatenate([rows, np.tile(new, (len(rows), 1))], axis=1)
        seen += arriving
        if plan is not None:
            dropped = plan.dropped(rows)
            kept = plan.apply(rows)
            both = np.sort(np.concatenate([dropped, kept], axis=1), axis=1)
            assert (both == rows).all()  # nothing is lost from the account, nothing appears twice
            rows, cursor = kept, plan.cursor
    assert (rows[bound.row_of_layer] == retained(config, layers, seen)).all()


@given(ladders(slack=True), st.integers(0, 300))
@settings(max_examples=150, deadline=None)
def test_invariants(ladder, seen):
    config, layers = ladder
    bound = config.ladder(layers)
    rows = retained(config, layers, seen)
    assert rows.shape[1] <= min(seen, bound.effective_budget)
    assert (np.diff(rows, axis=1) > 0).all()
    if seen:
        assert (rows[:, -1] == seen - 1).all()
        sinks = min(config.num_sink, seen)
        assert (rows[:, :sinks] == np.arange(sinks)).all()
    assert len({tuple(row) for row in rows.tolist()}) <= bound.reduction + 1


def test_slack_frees_more_so_that_following_tokens_need_nothing():
    config = LadderConfig(budget=64, span=15, slack=10)
    bound = config.ladder(30)
    plan = bound.plan(bound.effective_budget, 1, config.num_sink)
    assert plan.freed == 11
    assert bound.plan(plan.length_after, 10, plan.cursor) is None
    assert bound.plan(plan.length_after, 11, plan.cursor) is not None


def test_slack_zero_is_the_paper():
    assert LadderConfig(64, 8, 4).ladder(30).groups_per_compaction == 1


def test_staircase_puts_early_tokens_in_shallow_layers():
    rows = LadderConfig(64, 5, 0, arrangement="staircase").ladder(30).row_of_layer
    assert (np.diff(rows) >= 0).all()
    assert set(rows.tolist()) == set(range(rows.max() + 1))


INVALID = [
    (dict(budget=0, span=8), 30, "budget"),
    (dict(budget=-5, span=8), 30, "budget"),
    (dict(budget=30, span=8), 30, "budget"),
    (dict(budget=256, span=0), 30, "span"),
    (dict(budget=256, span=30), 30, "span"),
    (dict(budget=256, span=31), 30, "span"),
    (dict(budget=256, span=8, overlap=8), 30, "overlap"),
    (dict(budget=256, span=8, overlap=-1), 30, "overlap"),
    (dict(budget=256, span=29, overlap=28), 30, "overlap"),
    (dict(budget=256, span=8, num_sink=-1), 30, "num_sink"),
    (dict(budget=256, span=8, num_sink=250), 30, "budget"),
    (dict(budget=256, span=8, slack=-1), 30, "slack"),
    (dict(budget=256, span=8, slack=300), 30, "budget"),
    (dict(budget=256, span=8, arrangement="spiral"), 30, "arrangement"),
    (dict(budget=256.0, span=8), 30, "budget"),
    (dict(budget=True, span=8), 30, "budget"),
    (dict(budget=float("nan"), span=8), 30, "budget"),
    (dict(budget="256", span=8), 30, "budget"),
    (dict(budget=None, span=8), 30, "budget"),
    (dict(budget=256, span=1), 1, "num_layers"),
    (dict(budget=256, span=1), 2.5, "num_layers"),
]


@pytest.mark.parametrize("given, layers, field", INVALID)
def test_impossible_configurations_are_refused_by_name(given, layers, field):
    with pytest.raises(InvalidLadderError) as caught:
        LadderConfig(**given).ladder(layers)
    assert caught.value.field == field
    assert caught.value.allowed in str(caught.value)
    shown = layers if field == "num_layers" else given.get(field, 256)
    assert ("empty" if shown is None else repr(shown)) in str(caught.value)


def test_validity_is_exactly_the_stated_condition():
    """Every small combination: accepted if and only if the method's condition holds."""
    for layers in range(2, 9):
        for span in range(1, layers + 2):
            for overlap in range(-1, span + 2):
                for sinks in (0, 3):
                    for budget in range(1, 30):
                        fine = 0 <= overlap < span < layers
                        if fine:
                            slow = SlowLadder(layers, budget, span, overlap, sinks)
                            # R = 0 meets the inequality too but frees nothing: memory would grow.
                            fine = slow.freed > 0 and slow.most - sinks - layers >= slow.kept
                        try:
                            LadderConfig(budget, span, overlap, sinks).ladder(layers)
                            accepted = True
                        except InvalidLadderError:
                            accepted = False
                        assert accepted == fine, (layers, span, overlap, sinks, budget)


@given(ladders(slack=True))
@settings(max_examples=100, deadline=None)
def test_the_named_smallest_budget_is_possible_and_one_less_is_not(ladder):
    config, layers = ladder
    rest = (config.span, config.overlap, config.num_sink, config.arrangement, config.slack)
    least = smallest_budget(layers, config.span, config.overlap, config.num_sink, config.slack)
    LadderConfig(least, *rest).ladder(layers)
    assume(least > 1)
    with pytest.raises(InvalidLadderError, match=f"{least} or more"):
        LadderConfig(least - 1, *rest).ladder(layers)


@pytest.mark.parametrize("tokens", [10_000_001, 10**30])
def test_retained_refuses_what_it_could_not_go_through(tokens):
    with pytest.raises(InvalidLadderError, match="tokens_seen = .* from 0 to 10,000,000"):
        retained(LadderConfig(64, 3), 6, tokens)


@pytest.mark.parametrize("name", ["budget", "span", "overlap", "num_sink", "slack"])
def test_no_setting_is_larger_than_a_cache_can_count(name):
    values = {"budget": 64, "span": 3, name: 10**30}
    with pytest.raises(InvalidLadderError, match=f"{name} = 1000.* at most 1,000,000,000"):
        LadderConfig(**values)


def test_retained_refuses_negative_length():
    with pytest.raises(InvalidLadderError, match="tokens_seen"):
        retained(LadderConfig(256, 15), 30, -1)
    assert retained(LadderConfig(256, 15), 30, 0).shape == (30, 0)


def test_numpy_integers_are_whole_numbers():
    assert LadderConfig(np.int64(256), np.int32(15)).ladder(np.int64(30)).group_width == 2
