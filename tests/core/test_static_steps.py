"""A static cache: steps that a compiler takes in one piece, with what the plain cache gives."""

import shutil

import pytest
import torch
from tiny import random_ids, tiny_model
from torch._dynamo.testing import CompileCounterWithBackend
from transformers import CompileConfig, DynamicCache, StaticCache

from lacache_core.cache import LadderCache
from lacache_core.errors import UnsupportedOperationError
from lacache_core.ladder import LadderConfig
from lacache_core.policies import H2O, Full, LaCache, Random, SlidingWindow, StreamingLLM

SHAPE = {"budget": 24, "span": 3, "overlap": 1, "num_sink": 2}
POLICIES = [
    LaCache(**SHAPE),
    LaCache(**SHAPE, slack=5),
    LaCache(**SHAPE, arrangement="staircase"),
    StreamingLLM(budget=24),
    SlidingWindow(budget=24),
    Random(budget=24),
]
NAMES = ["ladder", "slack", "staircase", "streaming_llm", "sliding_window", "random"]
BACKENDS = ["aot_eager"] + ["inductor"] * (shutil.which("c++") is not None)


@pytest.fixture(scope="module")
def llama():
    return tiny_model()


@pytest.fixture(autouse=True)
def _forget_compiled():
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    yield
    torch._dynamo.reset()


@torch.no_grad()
def decode(model, cache, prompt, count, step=None, positions=False):
    """Logits of ``count`` greedy steps after a prompt; ``step`` runs those instead of the model."""
    step = model if step is None else step

    def where(tokens):
        if not positions:
            return {}
        return {"position_ids": cache.next_position + torch.arange(tokens.shape[1])[None]}

    out = [model(prompt, past_key_values=cache, **where(prompt)).logits[:, -1]]
    for _ in range(count):
        token = out[-1].argmax(-1, keepdim=True)
        cache.settle()
        out.append(step(token, past_key_values=cache, **where(token)).logits[:, -1].clone())
    return torch.stack(out)


@pytest.mark.parametrize("policy", POLICIES, ids=NAMES)
@pytest.mark.parametrize("positions", ["absolute", "index"])
@pytest.mark.parametrize("prompt", [1, 10, 60])
def test_the_same_logits_as_the_plain_cache(llama, policy, positions, prompt):
    plain = LadderCache(llama, policy, positions=positions)
    static = LadderCache(llama, policy, positions=positions, static=True)
    ids, index = random_ids(prompt), positions == "index"
    expected = decode(llama, plain, ids, 50, positions=index)
    got = decode(llama, static, ids, 50, positions=index)
    torch.testing.assert_close(got, expected, atol=2e-4, rtol=1e-4)
    assert (static.text_positions == plain.text_positions).all()
    assert static.seen == plain.seen == prompt + 50


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("positions", ["absolute", "index"])
def test_a_step_compiles_to_one_graph_that_is_used_again(llama, positions, backend):
    """Across the first compactions too, and with as many kinds of them as the ladder has."""
    policy, index = POLICIES[0], positions == "index"
    plain = LadderCache(llama, policy, positions=positions)
    static = LadderCache(llama, policy, positions=positions, static=True)
    counter = CompileCounterWithBackend(backend)
    compiled = torch.compile(llama, backend=counter, fullgraph=True)
    expected = decode(llama, plain, random_ids(10), 60, positions=index)
    got = decode(llama, static, random_ids(10), 60, step=compiled, positions=index)
    torch.testing.assert_close(got, expected, atol=2e-4, rtol=1e-4)
    assert (static.text_positions == plain.text_positions).all()
    assert counter.frame_count == 1


@pytest.mark.parametrize("backend", BACKENDS)
def test_generate_compiles_by_itself(llama, backend):
    ids = random_ids(50)
    compile_config = CompileConfig(backend=backend, mode=None, fullgraph=True)
    compile_config._compile_all_devices = True  # what a GPU does without being asked
    options = {"max_new_tokens": 40, "do_sample": False}
    plain = LadderCache(llama, POLICIES[0])
    expected = llama.generate(ids, past_key_values=plain, **options)
    static = LadderCache(llama, POLICIES[0], static=True)
    got = llama.generate(ids, past_key_values=static, compile_config=compile_config, **options)
    assert got.tolist() == expected.tolist()
    assert static.is_compileable and not plain.is_compileable
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
    assert (static.text_positions == plain.text_positions).all()


