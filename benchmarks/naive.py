"""The cache as the published code works, step by step: the yardstick that must be beaten.

Keys are stored without their positions. Each step appends, turns every key to its position anew (a
table of cosines times the keys, plus one of sines times their halves swapped), builds each layer's
list of the entries to keep in Python, and gathers all keys and values by it, with an index as large
as they are. Written from what the published code does, for measuring alone. Its attention repeats
keys and values for every query head and takes a softmax of its own; ``eager`` attention of
transformers does the same. With SDPA instead it is kinder than that code, as is in both cases that
nothing is copied between forms of a cache.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import Cache
from transformers.cache_utils import DynamicLayer
from transformers.models.llama.modeling_llama import rotate_half

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
        self.cos = self.sin = torch.empty(0)  # a row a position, as far as there was need

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
        stop = before + key_states.shape[2]
        self._extend(stop, key_states)
        # The model has turned what arrives; there it would come plain.
        new = _turned(key_states, self.cos[before:stop], -self.sin[before:stop])
        if layer_idx < len(self.plain):
            self.plain[layer_idx] = torch.cat([self.plain[layer_idx], new], dim=2)
            self.held_values[layer_idx] = torch.cat(
                [self.held_values[layer_idx], value_states], dim=2
            )
        else:
            self.plain.append(new)
            self.held_values.append(value_states)
        keys, values = self.plain[layer_idx], self.held_values[layer_idx]
        return _turned(keys, self.cos[:stop], self.sin[:stop]), values

    def compact(self) -> None:
        """What follows a step: for each layer a list of entries, and a gather by it."""
        held = length = self.held
        groups = []
        width, kept = self.ladder.group_width, self.ladder.kept_width
        while length > self.ladder.effective_budget:
            start, _ = self.ladder.next_group(length, self.cursor)
            self.cursor = start + kept
            groups.append(start)
            length -= width - kept
        if not groups:
            return
        for layer, row in enumerate(self.ladder.row_of_layer.tolist()):
            chosen = list(range(held))
            for start in groups:
                chosen[start : start + width] = chosen[start + row : start + row + kept]
            keys, values = self.plain[layer], self.held_values[layer]
            index = torch.as_tensor(chosen, device=keys.device).view(1, 1, -1, 1)
            index = index.expand(*keys.shape[:2], -1, keys.shape[3])
            self.held_values[layer] = torch.gather(values, 2, index)
            self.plain[layer] = torch.gather(keys, 2, index)

    def _extend(self, stop: int, like: torch.Tensor) -> None:
        """Have the tables reach so many positions."""
        if self.cos.shape[0] < stop:
            cos, sin = self.rotary.cos_sin(torch.arange(2 * stop, device=like.device))
            self.cos, self.sin = (torch.cat([t, t], dim=-1).to(like.dtype) for t in (cos, sin))


def _turned(keys: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    return keys * cos + rotate_half(keys) * sin
