"""The cache as the published code works, step by step: the yardstick that must be beaten.

Keys are stored without their positions. Each step appends, builds each layer's list of the entries
to keep in Python, gathers all keys and values by it, and turns every key to its position anew.
Written from the description of the method, for measuring alone.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import Cache
from transformers.cache_utils import DynamicLayer

from lacache_core.ladder import Ladder
from lacache_core.rope import Rotary


class NaiveCache(Cache):
    """Holds what a ladder keeps, the way the published code does."""

    def __init__(self, ladder: Ladder, rotary: Rotary, num_sink: int) -> None:
        super().__init__(layer_class_to_replicate=DynamicLayer)
        self.ladder, self.rotary = ladder, rotary
        self.cursor = self.next_cursor = num_sink
        self.plain: list[torch.Tensor] = []  # keys without positions, a layer each
        self.held_values: list[torch.Tensor] = []

    @property
    def held(self) -> int:
        return self.plain[0].shape[2] if self.plain else 0

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return self.held

    def get_mask_sizes(self, query_length: int, layer_idx: int) -> tuple[int, int]:
        return self.held + query_length, 0

    def update(
        self,
        key_states: torch.Tensor,
        value_states: torch.Tensor,
        layer_idx: int,
        *_: Any,
        **__: Any,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        before = self.plain[layer_idx].shape[2] if layer_idx < len(self.plain) else 0
        arriving = torch.arange(before, before + key_states.shape[2])
        new = self._turned(key_states, -arriving)
        if layer_idx < len(self.plain):
            self.plain[layer_idx] = torch.cat([self.plain[layer_idx], new], dim=2)
            self.held_values[layer_idx] = torch.cat(
                [self.held_values[layer_idx], value_states], dim=2
            )
        else:
            self.plain.append(new)
            self.held_values.append(value_states)
        keys, values = self.plain[layer_idx], self.held_values[layer_idx]
        return self._turned(keys, torch.arange(keys.shape[2])), values

    def compact(self) -> None:
        """What follows a step: for each layer a list of entries, and a gather by it."""
        length = self.held
        while length > self.ladder.effective_budget:
            start, _ = self.ladder.next_group(length, self.cursor)
            width, kept = self.ladder.group_width, self.ladder.kept_width
            for layer, row in enumerate(self.ladder.row_of_layer.tolist()):
                chosen = [*range(start), *range(start + row, start + row + kept)]
                chosen += range(start + width, length)
                index = torch.tensor(chosen, device=self.plain[layer].device)
                self.plain[layer] = self.plain[layer].index_select(2, index)
                self.held_values[layer] = self.held_values[layer].index_select(2, index)
            self.cursor = start + kept
            length = self.held

    def _turned(self, keys: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        cos, sin = self.rotary.cos_sin(positions.to(keys.device))
        return self.rotary.turn(keys, cos, sin)
