"""Watching where queries look, without changing what the model computes.

An attention function registered with transformers leaves the output to SDPA and recomputes only
those rows of the softmax that somebody asked for: the last query's for a picture, others for a
policy that decides by them. A row costs ``O(heads * length * head_dim)`` per layer and is computed
only inside ``recording``; every other call on the same model goes straight to SDPA. On a CPU a step
of one token is computed here, watched or not: every key is read once, not once for each query head
that shares it nor once more for whoever watches. Knows nothing of policies.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from threading import Lock
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import torch
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from lacache_core.errors import UnsupportedOperationError
from lacache_core.stopwatch import timed
from lacache_core.trace import FloatArray

NAME = "lacache_observed"
BLOCK = 1 << 22
"""Scores that are held at once while the rows of many queries are added up (16 MiB)."""


class Recorder(Protocol):
    """Something that looks at the attention of every layer while it is ``recording``."""

    def record(self, layer: int, states: AttentionStates) -> None:
        """A layer is about to attend."""
        ...


@dataclass(frozen=True, eq=False)
class AttentionStates:
    """What a layer's attention is computed from.

    Attributes
    ----------
    query, key
        ``[B, heads, q, D]`` and ``[B, kv_heads, n, D]``.
    mask
        None (causal, the last query sees everything), or ``[B, 1, q, n]`` as transformers makes it
        for SDPA (boolean or additive).
    scaling
        Factor on the scores; ``1 / sqrt(D)`` when None.
    weights
        ``float32[B, kv_heads, group, n]``: attention of a single query, where it is known already.
    """

    query: torch.Tensor
    key: torch.Tensor
    mask: torch.Tensor | None = None
    scaling: float | None = None
    weights: torch.Tensor | None = None

    def mass(self, queries: range) -> torch.Tensor:
        """Attention that each entry gets from these queries: their sum, mean over query heads.

        Returns
        -------
        float32[B, kv_heads, n]
            The mean is over the query heads that share a key-value head.
        """
        if self.weights is not None:
            return self.weights.mean(dim=2)
        batch, heads, _, _ = self.query.shape
        kv_heads, length = self.key.shape[1], self.key.shape[2]
        out = torch.zeros(batch, kv_heads, length, device=self.key.device)
        step = max(1, BLOCK // (batch * heads * length))
        for first in range(queries.start, queries.stop, step):
            out += self._weights(first, min(first + step, queries.stop)).sum(dim=3).mean(dim=2)
        return out

    def _weights(self, first: int, stop: int) -> torch.Tensor:
        """Attention of ``first <= query < stop``: ``float32[B, kv_heads, group, queries, n]``."""
        batch, heads, arriving, width = self.query.shape
        kv_heads, length = self.key.shape[1], self.key.shape[2]
        # The query heads of a group as further queries of their key-value head: no key is repeated.
        query = self.query[:, :, first:stop].reshape(batch, kv_heads, -1, width)
        scores = torch.matmul(query, self.key.transpose(-1, -2))
        scores = scores * (width**-0.5 if self.scaling is None else self.scaling)
        scores = scores.view(batch, kv_heads, heads // kv_heads, stop - first, length)
        mask = self.mask
        if mask is not None:
            mask = mask[:, :, None, first:stop, :length]
        elif stop < arriving or stop - first > 1:
            last = torch.arange(first, stop, device=self.key.device)[:, None] + length - arriving
            mask = torch.arange(length, device=self.key.device) <= last
        if mask is not None:
            hidden = mask.dtype == torch.bool
            scores = scores.masked_fill(~mask, float("-inf")) if hidden else scores + mask
        return scores.softmax(dim=-1, dtype=torch.float32)


class AttentionWatch:
    """Collects the last query's attention mass, for a picture.

    Parameters
    ----------
    per_head
        Tell key-value heads apart, because they may hold different entries.
    """

    def __init__(self, per_head: bool = False) -> None:
        self._per_head = per_head
        self._layers = _Layers()

    def record(self, layer: int, states: AttentionStates) -> None:
        last = states.query.shape[2] - 1
        self._layers.add(layer, states, range(last, last + 1))

    def take(self) -> FloatArray:
        """Mass per layer and entry of the latest forward pass, mean over heads.

        To be called before the cache is compacted.

        Returns
        -------
        float32[L, n] or float32[L, H, n]
            For the first text of the batch; each row sums to 1. By key-value head if asked for.
        """
        mass = self._layers.take()
        return _on_host(mass if self._per_head else mass.mean(dim=1))


class AttentionTally:
    """Collects the attention that a policy decides by, of one step at a time."""

    def __init__(self, num_layers: int) -> None:
        self._num_layers = num_layers
        self.begin(range(0))

    def begin(self, queries: range) -> None:
        """A step begins of which these queries count."""
        self.queries = queries
        self._layers = _Layers()

    @property
    def is_recording(self) -> bool:
        """Whether it is listening here and now."""
        return any(recorder is self for recorder in _recorders.get())

    def record(self, layer: int, states: AttentionStates) -> None:
        # Passes that follow before the step is settled are none of its business.
        if self.queries and len(self._layers) < self._num_layers:
            self._layers.add(layer, states, self.queries)

    def take(self) -> FloatArray | None:
        """Mass of the step: ``float32[L, H, n]``; None when it was not recorded in every layer."""
        complete = len(self._layers) == self._num_layers
        mass = self._layers.take() if complete else None
        self._layers = _Layers()
        return None if mass is None else _on_host(mass)


class _Layers:
    """Mass of one step by layer, for the first text of a batch.

    A step of one token whose attention SDPA kept to itself waits until all layers are there: their
    keys lie side by side in this library's buffers, and one product over all of them costs a
    fraction of one for each.
    """

    def __init__(self) -> None:
        self._found: dict[int, torch.Tensor | AttentionStates] = {}

    def __len__(self) -> int:
        return len(self._found)

    def add(self, layer: int, states: AttentionStates, queries: range) -> None:
        """A layer's states, and the queries of it that count."""
        known = states.weights is not None
        one = not known and states.query.shape[2] == 1 and len(queries) == 1 and states.mask is None
        shared = states.key.untyped_storage().nbytes() > 2 * states.key.nbytes
        self._found[layer] = states if one and shared else states.mass(queries)[0]

    def take(self) -> torch.Tensor:
        """``float32[L, H, n]``; empties it."""
        found = [self._found[n] for n in sorted(self._found)]
        self._found = {}
        waiting = [one for one in found if isinstance(one, AttentionStates)]
        keys = _side_by_side([one.key[:1] for one in waiting])
        if keys is not None and len(waiting) == len(found):
            query = torch.cat([one.query[:1] for one in waiting])  # layers as a batch
            return AttentionStates(query, keys, None, waiting[0].scaling).mass(range(1))
        return torch.stack(
            [one.mass(range(1))[0] if isinstance(one, AttentionStates) else one for one in found]
        )


