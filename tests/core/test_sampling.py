"""The next token: seeds, and the tokens that may be drawn against transformers' own choice."""

import numpy as np
import pytest
import torch
from transformers import TopPLogitsWarper

from lacache_core.errors import InvalidSettingError
from lacache_core.sampling import LIKELY, Chooser, nucleus

FEW, MANY = 50, 3 * LIKELY


def logits(size, spread, seed=0):
    return torch.randn(size, generator=torch.Generator().manual_seed(seed)) * spread


@pytest.mark.parametrize("top_p", [0.01, 0.3, 0.9, 0.95, 0.999])
@pytest.mark.parametrize("size", [2, FEW, MANY])
@pytest.mark.parametrize("spread", [0.1, 1.0, 5.0])
def test_the_nucleus_is_that_of_transformers(size, spread, top_p):
    """Flat shares need more tokens than are looked at first; steep ones need few."""
    for seed in range(5):
        scores = logits(size, spread, seed)
        warped = TopPLogitsWarper(top_p)(torch.empty(0), scores[None].double())[0]
        expected = torch.where(warped.isfinite())[0].tolist()
        shares, tokens = nucleus(scores.double().softmax(-1), top_p)
        assert sorted(tokens.tolist()) == expected
        assert (shares.diff() <= 0).all()
        assert torch.equal(shares, scores.double().softmax(-1)[tokens])


def test_flat_and_steep_shares_were_both_among_them():
    assert len(nucleus(logits(MANY, 0.1).softmax(-1), 0.95)[1]) > LIKELY
    assert len(nucleus(logits(MANY, 5.0).softmax(-1), 0.95)[1]) < LIKELY


def test_all_tokens_when_nothing_is_cut():
    shares, tokens = nucleus(torch.tensor([0.2, 0.8]), 1.0)
    assert shares.tolist() == pytest.approx([0.2, 0.8]) and tokens is None


@pytest.mark.parametrize("top_p", [0.8, 1.0])
def test_tokens_are_drawn_as_often_as_they_are_likely(top_p):
    shares = torch.tensor([0.05, 0.6, 0.1, 0.25])
    choose = Chooser(1.0, top_p, seed=3)
    drawn = np.bincount([choose(shares.log()) for _ in range(4000)], minlength=4) / 4000
    kept = np.array([0, 0.6, 0, 0.25]) / 0.85 if top_p < 1 else shares.numpy()
    assert np.abs(drawn - kept).max() < 0.03  # four standard deviations


def test_temperature_and_seeds():
    scores = logits(FEW, 2.0)
    assert Chooser(0.0, 0.5, 0)(scores) == int(scores.argmax())
    assert Chooser(1e-4, 1.0, 0)(scores) == int(scores.argmax())
    first, again, other = (Chooser(1.5, 0.95, seed) for seed in (1, 1, 2))
    texts = [[choose(scores) for _ in range(30)] for choose in (first, again, other)]
    assert texts[0] == texts[1] != texts[2]
    cold, hot = ([Chooser(t, 1.0, s)(scores) for s in range(200)] for t in (0.3, 3.0))
    assert len(set(cold)) < len(set(hot))


@pytest.mark.parametrize(
    "values, named",
    [
        ((-1, 1, 0), "temperature"),
        ((1, 0, 0), "top_p"),
        ((1, 1.1, 0), "top_p"),
        ((1, 1, -1), "seed"),
    ],
)
def test_what_is_impossible_is_named(values, named):
    with pytest.raises(InvalidSettingError, match=named):
        Chooser(*values)
