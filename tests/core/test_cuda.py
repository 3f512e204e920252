"""What only a GPU can show: captured steps, 16 bits, and that nothing is left on another device."""

import pytest
import torch
from tiny import random_ids, tiny_model
from transformers import DynamicCache, StaticCache

from lacache_core.cache import LadderCache
from lacache_core.policies import H2O, LaCache, StreamingLLM

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is here")
SHAPE = {"budget": 24, "span": 3, "overlap": 1, "num_sink": 2}
POLICIES = [LaCache(**SHAPE), LaCache(**SHAPE, slack=5), StreamingLLM(budget=24)]
NAMES = ["ladder", "slack", "streaming_llm"]


@pytest.fixture(autouse=True)
def _forget_compiled():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@torch.no_grad()
def read(model, cache, ids, step=None, index=False):
    """Logits of every token of ``ids`` after the first ten, which come at once."""
    step = model if step is None else step
    out = []
    for part in (ids[:, :10], *ids[:, 10:].split(1, dim=1)):
        settle = getattr(cache, "settle", None)
        if settle is not None:
            settle()
        given = {}
        if index:
            where = torch.arange(part.shape[1], device=ids.device)[None]
            given = {"position_ids": cache.next_position + where}
        run = step if part.shape[1] == 1 else model
        out.append(run(part, past_key_values=cache, **given).logits[:, -1].clone())
    return torch.stack(out).float().cpu()


@pytest.mark.parametrize("policy", POLICIES, ids=NAMES)
@pytest.mark.parametrize("positions", ["absolute", "index"])
@pytest.mark.parametrize("mode", [None, "reduce-overhead"])
def test_compiled_steps_give_what_the_processor_gives(policy, positions, mode):
    model, ids, index = tiny_model(), random_ids(80), positions == "index"
    expected = read(model, LadderCache(model, policy, positions=positions), ids, index=index)
    model, ids = model.to("cuda"), ids.cuda()
    plain = LadderCache(model, policy, positions=positions)
    static = LadderCache(model, policy, positions=positions, static=True)
    compiled = torch.compile(model, mode=mode, fullgraph=True)
    got = read(model, static, ids, step=compiled, index=index)
    torch.testing.assert_close(got, expected, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(read(model, plain, ids, index=index), expected, atol=1e-3, rtol=1e-3)
    assert (static.text_positions == plain.text_positions).all()


@pytest.mark.parametrize("positions", ["absolute", "index"])
def test_16_bits_compiled_are_as_good_as_without_compaction(positions):
    wide, ids = tiny_model(), random_ids(80)
    narrow, index = tiny_model(dtype=torch.bfloat16).to("cuda"), positions == "index"
    compiled = torch.compile(narrow, mode="reduce-overhead", fullgraph=True)
    exact = read(wide, LadderCache(wide, POLICIES[0], positions=positions), ids, index=index)
    error = read(narrow, DynamicCache(), ids.cuda()) - read(wide, DynamicCache(), ids)
    static = LadderCache(narrow, POLICIES[0], positions=positions, static=True)
    got = read(narrow, static, ids.cuda(), step=compiled, index=index)
    assert (got - exact).abs().mean() < 2 * error.abs().mean()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_generate_captures_steps_by_itself(dtype):
    model, ids = tiny_model(dtype=dtype).to("cuda"), random_ids(50).cuda()
    options = {"max_new_tokens": 40, "do_sample": False}
    static = LadderCache(model, POLICIES[0], static=True)
    got = model.generate(ids, past_key_values=static, **options)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] >= 1
    assert got.shape[1] == 90 and static.held == static.planner.capacity
    if dtype is torch.float32:
        plain = model.generate(ids, past_key_values=LadderCache(model, POLICIES[0]), **options)
        assert got.tolist() == plain.tolist()


def test_attention_is_seen_where_the_keys_are():
    model, ids = tiny_model(), random_ids(40)
    on_cpu, on_gpu = LadderCache(model, H2O(budget=24)), None
    with on_cpu.observed(model):
        read(model, on_cpu, ids)
    model = model.to("cuda")
    on_gpu = LadderCache(model, H2O(budget=24))
    with on_gpu.observed(model):
        read(model, on_gpu, ids.cuda())
    assert (on_gpu.text_positions == on_cpu.text_positions).mean() > 0.95


def test_other_caches_are_captured_as_before():
    model, ids = tiny_model().to("cuda"), random_ids(11).cuda()
    LadderCache(model, POLICIES[0])
    compiled = torch.compile(model, mode="reduce-overhead", fullgraph=True)
    theirs = StaticCache(config=model.config, max_cache_len=24)
    with torch.no_grad():
        model(ids[:, :10], past_key_values=theirs)
        got = compiled(ids[:, 10:], past_key_values=theirs).logits[:, -1]
        expected = model(ids, past_key_values=DynamicCache()).logits[:, -1]
    torch.testing.assert_close(got, expected, atol=1e-3, rtol=1e-3)
