"""The transformers cache that carries out a policy's plans inside anybody's ``model.generate``.

A step sees everything: what was held and all that arrives. When its last layer has been updated the
plan is due; it is carried out before anything else looks at the cache. ``get_seq_length`` answers
with the tokens seen and ``get_mask_sizes`` with what is held, which is all that transformers needs
to build positions and masks, so the model stays as it is.
"""

from __future__ import annotations

import inspect
from typing import Any, Literal
from weakref import WeakSet

import numpy as np
import torch
from transformers import Cache, PreTrainedModel
from transformers.cache_utils import CacheLayerMixin

from lacache_core.buffers import BulkArrival, KVBuffers
from lacache_core.errors import UnsupportedOperationError
from lacache_core.ladder import LadderConfig
from lacache_core.plan import CompactionPlan, GroupCompaction, IntArray
from lacache_core.policies import Arrival, Planner, Policy, as_policy
from lacache_core.rope import Rotary, rotary_of


class _Contents:
    """What a cache holds and what is due: shared by its layers.

    Kept apart from ``LadderCache`` so that nothing refers in a circle: the tensors are freed as
    soon as the cache is let go, not when the garbage collector comes by.
    """

    def __init__(self, planner: Planner, rotary: Rotary, absolute: bool) -> None:
        self.planner, self.rotary, self.absolute = planner, rotary, absolute
        self.buffers: KVBuffers | None = None
        self.clear()

    def clear(self) -> None:
        self.held = self.seen = 0
        self.cursor = self.planner.cursor
        self.text = np.empty((self.planner.num_patterns, 0), dtype=np.int32)
        self.dropped = np.empty((self.planner.num_patterns, 0), dtype=np.int32)
        self.groups: tuple[GroupCompaction, ...] = ()
        self.due: CompactionPlan | None = None  # decided, not carried out yet
        self.next_layer = 0  # of the step under way; 0 between steps
        self.arriving = 0
        self.step_plan: CompactionPlan | None = None
        self.bulk: BulkArrival | None = None

    @property
    def base(self) -> int:
        """Position of entry 0."""
        return self.seen - self.held if self.absolute else 0

    def settle(self) -> None:
        """Carry out the plan that is due, if any."""
        plan, self.due = self.due, None
        if plan is not None and self.buffers is not None:
            base = self.base
            self._account(plan)
            self.buffers.compact(plan, base, self.base)

    def _account(self, plan: CompactionPlan) -> None:
        """Follow a plan in everything but the tensors."""
        self.dropped = plan.dropped(self.text)
        self.groups = plan.groups
        self.text = plan.apply(self.text)
        self.held, self.cursor = plan.length_after, plan.cursor

    def update(
        self, layer: int, keys: torch.Tensor, values: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if layer == 0:
            self._begin_step(keys, values)
        elif layer != self.next_layer or keys.shape[-2] != self.arriving:
            raise UnsupportedOperationError(
                f"Layer {layer} was updated where layer {self.next_layer} was due; this cache "
                "needs every layer once per step, in order."
            )
        buffers = self.buffers
        assert buffers is not None
        if keys.device != buffers.keys.device or keys.shape[:2] != buffers.keys.shape[1:3]:
            raise UnsupportedOperationError(
                f"Layer {layer} brings keys of shape {tuple(keys.shape)} on {keys.device} where "
                f"{tuple(buffers.keys.shape[1:3])} rows and heads on {buffers.keys.device} are "
                "held; all layers must be alike, on one device, and the batch must stay the same."
            )
        if self.bulk is None:
            out = buffers.append(layer, self.held, self.base, keys, values)
        else:
            out = buffers.append_bulk(layer, self.held, keys, values, self.bulk)
        self.next_layer = layer + 1
        if self.next_layer == self.planner.num_layers:
            self._end_step()
        return out

    def _begin_step(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        if self.next_layer and self.bulk is not None:
            raise UnsupportedOperationError(
                "The step before this one was interrupted while it was being compacted; call "
                "reset() and start the text again."
            )
        self.settle()
        self.next_layer, self.arriving = 0, keys.shape[-2]
        self.step_plan = self.planner.plan(
            Arrival(held=self.held, arriving=self.arriving, seen=self.seen, cursor=self.cursor)
        )
        if self.buffers is None:
            limit = None if self.planner.capacity is None else self.planner.capacity + 1
            self.buffers = KVBuffers(keys, values, self.rotary, self.planner.row_of_layer, limit)
        total, plan, limit = self.held + self.arriving, self.step_plan, self.buffers.limit
        in_place = plan is None or limit is None or total <= limit
        self.buffers.reserve(total if in_place or plan is None else plan.length_after, self.held)
        self.bulk = None
        if plan is not None and not in_place:
            base = self.base
            after = base + plan.freed if self.absolute else 0
            self.bulk = self.buffers.begin_bulk(plan, self.held, base, after)

    def _end_step(self) -> None:
        arrived = np.arange(self.seen, self.seen + self.arriving, dtype=np.int32)
        rows = np.broadcast_to(arrived, (self.text.shape[0], arrived.size))
        self.text = np.concatenate([self.text, rows], axis=1)
        self.held += self.arriving
        self.seen += self.arriving
        self.next_layer = 0
        self.dropped, self.groups = self.text[:, :0], ()
        if self.step_plan is not None:
            if self.bulk is not None:
                self._account(self.step_plan)  # the tensors are compacted already
            else:
                self.due = self.step_plan
        self.step_plan = self.bulk = None


class _LadderLayer(CacheLayerMixin):
    """One layer's view of the contents, in the form that transformers asks for."""

    is_sliding = False
    is_compileable = False
    is_croppable = False
    supports_early_init = False

    def __init__(self, contents: _Contents, index: int) -> None:
        self._contents, self._index = contents, index
        self.is_initialized = True

    def __repr__(self) -> str:
        return f"{type(self).__name__}(held={self._contents.held})"

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Nothing to do: the contents are laid out when the first layer is updated."""

    @torch.compiler.disable  # type: ignore[untyped-decorator,unused-ignore]
    def update(  # type: ignore[override,unused-ignore]
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return self._contents.update(self._index, key_states, value_states)

    @torch.compiler.disable  # type: ignore[untyped-decorator,unused-ignore]
    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        self._contents.settle()
        return self._contents.held + query_length, self._contents.seen - self._contents.held

    def get_seq_length(self) -> int:
        return self._contents.seen

    def get_max_length(self) -> int:
        return -1

    @property
    def keys(self) -> torch.Tensor | None:  # type: ignore[override,unused-ignore]
        return self._part("keys")

    @property
    def values(self) -> torch.Tensor | None:  # type: ignore[override,unused-ignore]
        return self._part("values")

    def _part(self, name: str) -> torch.Tensor | None:
        self._contents.settle()
        buffers = self._contents.buffers
        if buffers is None:
            return None
        part: torch.Tensor = getattr(buffers, name)
        return part[self._index, :, :, : self._contents.held]


class LadderCache(Cache):
    """A key-value cache that keeps what a policy plans, at a fixed budget.

    Parameters
    ----------
    model
        The decoder that will run with it. Nothing of the model is changed; a forward hook looks
        out for padded batches, which cannot work (see Notes).
    policy
        A policy of ``lacache_core.policies``, or a ``LadderConfig``, which means LaCache.
    positions
        ``"absolute"``: the caller numbers tokens from the start of the text, as ``generate`` does;
        right for texts of up to about a hundred thousand tokens, beyond which float32 angles of
        the model itself lose precision. ``"index"``: the caller passes ``position_ids`` that
        continue ``next_position``; bounded, right for endless texts. Both give the same scores.

    Raises
    ------
    UnsupportedModelError
        When the model's attention or positions do not fit.
    InvalidSettingError
        When the policy is impossible on the model's number of layers.

    Notes
    -----
    Works with greedy search, sampling, beams, streamers, several turns, ``prefill_chunk_size`` and
    batches of texts of equal length. Refused by ``UnsupportedOperationError``: padded batches
    (after an eviction a 2-D mask no longer says which entry is padding) and rolling back, which
    assisted decoding needs (an evicted entry cannot return).

    Examples
    --------
    >>> cache = LadderCache(model, LadderConfig(budget=256, span=15))  # doctest: +SKIP
    >>> model.generate(ids, past_key_values=cache, max_new_tokens=200)  # doctest: +SKIP
    """

    def __init__(
        self,
        model: PreTrainedModel,
        policy: Policy | LadderConfig,
        *,
        positions: Literal["absolute", "index"] = "absolute",
    ) -> None:
        if positions not in ("absolute", "index"):
            raise ValueError(f"positions = {positions!r}: it must be 'absolute' or 'index'.")
        self.policy = as_policy(policy)
        rotary = rotary_of(model)
        planner = self.policy.bind(rotary.num_layers)
        self._contents = _Contents(planner, rotary, absolute=positions == "absolute")
        super().__init__(layers=[_LadderLayer(self._contents, i) for i in range(rotary.num_layers)])
        _guard(model)

    def settle(self) -> None:
        """Carry out the compaction that the last step made due, now instead of before the next."""
        self._contents.settle()

    @property
    def planner(self) -> Planner:
        """The policy bound to this model: patterns of the layers, capacity, reserve."""
        return self._contents.planner

    @property
    def seen(self) -> int:
        """Tokens seen."""
        return self._contents.seen

    @property
    def held(self) -> int:
        """Entries per layer."""
        self.settle()
        return self._contents.held

    @property
    def next_position(self) -> int:
        """Position of the next token: what ``position_ids`` must continue from."""
        self.settle()
        return self._contents.base + self._contents.held

    @property
    def cursor(self) -> int:
        """Entry at which the not yet compacted part begins."""
        self.settle()
        return self._contents.cursor

    @property
    def text_positions(self) -> IntArray:
        """Text position of every entry: ``int32[L, held]``, ascending in every row."""
        self.settle()
        return self._contents.text[self.planner.row_of_layer]

    @property
    def last_dropped(self) -> IntArray:
        """Text positions that each pattern dropped after the last step: ``int32[P, f]``."""
        self.settle()
        return self._contents.dropped

    @property
    def last_groups(self) -> tuple[GroupCompaction, ...]:
        """The group compactions that followed the last step."""
        self.settle()
        return self._contents.groups

    @property
    def bytes_per_entry(self) -> int:
        """Bytes of one entry in all layers for one text; 0 before the first step."""
        buffers = self._contents.buffers
        return 0 if buffers is None else buffers.bytes_per_entry

    @property
    def plain_bytes_per_entry(self) -> int:
        """The same for a cache that stores keys and values and nothing else."""
        buffers = self._contents.buffers
        return 0 if buffers is None else buffers.plain_bytes_per_entry

    def reset(self) -> None:
        """Forget the text; the memory is kept for the next one."""
        self._contents.clear()

    def reorder_cache(self, beam_idx: torch.LongTensor) -> None:
        """Give every beam the entries of the beam that it continues."""
        self._select(beam_idx)

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep the given texts of the batch."""
        self._select(indices)

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat every text of the batch."""
        if self._contents.buffers is not None:
            batch = self._contents.buffers.keys.shape[1]
            self._select(torch.arange(batch).repeat_interleave(repeats))

    def _select(self, rows: torch.Tensor) -> None:
        if self._contents.buffers is not None:
            self._contents.buffers.select_batch(rows)

    def crop(self, *args: Any, **kwargs: Any) -> None:
        """Refused: an evicted entry cannot return."""
        raise UnsupportedOperationError(
            "This cache cannot be rolled back, because an evicted entry cannot return; assisted "
            "and prompt-lookup decoding need that. Generate without assistant_model and "
            "prompt_lookup_num_tokens."
        )

    def offload(self, *args: Any, **kwargs: Any) -> None:
        """Refused: the budget is what bounds the memory here."""
        raise UnsupportedOperationError("This cache cannot be offloaded; lower the budget instead.")

    prefetch = offload


_guarded: WeakSet[PreTrainedModel] = WeakSet()


def _guard(model: PreTrainedModel) -> None:
    """Have the model's calls checked; once per model, and only calls with a ``LadderCache``."""
    if model not in _guarded:
        model.register_forward_pre_hook(_refuse_what_cannot_work, with_kwargs=True)
        _guarded.add(model)


@torch.compiler.disable  # type: ignore[untyped-decorator,unused-ignore]
def _refuse_what_cannot_work(
    model: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    """Masks and positions that a cache never gets to see, checked where a text begins or goes on.

    Steps of one token are not looked at: their mask continues one that was, and looking would make
    a GPU wait.
    """
    given = inspect.signature(model.forward).bind_partial(*args, **kwargs).arguments
    given = {**given, **given.pop("kwargs", {})}
    cache = given.get("past_key_values")
    if not isinstance(cache, LadderCache):
        return
    tokens = given.get("input_ids")
    tokens = given.get("inputs_embeds") if tokens is None else tokens
    if tokens is None or (tokens.shape[1] == 1 and cache.seen):
        return
    mask = given.get("attention_mask")
    if mask is not None and mask.ndim != 2:
        raise UnsupportedOperationError(
            "attention_mask: this cache builds the causal mask from what it holds; pass a 2-D mask "
            "of ones, or none."
        )
    if mask is not None and not bool((mask != 0).all()):
        raise UnsupportedOperationError(
            "attention_mask: padded batches do not work with this cache, since after an eviction a "
            "2-D mask no longer says which entry is padding. Give texts of equal length, or one "
            "at a time."
        )
    positions = given.get("position_ids")
    if positions is not None:
        start = cache.next_position
        due = torch.arange(start, start + tokens.shape[1], device=positions.device)
        if not bool((positions == due).all()):
            raise UnsupportedOperationError(
                f"position_ids: this cache needs positions that continue from {start}, one by one."
            )
