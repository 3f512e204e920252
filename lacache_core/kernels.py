"""What a GPU does in one pass over keys and values in 16 bits: storing a step, closing a gap.

Written in Triton (Tillet et al., 2019), which comes with torch for CUDA and wants a C compiler;
``at_hand`` tells. Everything here has a plain form in ``buffers.py`` and ``static_steps.py`` that
needs neither, and gives the same. Knows tensors; knows nothing of plans or policies.
"""

from __future__ import annotations

import math
import os
import shutil
from functools import cache

import torch

BLOCK = 32
"""Entries that a program has in its registers at a time."""


def at_hand(device: torch.device) -> bool:
    """Whether kernels can be built for tensors on ``device``."""
    return device.type == "cuda" and _can_build()


@cache
def _can_build() -> bool:
    try:
        import triton  # type: ignore[import-not-found,import-untyped,unused-ignore]  # noqa: F401
    except ImportError:
        return False
    return bool(os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc"))


def close_gap(
    keys: torch.Tensor,
    values: torch.Tensor,
    arrived: torch.Tensor,
    moves: torch.Tensor,
    first: int,
    rows: torch.Tensor,
    inv_freq: torch.Tensor,
    neighbours: bool,
    turned: torch.Tensor,
) -> None:
    """Fill entry ``first + i`` of every layer from entry ``moves[0, p, i]``, in place.

    Parameters
    ----------
    keys, values, arrived
        Contiguous ``[L, B, H, slots, D]``: keys turned, values, and keys as they arrived.
    moves
        ``int64[2, P, n]``: the entry that each place is filled from, ascending and never before
        the place itself; and by how many positions its key is turned from how it arrived.
    rows
        ``int64[L, 1]`` or ``[L, H]``: the pattern ``p`` of each layer, or of each of its heads.
    inv_freq, neighbours
        As in ``Rotary``, where the keys are.
    turned
        ``bool[L]``: layers whose keys turn at all.
    """
    import triton

    from lacache_core.triton_kernels import close_gap_kernel

    layers, batch, heads, slots, width = keys.shape
    half = inv_freq.shape[0]
    close_gap_kernel[(layers * batch * heads,)](
        keys,
        values,
        arrived,
        moves.contiguous(),
        rows.expand(layers, heads).contiguous(),
        inv_freq,
        turned,
        first,
        moves.shape[2],
        moves.shape[1],
        batch,
        heads,
        slots,
        D=width,
        HALF=half,
        HALF_UP=triton.next_power_of_2(half),
        REST_UP=triton.next_power_of_2(max(1, width - 2 * half)),
        WIDTH_UP=triton.next_power_of_2(width),
        NEIGHBOURS=neighbours,
        BLOCK=BLOCK,
        TURN=2 * math.pi,
    )


def store(
    all_keys: torch.Tensor,
    all_values: torch.Tensor,
    arrived: torch.Tensor,
    layer: int,
    slot: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
) -> None:
    """Write one token's states ``[B, H, 1, D]`` to slot ``slot[0]`` of one layer."""
    import triton

    from lacache_core.triton_kernels import store_kernel

    _, batch, heads, slots, width = all_keys.shape
    store_kernel[(batch * heads,)](
        all_keys[layer],
        all_values[layer],
        arrived[layer],
        slot,
        keys,
        values,
        *(keys.stride(i) for i in (0, 1, 3)),
        *(values.stride(i) for i in (0, 1, 3)),
        heads,
        slots,
        D=width,
        WIDTH_UP=triton.next_power_of_2(width),
    )
