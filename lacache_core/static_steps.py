"""Steps of one token that look alike to a compiler: the same shapes and addresses each time.

All slots of the buffers take part in every step and the mask says which of them count; where the
arriving entry goes and how many tokens came before it are tensors. A compiled step therefore runs
no Python of ours; that it ran is told by a flag which it sets, and the plan that it made due is
carried out before the next. Knows buffers; knows nothing of policies.
"""

from __future__ import annotations

import torch
from torch import library

from lacache_core import kernels
from lacache_core.buffers import KVBuffers
from lacache_core.errors import UnsupportedOperationError


class StaticSteps:
    """What steps of one token share.

    Attributes
    ----------
    slot, seen
        ``int64[1]``, where the keys are: the slot of the arriving entry, which is the number of
        entries held, and the number of tokens seen before it.
    is_waiting
        A step has run that has not been taken into account.
    """

    def __init__(self, device: torch.device) -> None:
        self.slot = torch.zeros(1, dtype=torch.int64, device=device)
        self.seen = torch.zeros(1, dtype=torch.int64, device=device)
        self.is_waiting = False
        self._told = (0, 0)

    def fix(self, buffers: KVBuffers) -> None:
        """Tell compilers that these tensors stay where they are."""
        for tensor in (*buffers.parts(), self.slot, self.seen):
            torch._dynamo.mark_static_address(tensor)

    def follow(self, held: int, seen: int) -> None:
        """The next step comes after so many entries and tokens."""
        if self._told != (held, seen):
            self._told = (held, seen)
            self.slot.fill_(held)
            self.seen.fill_(seen)

    def store(
        self, buffers: KVBuffers, layer: int, keys: torch.Tensor, values: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write a layer's arriving states; returns all its slots, ``[B, H, slots, D]``.

        Raises
        ------
        UnsupportedOperationError
            When the step before was not taken into account: this one would overwrite it.
        """
        if layer == 0 and self.is_waiting:
            raise UnsupportedOperationError(
                "A compiled step follows another: call settle() on the cache between them. "
                "generate() does so by itself."
            )
        if layer == len(buffers.keys) - 1:
            self.is_waiting = True
        store = _store if torch.compiler.is_compiling() else _store_plainly
        store(buffers.keys, buffers.values, buffers.arrived_keys, layer, self.slot, keys, values)
        return buffers.keys[layer], buffers.values[layer]


def _store_plainly(
    all_keys: torch.Tensor,
    all_values: torch.Tensor,
    arrived_keys: torch.Tensor | None,
    layer: int,
    slot: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
) -> None:
    """Fill ``slot`` of one layer of the buffers ``[L, B, H, slots, D]``."""
    if arrived_keys is not None and kernels.at_hand(keys.device):
        kernels.store(all_keys, all_values, arrived_keys, layer, slot, keys, values)
        return
    all_keys[layer].index_copy_(2, slot, keys)
    all_values[layer].index_copy_(2, slot, values)
    if arrived_keys is not None:
        arrived_keys[layer].index_copy_(2, slot, keys)


# One operation to the compiler, which would otherwise copy the whole buffers once a layer.
_store = library.custom_op(
    "lacache::store",
    _store_plainly,
    mutates_args=("all_keys", "all_values", "arrived_keys"),
    schema="(Tensor(a!) all_keys, Tensor(b!) all_values, Tensor(c!)? arrived_keys, int layer, "
    "Tensor slot, Tensor keys, Tensor values) -> ()",
)
