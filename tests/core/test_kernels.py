"""The kernels for a GPU against their plain form; interpreted where there is no GPU."""

import os

import numpy as np
import pytest
import torch

pytest.importorskip("triton", reason="Triton is not installed")
ON_GPU = torch.cuda.is_available()
if not ON_GPU:
    os.environ["TRITON_INTERPRET"] = "1"  # read when the kernels are imported

from tiny import random_ids, tiny_model  # noqa: E402

from lacache_core import kernels  # noqa: E402
from lacache_core.cache import LadderCache  # noqa: E402
from lacache_core.policies import LaCache, Random  # noqa: E402
from lacache_core.rope import Rotary  # noqa: E402

DEVICE = "cuda" if ON_GPU else "cpu"


@pytest.mark.parametrize("pairing", ["halves", "neighbours"])
@pytest.mark.parametrize("half", [16, 12], ids=["all turns", "a part turns"])
@pytest.mark.parametrize("first", [0, 7])
def test_a_gap_is_closed_as_gathering_and_turning_do(pairing, half, first):
    rng = np.random.default_rng(0)
    generator = torch.Generator().manual_seed(0)
    shape = (3, 2, 2, 112, 32)  # layers, batch, heads, slots, width
    parts = [torch.randn(shape, generator=generator).to(DEVICE, torch.bfloat16) for _ in range(3)]
    keys, values, arrived = parts
    held, after = 104, 90
    sources = np.stack([np.sort(rng.choice(held, after, replace=False)) for _ in range(2)])
    sources[:, :first] = np.arange(first)
    sources[:, first:] = np.maximum(sources[:, first:], np.arange(first, after))
    delta = rng.integers(-90_000, 90_000, sources.shape)
    moves = torch.from_numpy(np.stack([sources, delta])[:, :, first:]).to(DEVICE)
    rows = torch.tensor([[0], [1], [0]], device=DEVICE)
    turned = torch.tensor([True, True, False])
    inv_freq = 10_000.0 ** -(torch.arange(half, dtype=torch.float64) / half)
    rotary = Rotary(inv_freq, pairing, turned)
    expected = [part.clone() for part in parts]
    for layer, row in enumerate(rows[:, 0].tolist()):
        index = moves[0, row]
        chosen = arrived[layer][:, :, index]
        cos, sin = rotary.cos_sin(moves[1, row])
        in_place = slice(first, after)
        expected[0][layer][:, :, in_place] = (
            rotary.turn(chosen, cos, sin) if turned[layer] else chosen
        )
        expected[1][layer][:, :, in_place] = values[layer][:, :, index]
        expected[2][layer][:, :, in_place] = chosen
    frequencies = inv_freq.to(DEVICE)
    neighbours = pairing == "neighbours"
    kernels.close_gap(
        keys, values, arrived, moves, first, rows, frequencies, neighbours, turned.to(DEVICE)
    )
    torch.testing.assert_close(keys, expected[0], atol=1e-2, rtol=8e-3)  # one rounding
    if ON_GPU:  # interpreted, 16 bits are cut off instead of rounded
        assert (keys != expected[0]).float().mean() < 0.01
    assert torch.equal(values, expected[1]) and torch.equal(arrived, expected[2])


def test_a_token_is_stored_where_it_belongs_and_nowhere_else():
    parts = [torch.zeros(2, 3, 2, 8, 24, device=DEVICE, dtype=torch.bfloat16) for _ in range(3)]
    states = torch.randn(2, 3, 1, 2, 24, device=DEVICE).to(torch.bfloat16)
    keys, values = states.transpose(2, 3)  # as models give them: heads behind tokens
    slot = torch.tensor([5], device=DEVICE)
    expected = [part.clone() for part in parts]
    for part, new in zip(expected, (keys, values, keys), strict=True):
        part[1, :, :, 5] = new[:, :, 0]
    kernels.store(parts[0], parts[1], parts[2], 1, slot, keys, values)
    assert all(torch.equal(got, want) for got, want in zip(parts, expected, strict=True))


@pytest.mark.parametrize("positions", ["absolute", "index"])
@pytest.mark.parametrize(
    "policy",
    [LaCache(budget=24, span=3, overlap=1, num_sink=2), Random(budget=24)],
    ids=["ladder", "random"],
)
def test_a_cache_holds_the_same_with_kernels_as_without(monkeypatch, policy, positions):
    model = tiny_model(dtype=torch.bfloat16).to(DEVICE)

    def parts(with_kernels):
        monkeypatch.setattr(kernels, "at_hand", lambda device: with_kernels)
        cache = LadderCache(model, policy, positions=positions, static=True)
        with torch.no_grad():
            for token in random_ids(60).to(DEVICE).split(1, dim=1):
                where = torch.tensor([[cache.next_position]], device=DEVICE)
                given = {"position_ids": where} if positions == "index" else {}
                logits = model(token, past_key_values=cache, **given).logits
        return [(layer.keys, layer.values) for layer in cache.layers], logits, cache

    got, logits, one = parts(True)
    expected, plain, other = parts(False)
    assert (one.text_positions == other.text_positions).all()
    # A key that rounds the other way reaches all that follows: as good as 16 bits are.
    for mine, theirs in zip(got, expected, strict=True):
        for a, b in zip(mine, theirs, strict=True):
            assert (a - b).float().norm() < 0.02 * b.float().norm()
    assert (logits - plain).float().norm() < 0.02 * plain.float().norm()
