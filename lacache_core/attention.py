"""Watching where the last query looks, without changing what the model computes.

An attention function registered with transformers leaves the output to SDPA and recomputes one row
of the softmax: that of the last query. It costs ``O(heads * length * head_dim)`` per layer and runs
only inside ``watch``; every other call on the same model goes straight to SDPA.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from lacache_core.errors import UnsupportedOperationError
from lacache_core.trace import FloatArray

NAME = "lacache_observed"


class AttentionWatch:
    """Collects the last query's attention mass while its ``watch`` is open."""

    def __init__(self) -> None:
        self._layers: dict[int, torch.Tensor] = {}

    def take(self) -> FloatArray:
        """Mass per layer and entry of the latest forward pass, mean over heads.

        Returns
        -------
        float32[L, n]
            For the first text of the batch; each row sums to 1.
        """
        rows = torch.stack([self._layers[layer] for layer in sorted(self._layers)])
        self._layers = {}
        return rows.cpu().numpy().astype(np.float32)

    def _record(self, layer: int, mass: torch.Tensor) -> None:
        self._layers[layer] = mass


_watching: ContextVar[AttentionWatch | None] = ContextVar("lacache_watching", default=None)
_users: WeakKeyDictionary[PreTrainedModel, int] = WeakKeyDictionary()
_lock = Lock()


@contextmanager
def observable(model: PreTrainedModel) -> Iterator[None]:
    """Make a model's attention watchable for as long as this is open.

    Several may be open on one model; when the last one closes the model is as it was.

    Raises
    ------
    UnsupportedOperationError
        When the model does not run on SDPA, whose output the watched function delegates to.
    """
    with _lock:
        if model not in _users:
            current = model.config._attn_implementation
            if current != "sdpa":
                raise UnsupportedOperationError(
                    f"Attention can be observed on a model loaded with attn_implementation='sdpa'; "
                    f"this one runs {current!r}."
                )
            AttentionInterface.register(NAME, _observed_attention)
            AttentionMaskInterface.register(NAME, sdpa_mask)
            model.set_attn_implementation(NAME)
        _users[model] = _users.get(model, 0) + 1
    try:
        yield
    finally:
        with _lock:
            _users[model] -= 1
            if not _users[model]:
                del _users[model]
                model.set_attn_implementation("sdpa")


@contextmanager
def watch() -> Iterator[AttentionWatch]:
    """Watch the forward passes that this thread makes on ``observable`` models while it is open."""
    found = AttentionWatch()
    token = _watching.set(found)
    try:
        yield found
    finally:
        _watching.reset(token)


def last_query_mass(
    query: torch.Tensor,
    key: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
) -> torch.Tensor:
    """Attention of the last query, mean over heads.

    Parameters
    ----------
    query, key
        ``[B, heads, q, D]`` and ``[B, kv_heads, n, D]``.
    attention_mask
        None, or ``[B, 1, q, n]`` as transformers makes it for SDPA (boolean or additive).
    scaling
        Factor on the scores; ``1 / sqrt(D)`` when None.

    Returns
    -------
    float32[B, n]
    """
    batch, heads, _, width = query.shape
    groups = heads // key.shape[1]
    last = query[:, :, -1].view(batch, key.shape[1], groups, width)
    scores = torch.matmul(last, key.transpose(-1, -2)) * (
        width**-0.5 if scaling is None else scaling
    )
    if attention_mask is not None:
        row = attention_mask[:, :, -1:, : key.shape[-2]]
        scores = (
            scores.masked_fill(~row, float("-inf")) if row.dtype == torch.bool else scores + row
        )
    return scores.softmax(dim=-1, dtype=torch.float32).mean(dim=(1, 2))


def _observed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **kwargs: Any,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """SDPA's output; the last query's mass goes to whoever watches in this thread."""
    watching = _watching.get()
    if watching is not None:
        mass = last_query_mass(query, key, attention_mask, kwargs.get("scaling"))
        watching._record(int(module.layer_idx), mass[0])  # type: ignore[arg-type]
    out: tuple[torch.Tensor, torch.Tensor | None] = sdpa_attention_forward(
        module, query, key, value, attention_mask, **kwargs
    )
    return out
