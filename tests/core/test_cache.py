"""The cache against the slow oracle, against its own tensors, and against what cannot work."""

import copy
import gc
import weakref

import numpy as np
import pytest
import torch
from matrix import SMALL
from oracle import SlowCache, SlowLadder, SlowWindow, turn
from tiny import LAYERS, random_ids, tiny_model
from transformers import DynamicCache

from lacache_core.attention import AttentionStates, recording
from lacache_core.cache import LadderCache
from lacache_core.errors import (
    InvalidLadderError,
    InvalidSettingError,
    UnsupportedOperationError,
)
from lacache_core.ladder import LadderConfig, retained
from lacache_core.policies import (
    H2O,
    Full,
    LaCache,
    SnapKV,
    StreamingLLM,
)

SHAPES = {
    "one row freed": dict(budget=24, span=3, overlap=0, num_sink=2),
    "overlap": dict(budget=24, span=3, overlap=1, num_sink=2),
    "wide group": dict(budget=24, span=1, overlap=0, num_sink=3),
    "staircase": dict(budget=24, span=2, overlap=1, num_sink=2, arrangement="staircase"),
    "slack": dict(budget=28, span=3, overlap=0, num_sink=2, slack=5),
    "no sinks": dict(budget=24, span=2, overlap=0, num_sink=0),
}


@pytest.fixture(scope="module")
def llama():
    return tiny_model()


@torch.no_grad()
def run(model, cache, ids, chunks=None, index=False):
    """Logits of every token, the text fed in the given chunks (one at a time by default)."""
    out, first = [], 0
    for size in chunks or [1] * ids.shape[1]:
        part = ids[:, first : first + size]
        extra = {}
        if index:
            start = cache.next_position
            extra["position_ids"] = torch.arange(start, start + part.shape[1])[None]
        out.append(model(part, past_key_values=cache, **extra).logits)
        first += size
    return torch.cat(out, dim=1)


def oracle(config, model, **changes):
    settings = {k: v for k, v in config.items() if k != "slack"}
    rule = SlowLadder(LAYERS, **settings)
    return SlowCache(rule, model.model.rotary_emb.inv_freq, **changes)


def test_a_loop_that_forgot_no_grad_gives_the_same(llama):
    ids, config = random_ids(60), LadderConfig(**SHAPES["overlap"])
    cache = LadderCache(llama, config)
    assert torch.is_grad_enabled() and any(p.requires_grad for p in llama.parameters())
    found = [llama(ids[:, t : t + 1], past_key_values=cache).logits for t in range(60)]
    assert torch.equal(torch.cat(found, dim=1), run(llama, LadderCache(llama, config), ids))


@pytest.mark.parametrize("index", [False, True], ids=["absolute", "index"])
@pytest.mark.parametrize("shape", [s for s in SHAPES if s != "slack"])
def test_logits_equal_the_oracle(llama, shape, index):
    ids = random_ids(150)
    slow = run(llama, oracle(SHAPES[shape], llama), ids)
    positions = "index" if index else "absolute"
    cache = LadderCache(llama, LadderConfig(**SHAPES[shape]), positions=positions)
    fast = run(llama, cache, ids, index=index)
    assert (fast - slow).abs().max() < 1e-5 * slow.abs().max()
    assert cache.text_positions.tolist() == oracle_rows(SHAPES[shape], 150)


def oracle_rows(config, seen):
    rule = SlowLadder(LAYERS, **{k: v for k, v in config.items() if k != "slack"})
    for _ in range(seen):
        rule.keep()
    return rule.rows


def test_streaming_llm_equals_the_oracle(llama):
    ids = random_ids(120)
    slow_cache = SlowCache(SlowWindow(LAYERS, 24, 3), llama.model.rotary_emb.inv_freq)
    slow = run(llama, slow_cache, ids)
    fast = run(llama, LadderCache(llama, StreamingLLM(budget=24, num_sink=3)), ids)
    assert (fast - slow).abs().max() < 1e-5 * slow.abs().max()


