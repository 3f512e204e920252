"""Every policy through the same invariants, with a synthetic model and with a real tiny one."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matrix import COUNTS_ALONE, FILLS_ITS_BUDGET, MATRIX, REPEATS_PLANS, SMALL
from oracle import turn
from tiny import random_ids, tiny_model
from transformers import DynamicCache

from lacache_core.attention import observable
from lacache_core.cache import LadderCache
from lacache_core.errors import UnsupportedOperationError
from lacache_core.policies import (
    H2O,
    POLICIES,
    TOVA,
    Arrival,
    LaCache,
    Random,
    SlidingWindow,
    SnapKV,
    StreamingLLM,
    make_policy,
)

LAYERS, HEADS = 8, 2
BY_ATTENTION = [p for p in MATRIX if p.bind(LAYERS).attention is not None]


def promising(names):
    """The policies of the matrix that go by these names."""
    return [p for p in MATRIX if p.name in names]


class Held:
    """What a policy holds as tokens arrive, with attention made up from what arrives."""

    def __init__(self, policy, prompt=0):
        self.planner = policy.bind(LAYERS, HEADS)
        self.rows = np.empty((self.planner.num_patterns, 0), np.int32)
        self.cursor, self.seen, self.prompt = self.planner.cursor, 0, prompt

    def arrival(self, count):
        self.prompt = self.prompt or count
        held, mass = self.rows.shape[1], None
        if self.planner.attention is not None:
            rng = np.random.default_rng([self.seen, count])
            mass = rng.random((LAYERS, HEADS, held + count), dtype=np.float32)
        return Arrival(held, count, self.seen, self.cursor, self.prompt, self.rows, mass)

    def arrive(self, count):
        plan = self.planner.plan(self.arrival(count))
        new = np.tile(np.arange(self.seen, self.seen + count, dtype=np.int32), (len(self.rows), 1))
        self.rows = np.concatenate([self.rows, new], axis=1)
        self.seen += count
        if plan is not None:
            assert plan.length == self.rows.shape[1]
            assert (np.diff(plan.kept, axis=1) > 0).all()
            assert np.array_equal(plan.row_of_layer, self.planner.row_of_layer)
            assert plan.dropped(self.rows).shape == (len(self.rows), plan.freed)
            self.rows, self.cursor = plan.apply(self.rows), plan.cursor
        return plan


@pytest.mark.parametrize("policy", MATRIX, ids=repr)
@given(cuts=st.lists(st.integers(1, 60), min_size=1, max_size=10), prompt=st.integers(0, 150))
@settings(max_examples=30, deadline=None)
def test_invariants(policy, cuts, prompt):
    held = Held(policy, prompt)
    planner = held.planner
    for count in cuts:
        before = held.rows.shape[1]
        plan = held.arrive(count)
        rows, seen = held.rows, held.seen
        assert (np.diff(rows, axis=1) > 0).all()  # text order, nothing twice
        whole = planner.holds_prompt and seen < max(held.prompt, policy.budget + 1)
        if planner.capacity is None or whole:
            assert plan is None
            assert rows.shape[1] == seen
            continue
        # Never above what the budget semantics promise: the budget, and for a ladder with a wide
        # group half of what a compaction frees, so that the budget is its mean.
        assert rows.shape[1] <= planner.capacity
        if not isinstance(policy, LaCache):
            assert planner.capacity == policy.budget
        # The newest are kept. (Of a wide group the ladder's rule takes some of its own reserve.)
        newest = 1 if isinstance(policy, LaCache) else min(planner.reserve, seen, rows.shape[1])
        assert (rows[:, -newest:] == np.arange(seen - newest, seen)).all()
        sinks = min(getattr(policy, "num_sink", 0), seen)
        assert (rows[:, :sinks] == np.arange(sinks)).all()
        if before + count <= planner.capacity:
            assert plan is None  # as the full cache while the budget suffices
        elif policy.name in FILLS_ITS_BUDGET:
            assert rows.shape[1] == planner.capacity  # and no less than it allows


@pytest.mark.parametrize("policy", promising(COUNTS_ALONE), ids=repr)
@given(cuts=st.lists(st.integers(1, 60), min_size=1, max_size=10))
@settings(max_examples=20, deadline=None)
def test_the_number_of_tokens_alone_decides(policy, cuts):
    chunks, single = Held(policy), Held(policy)
    for count in cuts:
        chunks.arrive(count)
    for _ in range(chunks.seen):
        single.arrive(1)
    assert (single.rows == chunks.rows).all()
    assert single.cursor == chunks.cursor


@pytest.mark.parametrize("policy", MATRIX, ids=repr)
def test_the_same_again_is_the_same(policy):
    first, second = Held(policy), Held(policy)
    for held in (first, second):
        for count in (30, 1, 50, 1, 1):
            held.arrive(count)
    assert (first.rows == second.rows).all()


@pytest.mark.parametrize("policy", BY_ATTENTION, ids=repr)
def test_no_attention_no_plan(policy):
    held = Held(policy)
    arrival = held.arrival(60)
    object.__setattr__(arrival, "mass", None)
    with pytest.raises(UnsupportedOperationError, match="by attention.*cache.observed"):
        held.planner.plan(arrival)


@pytest.mark.parametrize("policy", promising(REPEATS_PLANS), ids=repr)
def test_one_token_plans_repeat_as_the_same_object(policy):
    planner = policy.bind(LAYERS)
    arrival = Arrival(held=planner.capacity or 50, arriving=1, seen=500, cursor=planner.cursor)
    assert planner.plan(arrival) is planner.plan(arrival)


# With a real model.


@pytest.fixture(scope="module")
def llama():
    return tiny_model()


@torch.no_grad()
def run(model, cache, ids, chunks):
    with cache.observed(model) if isinstance(cache, LadderCache) else observable(model):
        parts = ids.split(chunks, dim=1)
        return torch.cat([model(part, past_key_values=cache).logits for part in parts], dim=1)


def test_the_matrix_leaves_no_policy_out():
    assert {p.name for p in MATRIX} == {p.name for p in SMALL} == set(POLICIES)


@pytest.mark.parametrize("policy", SMALL, ids=lambda p: p.name)
def test_a_budget_as_long_as_the_text_equals_the_full_cache(llama, policy):
    ids, chunks = random_ids(120), [60, 1, 1, 58]
    roomy = make_policy(policy.name, budget=200, span=3, window=6)
    full = run(llama, DynamicCache(), ids, chunks)
    ours = run(llama, LadderCache(llama, roomy), ids, chunks)
    assert (full - ours).abs().max() < 1e-5 * full.abs().max()


@pytest.mark.parametrize("policy", [p for p in SMALL if p.name != "full"], ids=lambda p: p.name)
def test_a_small_budget_does_not(llama, policy):
    """The comparison has teeth, and every policy differs from every other."""
    ids, chunks = random_ids(120), [60, *[1] * 60]
    full = run(llama, DynamicCache(), ids, chunks)
    ours = run(llama, LadderCache(llama, policy), ids, chunks)
    assert (full - ours).abs().max() > 1e-2 * full.abs().max()


@pytest.mark.parametrize("policy", SMALL, ids=lambda p: p.name)
def test_memory_comes_down_to_the_budget(llama, policy):
    cache = LadderCache(llama, policy)
    run(llama, cache, random_ids(200), [150, *[1] * 50])
    held, stored = cache.held, cache._contents.buffers.capacity
    if cache.planner.capacity is None:
        assert held == 200
        return
    whole_prompt = cache.planner.attention is not None and not cache.planner.holds_prompt
    assert held <= cache.planner.capacity
    spare = cache._contents.buffers.spare
    assert stored <= (150 if whole_prompt else cache.planner.capacity + 1) + spare


@pytest.mark.parametrize("policy", [H2O(24), TOVA(24), SnapKV(24, window=6)], ids=lambda p: p.name)
def test_unseen_attention_and_batches_are_refused(llama, policy):
    with pytest.raises(UnsupportedOperationError, match="cache.observed"):
        llama(random_ids(30), past_key_values=LadderCache(llama, policy))
    cache = LadderCache(llama, policy)
    with cache.observed(llama), pytest.raises(UnsupportedOperationError, match="one text"):
        llama(random_ids(30, batch=2), past_key_values=cache)
    # Somebody else's passes in between are none of this cache's business.
    alone, disturbed = LadderCache(llama, policy), LadderCache(llama, policy)
    ids = random_ids(60)
    expected = run(llama, alone, ids, [50, *[1] * 10])
    with disturbed.observed(llama), torch.no_grad():
        got = []
        for part in ids.split([50, *[1] * 10], dim=1):
            got.append(llama(part, past_key_values=disturbed).logits)
            llama(random_ids(7))
    assert torch.equal(torch.cat(got, dim=1), expected)
    assert (alone.text_positions == disturbed.text_positions).all()


def test_generate_with_a_policy_that_needs_attention(llama):
    ids, texts = random_ids(50), []
    for chunk in (None, 200):
        cache = LadderCache(llama, H2O(24))
        with cache.observed(llama):
            texts.append(
                llama.generate(
                    ids,
                    past_key_values=cache,
                    max_new_tokens=20,
                    do_sample=False,
                    prefill_chunk_size=chunk,
                ).tolist()
            )
        assert cache.held <= 24
    assert texts[0] == texts[1]
    assert llama.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("positions", ["absolute", "index"])
def test_heads_keep_their_own_in_sixteen_bits(positions):
    """Layer 0 sees each token alone, so its keys and values tell which tokens are held where."""
    model, ids = tiny_model(dtype=torch.bfloat16), random_ids(150)
    cache, plain = (
        LadderCache(model, H2O(24, recent_share=0.25), positions=positions),
        DynamicCache(),
    )
    with torch.no_grad(), cache.observed(model):
        for part in ids.split([60, *[1] * 90], dim=1):
            start = cache.next_position
            where = torch.arange(start, start + part.shape[1])[None]
            model(part, past_key_values=cache, position_ids=where)
        model(ids, past_key_values=plain, position_ids=torch.zeros_like(ids))
    text = torch.from_numpy(cache.text_positions[0].astype(np.int64))
    assert (text[0] != text[1]).any()
    index = text[:, :, None].expand(-1, -1, 12)
    assert torch.equal(cache.layers[0].values[0], plain.layers[0].values[0].gather(1, index))
    inv_freq = model.model.rotary_emb.inv_freq
    here = torch.arange(cache.next_position - cache.held, cache.next_position)
    exact = turn(plain.layers[0].keys[0].gather(1, index), here, inv_freq)
    error = (cache.layers[0].keys[0].double() - exact).norm(dim=-1) / exact.norm(dim=-1)
    assert error.max() < 0.01  # two roundings to bf16: the key as it arrived, and as it stands


# What is particular to one.


def test_windows_keep_the_newest():
    for policy, kept in ((SlidingWindow(10), []), (StreamingLLM(10, 3), [0, 1, 2])):
        held = Held(policy)
        held.arrive(100)
        assert held.rows.tolist() == [[*kept, *range(90 + len(kept), 100)]]


def test_union_coverage_is_what_sets_a_ladder_apart():
    def union(policy):
        held = Held(policy)
        held.arrive(2000)
        return len(np.unique(held.rows))

    assert union(StreamingLLM(128)) == 128
    assert union(LaCache(128, 4)) > 200


def test_random_is_an_even_sample_that_differs_by_layer_and_seed():
    held, other = Held(Random(132, num_sink=4)), Held(Random(132, num_sink=4, seed=1))
    held.arrive(4000)
    other.arrive(4000)
    sample = held.rows[:, 4:68]
    assert len({tuple(row) for row in sample.tolist()}) == LAYERS
    assert (held.rows != other.rows).any(axis=1).all()
    # 512 draws from 4..3935: their mean is within four standard errors of the middle.
    assert abs(sample.mean() - 1970) < 4 * 3932 / np.sqrt(12 * 512)