def _side_by_side(parts: list[torch.Tensor]) -> torch.Tensor | None:
    """Tensors ``[1, ...]`` at equal distances in one storage as one tensor; else None."""
    if len(parts) < 2:
        return None
    first, starts = parts[0], [part.storage_offset() for part in parts]
    distance = starts[1] - starts[0]
    alike = all(
        part.untyped_storage().data_ptr() == first.untyped_storage().data_ptr()
        and part.shape == first.shape
        and part.stride() == first.stride()
        and start == starts[0] + n * distance
        for n, (part, start) in enumerate(zip(parts, starts, strict=True))
    )
    if not alike or distance <= 0:
        return None
    size, stride = (len(parts), *first.shape[1:]), (distance, *first.stride()[1:])
    return torch.as_strided(first, size, stride, starts[0])


def _on_host(mass: torch.Tensor) -> FloatArray:
    found: FloatArray = mass.detach().float().cpu().numpy()
    return found


_recorders: ContextVar[tuple[Recorder, ...]] = ContextVar("lacache_recorders", default=())
_users: WeakKeyDictionary[PreTrainedModel, int] = WeakKeyDictionary()
_lock = Lock()


def runs_on_sdpa(model: PreTrainedModel) -> bool:
    """Whether the model can be watched."""
    return model.config._attn_implementation in ("sdpa", NAME)


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
            if not runs_on_sdpa(model):
                current = model.config._attn_implementation
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
        if not sys.is_finalizing():  # a generator that nobody ended, in a program that has
            with _lock:
                _users[model] -= 1
                if not _users[model]:
                    del _users[model]
                    model.set_attn_implementation("sdpa")


@contextmanager
def recording(recorder: Recorder) -> Iterator[None]:
    """Show the recorder the passes that this thread makes on ``observable`` models meanwhile."""
    token = _recorders.set((*_recorders.get(), recorder))
    try:
        yield
    finally:
        _recorders.reset(token)


@contextmanager
def watch(per_head: bool = False) -> Iterator[AttentionWatch]:
    """``recording`` of the last query's attention."""
    found = AttentionWatch(per_head)
    with recording(found):
        yield found


def _observed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **kwargs: Any,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """SDPA's output; whoever is recording in this thread is shown what it comes from."""
    scaling = kwargs.get("scaling")
    weights: torch.Tensor | None = None
    out: tuple[torch.Tensor, torch.Tensor | None]
    with timed("attention"):
        one = query.shape[2] == 1 and attention_mask is None and query.device.type == "cpu"
        if one and query.dtype == torch.float32 and _plain(kwargs):
            found, weights = _of_one(query, key, value, scaling)
            out = (found, None)
        else:
            out = sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)
    if recorders := _recorders.get():
        states = AttentionStates(query, key, attention_mask, scaling, weights)
        with timed("observing"):
            for recorder in recorders:
                recorder.record(int(module.layer_idx), states)  # type: ignore[arg-type]
    return out


def _plain(kwargs: Mapping[str, Any]) -> bool:
    """Whether attention is asked for without what only transformers' function knows of."""
    return not any(kwargs.get(name) for name in ("dropout", "softcap", "output_attentions")) and (
        kwargs.get("position_bias") is None and kwargs.get("cache") is None
    )


def _of_one(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Output of one query that sees everything, ``[B, 1, heads, D]``, and its attention.

    The query heads that share a key-value head are further queries of it.
    """
    batch, heads, _, width = query.shape
    grouped = query.reshape(batch, key.shape[1], -1, width)
    grouped = grouped * (width**-0.5 if scaling is None else scaling)
    weights = torch.matmul(grouped, key.transpose(-1, -2)).softmax(dim=-1)
    return torch.matmul(weights, value).reshape(batch, 1, heads, -1), weights