def test_other_caches_compile_as_before_on_a_model_that_had_one_of_ours(llama):
    LadderCache(llama, POLICIES[0])
    compiled = torch.compile(llama, backend="aot_eager", fullgraph=True)
    theirs = StaticCache(config=llama.config, max_cache_len=20)
    with torch.no_grad():
        llama(random_ids(10), past_key_values=theirs)
        expected = llama(random_ids(11), past_key_values=DynamicCache()).logits[:, -1]
        got = compiled(random_ids(11)[:, 10:], past_key_values=theirs).logits[:, -1]
    torch.testing.assert_close(got, expected, atol=2e-4, rtol=1e-4)


def test_16_bit_keys_in_a_compiled_step_are_as_good_as_without_compaction():
    wide, narrow = tiny_model(), tiny_model(dtype=torch.bfloat16)
    compiled = torch.compile(narrow, backend="aot_eager", fullgraph=True)
    ids = random_ids(70)

    def read(model, cache, step):
        out = [model(ids[:, :10], past_key_values=cache).logits]
        for token in ids[:, 10:].split(1, dim=1):
            getattr(cache, "settle", lambda: None)()
            out.append(step(token, past_key_values=cache).logits.clone())
        return torch.cat(out, dim=1).float()

    with torch.no_grad():
        exact = read(wide, LadderCache(wide, POLICIES[0]), wide)
        full_error = read(narrow, DynamicCache(), narrow) - read(wide, DynamicCache(), wide)
        got = read(narrow, LadderCache(narrow, POLICIES[0], static=True), compiled)
    assert (got - exact).abs().mean() < 2 * full_error.abs().mean()


def test_batches_beams_and_a_second_turn(llama):
    ids = random_ids(30, batch=3)
    for options in ({}, {"num_beams": 3}):
        options = {"max_new_tokens": 20, "do_sample": False, **options}
        plain = LadderCache(llama, POLICIES[0])
        static = LadderCache(llama, POLICIES[0], static=True)
        expected = llama.generate(ids, past_key_values=plain, **options)
        got = llama.generate(ids, past_key_values=static, **options)
        assert got.tolist() == expected.tolist()
        if options.get("num_beams"):
            continue
        more = torch.cat([expected, random_ids(7, batch=3, seed=5)], dim=1)
        again = [llama.generate(more, past_key_values=c, **options) for c in (plain, static)]
        assert again[0].tolist() == again[1].tolist()


def test_a_second_text_after_reset(llama):
    static = LadderCache(llama, POLICIES[0], static=True)
    first = decode(llama, static, random_ids(30), 20)
    static.reset()
    assert torch.equal(decode(llama, static, random_ids(30), 20), first)


def test_a_compiled_step_after_another_without_settling_is_refused(llama):
    static = LadderCache(llama, POLICIES[0], static=True)
    compiled = torch.compile(llama, backend="aot_eager")
    with torch.no_grad():
        llama(random_ids(10), past_key_values=static)
        static.settle()
        compiled(random_ids(1), past_key_values=static)
        with pytest.raises(UnsupportedOperationError, match=r"settle\(\)"):
            compiled(random_ids(1), past_key_values=static)


@pytest.mark.parametrize("policy", [Full(), H2O(budget=24)], ids=["full", "h2o"])
def test_policies_whose_steps_cannot_be_alike_are_refused(llama, policy):
    with pytest.raises(UnsupportedOperationError, match="static = True"):
        LadderCache(llama, policy, static=True)


def test_padded_batches_are_refused_as_ever(llama):
    ids, mask = random_ids(30, batch=2), torch.ones(2, 30, dtype=torch.long)
    mask[0, :4] = 0
    cache = LadderCache(llama, LadderConfig(**SHAPE), static=True)
    with pytest.raises(UnsupportedOperationError, match="padded"):
        llama.generate(ids, attention_mask=mask, past_key_values=cache, max_new_tokens=5)
