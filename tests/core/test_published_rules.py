"""H2O, TOVA and SnapKV against slow, plain statements of what their papers and code do."""

import pytest
import torch
from oracle_attention import SlowH2O, SlowSnapKV, SlowTOVA, slow_run
from tiny import random_ids, tiny_model

from lacache_core.cache import LadderCache
from lacache_core.engine import Engine
from lacache_core.policies import H2O, TOVA, SnapKV

KV_HEADS, TOKENS = 2, 90
IDS = random_ids(TOKENS)
CHUNKS = {"one by one": [1] * TOKENS, "prompt": [50] + [1] * 40, "chunks": [13, 13, 30, 1, 1, 32]}


@pytest.fixture(scope="module")
def llama():
    return tiny_model()


@pytest.fixture(scope="module")
def eager():
    model = tiny_model()
    model.set_attn_implementation("eager")
    return model


@torch.no_grad()
def fast_run(model, policy, chunks, index=False, prompt=0):
    cache = LadderCache(model, policy, positions="index" if index else "absolute")
    cache.expect_prompt(prompt)
    out, first = [], 0
    with cache.observed(model):
        for size in chunks:
            part = IDS[:, first : first + size]
            where = torch.arange(cache.next_position, cache.next_position + size)[None]
            out.append(model(part, past_key_values=cache, position_ids=where).logits)
            first += size
    rows = cache.text_positions
    if rows.ndim == 2:  # heads alike
        rows = rows[:, None].repeat(KV_HEADS, axis=1)
    return torch.cat(out, dim=1), rows.tolist()


def assert_same(fast, slow):
    assert fast[1] == slow[1]
    assert (fast[0] - slow[0]).abs().max() < 1e-4 * slow[0].abs().max()


@pytest.mark.parametrize("index", [False, True], ids=["absolute", "index"])
@pytest.mark.parametrize("chunks", CHUNKS)
def test_h2o(llama, eager, chunks, index):
    slow = slow_run(eager, SlowH2O(24, 8, KV_HEADS), IDS, CHUNKS[chunks])
    assert_same(fast_run(llama, H2O(24, recent_share=1 / 3), CHUNKS[chunks], index), slow)
    assert any(heads[0] != heads[1] for heads in slow[1])  # heads do differ


@pytest.mark.parametrize("index", [False, True], ids=["absolute", "index"])
@pytest.mark.parametrize("chunks", CHUNKS)
def test_tova(llama, eager, chunks, index):
    slow = slow_run(eager, SlowTOVA(24, KV_HEADS), IDS, CHUNKS[chunks])
    assert_same(fast_run(llama, TOVA(24), CHUNKS[chunks], index), slow)
    assert any(heads != slow[1][0] for heads in slow[1])  # layers do differ


@pytest.mark.parametrize("pooling", ["avg", "max"])
@pytest.mark.parametrize("index", [False, True], ids=["absolute", "index"])
def test_snapkv_however_the_prompt_is_cut(llama, eager, pooling, index):
    rule = SlowSnapKV(24, 6, 5, pooling, KV_HEADS, prompt=50)
    slow = slow_run(eager, rule, IDS, [50] + [1] * 40)
    policy = SnapKV(24, window=6, kernel=5, pooling=pooling)
    for prompt_chunks in ([50], [20, 27, 3], [49, 1]):
        assert_same(fast_run(llama, policy, [*prompt_chunks, *[1] * 40], index, prompt=50), slow)
    assert any(heads[0] != heads[1] for heads in slow[1])


def test_snapkv_without_a_prompt_compresses_what_first_exceeds_the_budget(llama, eager):
    slow = slow_run(eager, SlowSnapKV(24, 6, 5, "avg", KV_HEADS, prompt=1), IDS, [1] * TOKENS)
    assert_same(fast_run(llama, SnapKV(24, window=6), [1] * TOKENS), slow)


def test_snapkv_in_the_engine_knows_its_prompt(llama):
    """Another chunk, the same text: the engine says where the prompt ends."""

    def told(chunk):
        engine = Engine(llama, None, SnapKV(24, window=6), chunk=chunk)
        tokens = [e.next_token for e in engine.generate(IDS[0].tolist(), max_new_tokens=12)]
        return [t for t in tokens if t is not None], engine.cache.text_positions.tolist()

    assert told(7) == told(32) == told(1000)
