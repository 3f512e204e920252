"""Slow, plain statements of the method that the fast code is held against.

Nothing here uses the code under test: the rule is spelled out on Python lists, keys are kept
unrotated in float64 and turned afresh for every step.
"""

from __future__ import annotations

import math

import torch
from transformers import Cache
from transformers.cache_utils import DynamicLayer


class SlowLadder:
    """The rule, one token at a time, one Python list of text positions per layer."""

    def __init__(self, layers, budget, span, overlap=0, num_sink=4, arrangement="interleaved"):
        self.layers, self.sinks = layers, num_sink
        self.width = 1 + math.ceil((layers - span) / (span - overlap))
        self.kept = min(math.ceil(span / (span - overlap)), self.width)
        self.freed = self.width - self.kept
        self.most = budget + self.freed // 2
        self.cursor = num_sink
        staircase = arrangement == "staircase"
        self.offset = [
            i * (self.freed + 1) // layers if staircase else i % (self.freed + 1)
            for i in range(layers)
        ]
        self.rows: list[list[int]] = [[] for _ in range(layers)]
        self.seen = 0

    def keep(self) -> list[list[int]]:
        """One token arrives; which entries (the new one included) does each layer keep?"""
        length = len(self.rows[0]) + 1
        keep = [list(range(length)) for _ in range(self.layers)]
        if length == self.most + 1:
            restart = self.most - self.cursor - self.layers < self.kept
            start = self.sinks if restart else self.cursor
            for layer in range(self.layers):
                first = start + self.offset[layer]
                keep[layer] = [
                    j
                    for j in range(length)
                    if not start <= j < start + self.width or first <= j < first + self.kept
                ]
            self.cursor = start + self.kept
        for layer in range(self.layers):
            row = [*self.rows[layer], self.seen]
            self.rows[layer] = [row[j] for j in keep[layer]]
        self.seen += 1
        return keep


class SlowWindow:
    """Sinks and the most recent tokens, in the same form."""

    def __init__(self, layers, budget, num_sink=4):
        self.layers, self.budget, self.sinks, self.seen, self.held = layers, budget, num_sink, 0, 0

    def keep(self) -> list[list[int]]:
        length = self.held + 1
        entries = list(range(length))
        if length > self.budget:
            del entries[self.sinks : self.sinks + length - self.budget]
        self.held, self.seen = len(entries), self.seen + 1
        return [entries] * self.layers


def turn(x: torch.Tensor, positions: torch.Tensor, inv_freq: torch.Tensor, pairing="halves"):
    """Rotate ``x[..., n, D]`` to ``positions[n]`` in float64 by 2x2 rotations of its pairs."""
    angle = positions.double()[:, None] * inv_freq.double()
    half = inv_freq.shape[0]
    out = x.double().clone()
    for i in range(half):
        a, b = (i, i + half) if pairing == "halves" else (2 * i, 2 * i + 1)
        c, s = angle[:, i].cos(), angle[:, i].sin()
        out[..., a] = x[..., a].double() * c - x[..., b].double() * s
        out[..., b] = x[..., b].double() * c + x[..., a].double() * s
    return out


class SlowCache(Cache):
    """A cache for steps of one token that turns every key afresh in every step.

    ``rule`` says what is kept; keys arrive at absolute positions, as ``generate`` numbers them, and
    are turned back to position 0 before they are kept.
    """

    def __init__(self, rule, inv_freq, pairing="halves", turned_layers=None):
        super().__init__(layer_class_to_replicate=DynamicLayer)
        self.rule, self.inv_freq, self.pairing = rule, inv_freq, pairing
        self.turned = turned_layers or [True] * rule.layers
        self.unturned = [None] * rule.layers
        self.seen_values = [None] * rule.layers
        self.count = 0

    def update(self, key_states, value_states, layer_idx, *args, **kwargs):
        assert key_states.shape[-2] == 1
        held = 0 if self.unturned[layer_idx] is None else self.unturned[layer_idx].shape[-2]
        key = key_states.double()
        if self.turned[layer_idx]:
            key = turn(key, torch.tensor([-self.count]), self.inv_freq, self.pairing)
        if held:
            key = torch.cat([self.unturned[layer_idx], key], dim=-2)
            value_states = torch.cat([self.seen_values[layer_idx], value_states], dim=-2)
        self.unturned[layer_idx], self.seen_values[layer_idx] = key, value_states
        here = torch.arange(held + 1) + self.count - held
        out = turn(key, here, self.inv_freq, self.pairing) if self.turned[layer_idx] else key
        if layer_idx == self.rule.layers - 1:
            self._evict()
        return out.to(key_states.dtype), value_states

    def _evict(self):
        for layer, keep in enumerate(self.rule.keep()):
            self.unturned[layer] = self.unturned[layer][..., keep, :]
            self.seen_values[layer] = self.seen_values[layer][..., keep, :]
        self.count += 1

    def get_seq_length(self, layer_idx=0):
        return self.count

    def get_mask_sizes(self, query_length, layer_idx=0):
        held = 0 if self.unturned[0] is None else self.unturned[0].shape[-2]
        return held + query_length, self.count - held
