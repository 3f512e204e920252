"""The bound that a compiled step is held against."""

import pytest
from tiny import LAYERS, tiny_model

from benchmarks.compiled import bytes_of_step, largest


@pytest.mark.parametrize("tied", [False, True])
def test_a_step_reads_weights_keys_and_values_once(tied):
    model = tiny_model(tie_word_embeddings=tied)
    table = 128 * 48  # one row of it is read, unless it is the head as well
    weights = sum(p.numel() for p in model.parameters()) - (0 if tied else table)
    assert bytes_of_step(model, 10) == 4 * (weights + 10 * LAYERS * 2 * 2 * 12)


@pytest.mark.parametrize("most", [0, 1, 5, 14, 31])
def test_the_largest_batch_is_found_to_an_eighth(most):
    import torch

    def step(batch):
        if batch > most:
            raise torch.OutOfMemoryError

    assert most - most // 8 <= largest(step) <= most