def test_the_oracle_itself_sees_a_wrong_rule(llama):
    """The comparison has teeth: another offset, sink count or position would show."""
    ids = random_ids(100)
    right = run(llama, oracle(SHAPES["overlap"], llama), ids)
    wrong = run(llama, LadderCache(llama, LadderConfig(24, 3, 1, num_sink=3)), ids)
    assert (right - wrong).abs().max() > 1e-2 * right.abs().max()


@pytest.mark.parametrize("policy", [Full(), StreamingLLM(200), LadderConfig(200, 3)])
def test_a_budget_as_long_as_the_text_equals_the_full_cache(llama, policy):
    ids = random_ids(150)
    full = run(llama, DynamicCache(), ids, chunks=[60, 1, 1, 88])
    ours = run(llama, LadderCache(llama, policy), ids, chunks=[60, 1, 1, 88])
    assert torch.equal(full, ours) or (full - ours).abs().max() < 1e-5 * full.abs().max()


@pytest.mark.parametrize("index", [False, True], ids=["absolute", "index"])
@pytest.mark.parametrize("shape", SHAPES)
def test_one_prompt_or_many_chunks_end_in_the_same_entries(llama, shape, index):
    """What is held depends on the number of tokens alone, in bulk and in place alike."""
    positions = "index" if index else "absolute"
    config, ids = LadderConfig(**SHAPES[shape]), random_ids(97)
    for chunks in ([97], [40, 57], [1] * 97, [25, 1, 1, 70], [20, 5, 1, 2, 3, 66]):
        cache = LadderCache(llama, config, positions=positions)
        run(llama, cache, ids, chunks, index)
        assert (cache.text_positions == retained(config, LAYERS, 97)).all()
        assert cache.seen == cache.get_seq_length() == 97
        assert cache.held == cache.layers[0].keys.shape[-2]


# Whose entry is it? Keys and values that carry their text position tell.


def feed(cache, seen, arriving, dtype=torch.float32, batch=1, index=False):
    """Give the cache one step of states: keys as rotated unit vectors, values as positions."""
    start = cache.next_position
    plain = base_key(arriving, seen, dtype)
    at = torch.arange(start, start + arriving)
    looking = torch.randn(batch, 4, arriving, 12, generator=torch.Generator().manual_seed(seen))
    with recording(cache._contents.tally):
        _feed_layers(cache, plain, at, seen, looking, dtype, batch)


def _feed_layers(cache, plain, at, seen, looking, dtype, batch):
    rotary, arriving = cache._contents.rotary, len(at)
    for layer in range(len(cache.layers)):
        key = turn(plain, at, rotary.inv_freq).to(dtype).expand(batch, 2, -1, -1)
        text = torch.arange(seen, seen + arriving, dtype=torch.float32) + layer / 10
        value = text.to(dtype)[None, None, :, None].expand(batch, 2, -1, 4)
        keys, _ = cache.update(key, value, layer)
        cache._contents.tally.record(layer, AttentionStates(looking.to(dtype), keys))


def base_key(count, seen, dtype):
    """The unturned key of each text position: the same wherever and whenever it is asked for."""
    text = torch.arange(seen, seen + count, dtype=torch.float64)[:, None]
    wave = torch.arange(1, 13, dtype=torch.float64)[None]
    return torch.sin(text * wave * 0.37 + wave).to(dtype)


POLICIES = [
    *SMALL,
    SnapKV(90, window=6),
    *(LaCache(**settings) for settings in SHAPES.values()),
]


