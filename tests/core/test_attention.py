"""Observed attention equals eager attention and changes nothing."""

import threading
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from tiny import LAYERS, random_ids, tiny_model
from transformers import DynamicCache

from lacache_core.attention import (
    NAME,
    AttentionStates,
    _observed_attention,
    observable,
    recording,
    watch,
)
from lacache_core.cache import LadderCache
from lacache_core.errors import UnsupportedOperationError
from lacache_core.ladder import LadderConfig

CONFIG = LadderConfig(budget=24, span=3, overlap=1, num_sink=2)
QUERIES = [range(12), range(11, 12), range(3, 8), range(1)]


def eager_mass(ids, cache=None):
    """The last query's attention weights as transformers' eager attention returns them."""
    model = tiny_model()
    model.set_attn_implementation("eager")
    with torch.no_grad():
        out = model(ids, output_attentions=True, past_key_values=cache)
    return torch.stack([a[0, :, -1].mean(0) for a in out.attentions]).numpy()


@pytest.mark.parametrize("tokens", [1, 2, 40])
def test_equals_eager_attention(tokens):
    model, ids = tiny_model(), random_ids(tokens)
    with observable(model), watch() as watching, torch.no_grad():
        model(ids)
    mass = watching.take()
    assert mass.shape == (LAYERS, tokens)
    assert mass.dtype == np.float32
    assert np.allclose(mass, eager_mass(ids), atol=1e-6)
    assert np.allclose(mass.sum(1), 1, atol=1e-5)


@pytest.mark.parametrize("block", [1, 1000, 1 << 22])
@pytest.mark.parametrize("cached", [0, 20])
def test_sums_over_queries_equal_eager_attention(monkeypatch, cached, block):
    """Column sums by key-value head, however few rows are held at once."""

    class Sums:
        def __init__(self):
            self.by_layer = {}

        def record(self, layer, states):
            self.by_layer[layer] = [states.mass(q)[0] for q in QUERIES]

    monkeypatch.setattr("lacache_core.attention.BLOCK", block)
    model, eager, sums = tiny_model(), tiny_model(), Sums()
    eager.set_attn_implementation("eager")
    past, expected_past = DynamicCache(), DynamicCache()
    ids = random_ids(cached + 12)
    with torch.no_grad():
        if cached:
            model(ids[:, :cached], past_key_values=past)
            eager(ids[:, :cached], past_key_values=expected_past)
        with observable(model), recording(sums):
            model(ids[:, cached:], past_key_values=past)
        out = eager(ids[:, cached:], past_key_values=expected_past, output_attentions=True)
    for layer, weights in enumerate(out.attentions):
        by_head = weights[0].view(2, 2, 12, -1).mean(dim=1)  # two query heads share one of two
        for queries, found in zip(QUERIES, sums.by_layer[layer], strict=True):
            expected = by_head[:, queries.start : queries.stop].sum(dim=1)
            assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("by_sdpa", [False, True])
def test_equals_eager_attention_on_a_compacted_cache(monkeypatch, by_sdpa):
    if by_sdpa:  # as on a GPU, also in a step of one token
        monkeypatch.setattr("lacache_core.attention._plain", lambda _: False)
    model, ids = tiny_model(), random_ids(60)
    eager = tiny_model()
    eager.set_attn_implementation("eager")
    ours, theirs = LadderCache(model, CONFIG), LadderCache(eager, CONFIG)
    with torch.no_grad():
        model(ids, past_key_values=ours)
        eager(ids, past_key_values=theirs)
        for part in (random_ids(1, seed=4), random_ids(9, seed=5)):
            with observable(model), watch() as watching:
                held = ours.held
                model(part, past_key_values=ours)
            out = eager(part, past_key_values=theirs, output_attentions=True)
            expected = torch.stack([a[0, :, -1].mean(0) for a in out.attentions]).numpy()
            mass = watching.take()
            assert mass.shape == (LAYERS, held + part.shape[1])
            assert np.allclose(mass, expected, atol=1e-6)


def test_output_is_what_sdpa_gives():
    model, ids = tiny_model(), random_ids(40)
    with torch.no_grad():
        plain = model(ids).logits
        with observable(model), watch():
            watched = model(ids).logits
        with observable(model):
            unwatched = model(ids).logits
    assert torch.equal(plain, watched)
    assert torch.equal(plain, unwatched)


@pytest.mark.parametrize("heads", [1, 2, 4])
@pytest.mark.parametrize("batch", [1, 3])
def test_a_step_of_one_token_is_what_sdpa_gives_too(batch, heads):
    """There keys and values are read once for all query heads that share them."""
    model = tiny_model(num_key_value_heads=heads)
    ids = random_ids(40, batch=batch)
    for_each = {}
    for watched in (False, True):
        cache = LadderCache(model, CONFIG)
        with torch.no_grad(), observable(model) if watched else nullcontext():
            model(ids[:, :-6], past_key_values=cache)
            steps = [model(ids[:, t : t + 1], past_key_values=cache).logits for t in range(-6, -1)]
        for_each[watched] = torch.cat(steps)
    assert torch.allclose(for_each[True], for_each[False], atol=1e-5)


@pytest.mark.parametrize("asked", [{"dropout": 0.1}, {"softcap": 3.0}, {"position_bias": True}])
def test_what_only_transformers_knows_of_is_left_to_it(monkeypatch, asked):
    given = []
    monkeypatch.setattr(
        "lacache_core.attention.sdpa_attention_forward",
        lambda *_, **kwargs: (given.append(kwargs), (None, None))[1],
    )
    states = [torch.zeros(1, heads, 1, 8) for heads in (4, 2, 2)]
    _observed_attention(torch.nn.Module(), *states, None, **asked)
    assert given == [asked]


def test_on_only_when_asked_for():
    model = tiny_model()
    assert model.config._attn_implementation == "sdpa"
    with observable(model):
        with observable(model):
            assert model.config._attn_implementation == NAME
        assert model.config._attn_implementation == NAME
    assert model.config._attn_implementation == "sdpa"
    with watch() as watching, torch.no_grad():
        model(random_ids(5))
    with pytest.raises(RuntimeError):
        watching.take()


def test_threads_do_not_see_each_other():
    model = tiny_model()
    found = {}

    def look(tokens):
        with observable(model), watch() as watching, torch.no_grad():
            for _ in range(20):
                model(random_ids(tokens))
                found.setdefault(tokens, set()).add(watching.take().shape)

    threads = [threading.Thread(target=look, args=(n,)) for n in (3, 11)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {3: {(LAYERS, 3)}, 11: {(LAYERS, 11)}}
    assert model.config._attn_implementation == "sdpa"


def test_only_sdpa_models_are_watched():
    model = tiny_model()
    model.set_attn_implementation("eager")
    with pytest.raises(UnsupportedOperationError, match="'eager'"), observable(model):
        pass


def test_additive_and_boolean_masks_agree():
    torch.manual_seed(0)
    query, key = torch.randn(2, 4, 3, 8), torch.randn(2, 2, 7, 8)
    allowed = torch.ones(2, 1, 3, 7, dtype=torch.bool)
    allowed[:, :, :, 2:4] = False
    additive = torch.zeros(2, 1, 3, 7).masked_fill(~allowed, float("-inf"))
    for queries in (range(3), range(2, 3)):
        a = AttentionStates(query, key, allowed).mass(queries)
        b = AttentionStates(query, key, additive).mass(queries)
        assert torch.equal(a, b)
        assert (a[..., 2:4] == 0).all()
        assert torch.allclose(a.sum(-1), torch.full((2, 2), float(len(queries))))
