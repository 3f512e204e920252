"""What is measured against must compute the same: only then do times say something."""

import torch
from tiny import random_ids, tiny_model

from benchmarks.naive import NaiveCache
from lacache_core.cache import LadderCache
from lacache_core.policies import LaCache
from lacache_core.rope import rotary_of


@torch.no_grad()
def test_the_naive_cache_gives_the_same_logits():
    model, policy, ids = tiny_model(), LaCache(budget=24, span=3, num_sink=2), random_ids(90)
    rotary = rotary_of(model)
    naive = NaiveCache(policy.ladder(rotary.num_layers), rotary, policy.num_sink)
    ours = LadderCache(model, policy, positions="index")
    for token in ids.split(1, dim=1):
        expected = model(token, past_key_values=naive).logits
        naive.compact()
        where = torch.tensor([[ours.next_position]])
        got = model(token, position_ids=where, past_key_values=ours).logits
        torch.testing.assert_close(got, expected, atol=2e-4, rtol=1e-4)
        assert naive.held == ours.held
    assert ours.seen == 90 > naive.held