@pytest.mark.parametrize("index", [False, True], ids=["absolute", "index"])
@pytest.mark.parametrize("policy", POLICIES, ids=repr)
def test_positions_are_true_to_the_tensors(llama, policy, index):
    cache = LadderCache(llama, policy, positions="index" if index else "absolute")
    seen, inv_freq = 0, llama.model.rotary_emb.inv_freq
    for arriving in [1] * 30 + [7, 1, 40, 1, 1, 26, 90] + [1] * 40:
        feed(cache, seen, arriving)
        seen += arriving
        rows = cache.text_positions
        capacity = cache.planner.capacity
        assert capacity is None or rows.shape[-1] <= capacity
        assert (rows[..., -1] == seen - 1).all()
        assert (np.diff(rows, axis=-1) > 0).all()
        base = cache.next_position - cache.held
        for layer, head in np.ndindex(LAYERS, 2):
            row = rows[layer, head] if rows.ndim == 3 else rows[layer]
            values = cache.layers[layer].values[0, head, :, 0]
            expected = torch.from_numpy(row).float() + layer / 10
            assert torch.allclose(values, expected, atol=1e-4)
            unturned = base_key(seen, 0, torch.float64)[row.astype(np.int64)]
            here = torch.arange(base, base + row.size)
            assert torch.allclose(
                cache.layers[layer].keys[0, head].double(),
                turn(unturned, here, inv_freq),
                atol=2e-5,
            )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("index", [False, True], ids=["absolute", "index"])
def test_sixteen_bit_keys_do_not_drift(dtype, index):
    """After 10,000 compactions a key is off by less than 0.5 %, the oldest sink included."""
    model = tiny_model()
    cache = LadderCache(
        model,
        LadderConfig(budget=24, span=3, num_sink=2),
        positions="index" if index else "absolute",
    )
    rotary, seen, compactions = cache._contents.rotary, 0, 0
    given = {}
    while compactions < 10_000:
        start = cache.next_position
        plain = base_key(1, seen, torch.float64)
        key = turn(plain, torch.tensor([start]), rotary.inv_freq).to(dtype)
        given[seen] = turn(key.double(), torch.tensor([-start]), rotary.inv_freq)
        for layer in range(LAYERS):
            cache.update(key.expand(1, 2, -1, -1), key.expand(1, 2, -1, -1), layer)
        seen += 1
        compactions += len(cache.last_groups)
        if seen % 50 == 0:
            kept = set(np.unique(cache.text_positions).tolist())
            given = {t: k for t, k in given.items() if t in kept}
    base = cache.next_position - cache.held
    here = torch.arange(base, base + cache.held)
    for layer in range(LAYERS):
        plain = torch.cat([given[t] for t in cache.text_positions[layer].tolist()])
        exact = turn(plain, here, rotary.inv_freq)
        got = cache.layers[layer].keys[0, 0].double()
        error = (got - exact).norm(dim=-1) / exact.norm(dim=-1)
        assert error.max() < 0.005


def test_bf16_model_follows_the_fp32_model():
    ids = random_ids(120)
    config = LadderConfig(**SHAPES["overlap"])
    wide, narrow = tiny_model(), tiny_model(dtype=torch.bfloat16)
    exact = run(wide, LadderCache(wide, config), ids)
    full = run(narrow, DynamicCache(), ids)
    full_error = (full.float() - run(wide, DynamicCache(), ids)).abs().mean()
    got = run(narrow, LadderCache(narrow, config), ids)
    # No worse than bf16 makes the same model without any compaction, give or take.
    assert (got.float() - exact).abs().mean() < 2 * full_error


def test_deepcopy_goes_its_own_way(llama):
    ids = random_ids(80)
    cache = LadderCache(llama, LadderConfig(**SHAPES["overlap"]))
    run(llama, cache, ids[:, :60])
    twin = copy.deepcopy(cache)
    a = run(llama, cache, ids[:, 60:])
    b = run(llama, twin, ids[:, 60:])
    assert torch.equal(a, b)
    assert twin._contents is not cache._contents


def test_reset_starts_anew(llama):
    ids = random_ids(70)
    cache = LadderCache(llama, LadderConfig(**SHAPES["overlap"]))
    first = run(llama, cache, ids)
    cache.reset()
    assert cache.seen == cache.held == 0
    assert torch.equal(run(llama, cache, ids), first)


