"""Which models fit: shown on tiny random ones of each family, or refused with the reason."""

import pytest
import torch
from oracle import SlowCache, SlowLadder
from tiny import LAYERS, random_ids, tiny_model

from lacache_core.cache import LadderCache
from lacache_core.errors import UnsupportedModelError
from lacache_core.ladder import LadderConfig
from lacache_core.rope import rotary_of

CONFIG = dict(budget=24, span=3, overlap=1, num_sink=2)

# family: changes to the tiny configuration, layers whose keys are turned, how dimensions pair
FITTING = {
    "llama": ({}, [True] * 6, "halves"),
    "llama3 frequencies": (
        dict(
            family="llama",
            rope_parameters=dict(
                rope_type="llama3",
                rope_theta=10000.0,
                factor=8.0,
                low_freq_factor=1.0,
                high_freq_factor=4.0,
                original_max_position_embeddings=64,
            ),
        ),
        [True] * 6,
        "halves",
    ),
    "yarn": (
        dict(
            family="qwen3",
            rope_parameters=dict(
                rope_type="yarn",
                rope_theta=10000.0,
                factor=4.0,
                original_max_position_embeddings=64,
            ),
        ),
        [True] * 6,
        "halves",
    ),
    "linear": (
        dict(
            family="llama",
            rope_parameters=dict(rope_type="linear", rope_theta=10000.0, factor=2.0),
        ),
        [True] * 6,
        "halves",
    ),
    "mistral": (dict(sliding_window=None), [True] * 6, "halves"),
    "qwen2": ({}, [True] * 6, "halves"),
    "qwen3": ({}, [True] * 6, "halves"),
    "olmo2": ({}, [True] * 6, "halves"),
    "granite": ({}, [True] * 6, "halves"),
    "phi3": (
        dict(
            rope_parameters=dict(rope_type="default", rope_theta=10000.0, partial_rotary_factor=0.5)
        ),
        [True] * 6,
        "halves",
    ),
    "smollm3": (
        dict(no_rope_layers=[1, 1, 0, 1, 1, 0]),
        [True, True, False, True, True, False],
        "halves",
    ),
    "cohere": (dict(logit_scale=1.0), [True] * 6, "neighbours"),
    "glm": (
        dict(rope_parameters=dict(rope_type="default", rope_theta=1e4, partial_rotary_factor=0.5)),
        [True] * 6,
        "neighbours",
    ),  # fmt: skip
}


@torch.no_grad()
def run(model, cache, ids):
    return torch.cat(
        [model(ids[:, i : i + 1], past_key_values=cache).logits for i in range(ids.shape[1])], 1
    )


@pytest.mark.parametrize("name", FITTING)
@pytest.mark.parametrize("positions", ["absolute", "index"])
def test_family_equals_the_oracle(name, positions):
    changes, turned, pairing = FITTING[name]
    changes = dict(changes)
    model = tiny_model(changes.pop("family", name), **changes)
    rotary = rotary_of(model)
    assert rotary.turned_layers.tolist() == turned
    assert rotary.pairing == pairing
    rule = SlowLadder(LAYERS, **CONFIG)
    slow_cache = SlowCache(rule, model.model.rotary_emb.inv_freq, pairing, turned)
    ids = random_ids(90)
    slow = run(model, slow_cache, ids)
    cache = LadderCache(model, LadderConfig(**CONFIG), positions=positions)
    if positions == "absolute":
        fast = run(model, cache, ids)
    else:
        with torch.no_grad():
            fast = torch.cat(
                [
                    model(
                        ids[:, i : i + 1],
                        past_key_values=cache,
                        position_ids=torch.tensor([[cache.next_position]]),
                    ).logits
                    for i in range(ids.shape[1])
                ],
                1,
            )
    assert cache.held < 90
    assert (fast - slow).abs().max() < 1e-5 * slow.abs().max()


REFUSED = {
    "gpt2": (dict(n_layer=2, n_head=4, n_embd=48), "no rotary"),
    "gptj": (
        dict(n_layer=2, n_head=4, n_embd=48, rotary_dim=8),
        "table of sines and cosines of its own",
    ),
    "gemma2": ({}, "sliding_attention"),
    "gemma3_text": ({}, "sliding_attention"),
    "gpt_oss": (dict(num_local_experts=2, num_experts_per_tok=1), "sliding_attention"),
    "mistral": (dict(sliding_window=64), "sliding_attention"),
    "dynamic": (
        dict(
            family="llama",
            rope_parameters=dict(rope_type="dynamic", rope_theta=10000.0, factor=2.0),
        ),
        "'dynamic' changes with the length",
    ),
    "longrope": (
        dict(
            family="phi3",
            rope_parameters=dict(
                rope_type="longrope",
                rope_theta=10000.0,
                short_factor=[1.0] * 6,
                long_factor=[2.0] * 6,
                original_max_position_embeddings=64,
            ),
            original_max_position_embeddings=64,
        ),
        "'longrope' changes with the length",
    ),
    "bloom": (dict(n_layer=2, n_head=4), "no rotary"),
    "deepseek_v3": (
        dict(kv_lora_rank=16, q_lora_rank=16, qk_rope_head_dim=8, qk_nope_head_dim=8, v_head_dim=8),
        "latent",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_family_is_refused_with_the_reason(name):
    changes, reason = REFUSED[name]
    changes = dict(changes)
    family = changes.pop("family", name)
    model = tiny_model(family, **changes)
    with pytest.raises(UnsupportedModelError, match=reason) as caught:
        LadderCache(model, LadderConfig(**CONFIG))
    assert family in str(caught.value)


def test_a_rotation_nobody_knows_is_refused():
    """Not the name of the family decides but what its keys do."""
    model = tiny_model("llama")
    rotate = model.model.rotary_emb.forward

    def odd(x, position_ids):
        cos, sin = rotate(x, position_ids)
        return cos, -sin

    model.model.rotary_emb.forward = odd
    with pytest.raises(UnsupportedModelError, match="do not follow a rotary"):
        rotary_of(model)


def test_cast_frequencies_are_the_ones_that_are_used():
    """``model.to(bfloat16)`` rounds the frequencies too; keys must be turned as the model does."""
    model = tiny_model("llama").to(torch.bfloat16)
    assert torch.equal(rotary_of(model).inv_freq, model.model.rotary_emb.inv_freq.to(torch.float64))