def test_an_interrupted_step_is_repeated_or_refused(llama):
    ids = random_ids(60)
    config = LadderConfig(**SHAPES["overlap"])

    def interrupted_by(tokens):
        cache = LadderCache(llama, config)
        run(llama, cache, ids[:, :30])
        state = torch.zeros(1, 2, tokens, 12)
        cache.update(state, state, 0)  # ... and layer 1 never comes
        return cache

    cache = interrupted_by(1)
    untouched = LadderCache(llama, config)
    run(llama, untouched, ids[:, :30])
    assert torch.equal(run(llama, cache, ids[:, 30:]), run(llama, untouched, ids[:, 30:]))
    with pytest.raises(UnsupportedOperationError, match="interrupted"):
        run(llama, interrupted_by(40), ids[:, 30:])


def test_layers_must_come_in_order(llama):
    cache = LadderCache(llama, LadderConfig(**SHAPES["overlap"]))
    state = torch.zeros(1, 2, 1, 12)
    cache.update(state, state, 0)
    with pytest.raises(UnsupportedOperationError, match="Layer 2"):
        cache.update(state, state, 2)


def test_a_cache_is_freed_when_it_is_let_go(llama):
    """Without the garbage collector: a cycle would keep gigabytes until it comes by."""
    cache = LadderCache(llama, LadderConfig(**SHAPES["overlap"]))
    run(llama, cache, random_ids(30))
    seen = weakref.ref(cache._contents)
    gc.disable()
    try:
        del cache
        assert seen() is None
    finally:
        gc.enable()


def test_memory_stays_at_the_budget(llama):
    cache = LadderCache(llama, LadderConfig(**SHAPES["overlap"]))
    run(llama, cache, random_ids(400), chunks=[300, *[1] * 100])
    assert (
        cache._contents.buffers.capacity
        <= cache.planner.capacity + 1 + cache._contents.buffers.spare
    )


def test_bytes_count_what_is_stored(llama):
    config = LadderConfig(**SHAPES["overlap"])
    cache = LadderCache(llama, config)
    assert cache.bytes_per_entry == 0
    run(llama, cache, random_ids(10))
    assert cache.bytes_per_entry == LAYERS * 2 * 12 * 4 * 2  # keys and values in fp32
    narrow = tiny_model(dtype=torch.bfloat16)
    cache = LadderCache(narrow, config)
    run(narrow, cache, random_ids(10))
    assert cache.bytes_per_entry == LAYERS * 2 * 12 * 2 * 3  # and the keys as they arrived


def test_impossible_on_this_model(llama):
    with pytest.raises(InvalidLadderError, match="less than the model's 6 layers"):
        LadderCache(llama, LadderConfig(budget=256, span=15))
    with pytest.raises(ValueError, match="positions"):
        LadderCache(llama, LadderConfig(**SHAPES["overlap"]), positions="relative")


@pytest.mark.parametrize("policy", [None, "h2o", H2O, 256], ids=str)
def test_what_is_no_policy_is_refused_by_name(llama, policy):
    with pytest.raises(InvalidSettingError, match="policy .* a policy of lacache_core.policies"):
        LadderCache(llama, policy)


def test_a_call_without_a_cache_is_told_the_reason(llama):
    """It would read the whole text anew in every step, which looks like wrong positions."""
    cache = LadderCache(llama, LadderConfig(**SHAPES["overlap"]))
    ids = torch.arange(1, 9)[None]
    for call in (
        lambda: llama(ids, past_key_values=cache, use_cache=False),
        lambda: llama.generate(
            ids, past_key_values=cache, use_cache=False, max_new_tokens=3, do_sample=False
        ),
    ):
        with pytest.raises(UnsupportedOperationError, match="use_cache = False"):
            call()
        assert cache.seen == 0
