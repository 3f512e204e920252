"""The transformers cache that carries out a policy's plans inside anybody's ``model.generate``.

A step sees everything: what was held and all that arrives. When its last layer has been updated the
plan is due; it is carried out before anything else looks at the cache. ``get_seq_length`` answers
with the tokens seen and ``get_mask_sizes`` with what is held, which is all that transformers needs
to build positions and masks, so the model stays as it is.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal
from weakref import WeakSet, ref

import torch
from transformers import Cache, PreTrainedModel
from transformers.cache_utils import CacheLayerMixin

from lacache_core.attention import observable, recording
from lacache_core.contents import Contents
from lacache_core.errors import UnsupportedOperationError
from lacache_core.ladder import LadderConfig
from lacache_core.plan import GroupCompaction, IntArray
from lacache_core.policies import Planner, Policy, as_policy
from lacache_core.rope import rotary_of
from lacache_core.stopwatch import timed


class _LadderLayer(CacheLayerMixin):
    """One layer's view of the contents, in the form that transformers asks for."""

    is_sliding = False
    is_croppable = False
    supports_early_init = False

    def __init__(self, contents: Contents, index: int) -> None:
        self._contents, self._index = contents, index
        self.is_initialized = True
        self.is_compileable = contents.static

    def __repr__(self) -> str:
        return f"{type(self).__name__}(held={self._contents.held})"

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Nothing to do: the contents are laid out when the first layer is updated."""

    def update(  # type: ignore[override,unused-ignore]
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if self._is_compiled(key_states.shape[-2]):
            return self._contents.store(self._index, key_states, value_states)
        # Disabling takes time of its own, a step many times.
        update = self._hidden_update if torch.compiler.is_compiling() else self._update
        return update(key_states, value_states)

    def _update(
        self, key_states: torch.Tensor, value_states: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        with timed("update"):
            return self._contents.update(self._index, key_states, value_states)

    _hidden_update = torch.compiler.disable(_update)

    def _is_compiled(self, arriving: int) -> bool:
        """Whether a compiler looks on, at a step that looks like the next."""
        return torch.compiler.is_compiling() and self._contents.is_alike(arriving)

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        steps = self._contents.steps
        if steps is not None and self._is_compiled(query_length):
            slots = self._contents.buffers.capacity  # type: ignore[union-attr]
            return slots, (steps.seen - steps.slot)[0]  # type: ignore[return-value]
        sizes: tuple[int, int] = self._get_mask_sizes(query_length)
        return sizes

    @torch.compiler.disable  # type: ignore[untyped-decorator,unused-ignore]
    def _get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        contents = self._contents
        contents.settle()
        length = contents.held + query_length
        if contents.is_alike(query_length) and contents.buffers is not None:
            length = contents.buffers.capacity  # the mask hides what is beyond
        return length, contents.seen - contents.held

    def get_seq_length(self) -> int:
        steps = self._contents.steps
        if steps is not None and torch.compiler.is_compiling():
            return steps.seen[0]  # type: ignore[return-value]
        if steps is not None:
            self._contents.settle()
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
        return buffers.entries(part, self._contents.held, self._index)


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
        continue ``next_position``; bounded, right for endless texts, and faster, since the cache
        may choose which keys it turns. Both give the same scores.
    static
        Every step of one token has the same shapes, as with transformers' ``StaticCache``, so that
        it can be compiled: ``generate`` does so by itself on a GPU, and ``settle()`` has to be
        called between the steps of a loop of one's own. Costs the memory of the whole budget from
        the first step on.

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

    A policy that decides by attention has to see it, and takes one text at a time:

    >>> cache = LadderCache(model, H2O(budget=256))  # doctest: +SKIP
    >>> with cache.observed(model):  # doctest: +SKIP
    ...     model.generate(ids, past_key_values=cache, max_new_tokens=200)
    """

    def __init__(
        self,
        model: PreTrainedModel,
        policy: Policy | LadderConfig,
        *,
        positions: Literal["absolute", "index"] = "absolute",
        static: bool = False,
    ) -> None:
        if positions not in ("absolute", "index"):
            raise ValueError(f"positions = {positions!r}: it must be 'absolute' or 'index'.")
        self.policy = as_policy(policy)
        rotary = rotary_of(model)
        planner = self.policy.bind(rotary.num_layers, _kv_heads(model))
        text = model.config.get_text_config(decoder=True)
        most = int(getattr(text, "max_position_embeddings", 0) or 0)
        if static:
            _check_static(planner)
        self._contents = Contents(planner, rotary, positions == "absolute", most, static)
        super().__init__(layers=[_LadderLayer(self._contents, i) for i in range(rotary.num_layers)])
        self.decoder: ref[torch.nn.Module] = ref(_guard(model))

    @contextmanager
    def observed(self, model: PreTrainedModel) -> Iterator[None]:
        """Let the policy see the model's attention while this is open; most policies need none.

        Raises
        ------
        UnsupportedOperationError
            When the policy needs attention and the model does not run on SDPA.
        """
        if self.planner.attention is None:
            yield
            return
        with observable(model), recording(self._contents.tally):
            yield

    def expect_prompt(self, tokens: int) -> None:
        """Say before the first step how long the prompt is that comes in several.

        Only policies that treat a prompt as a whole want to know; without it the first step is
        the prompt.
        """
        self._contents.prompt = tokens

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
        self.settle()
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
        """Text position of every entry: ``int32[L, held]``, ascending in every row.

        ``int32[L, H, held]`` where heads may hold different entries (``planner.per_head``).
        """
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


def _check_static(planner: Planner) -> None:
    if planner.capacity is None:
        raise UnsupportedOperationError(
            "static = True: this policy drops nothing, so its steps cannot all be alike; use "
            "transformers' StaticCache, or a policy with a budget."
        )
    if planner.attention is not None:
        raise UnsupportedOperationError(
            "static = True: this policy decides by attention, which a compiled step does not show; "
            "leave it out."
        )


def _kv_heads(model: PreTrainedModel) -> int:
    text = model.config.get_text_config(decoder=True)
    return int(getattr(text, "num_key_value_heads", None) or text.num_attention_heads)


_PADDED = (
    "attention_mask: padded batches do not work with this cache, since after an eviction a 2-D "
    "mask no longer says which entry is padding. Give texts of equal length, or one at a time."
)


def _is_causal(mask: torch.Tensor, held: int, arriving: int) -> bool:
    """Whether a mask ``[B, 1, arriving, held + arriving]`` hides what is to come, nothing else."""
    last = held + torch.arange(arriving, device=mask.device)[:, None]
    causal = torch.arange(held + arriving, device=mask.device) <= last
    return mask.shape[-2:] == causal.shape and bool((mask == causal).all())


_guarded: WeakSet[torch.nn.Module] = WeakSet()


def _guard(model: PreTrainedModel) -> torch.nn.Module:
    """Have the decoder's calls checked; once per model, and only calls with a ``LadderCache``.

    The decoder, not the model around it: whoever wraps or calls it, its calls come by here.
    """
    decoder: torch.nn.Module = model.get_decoder() or model
    if decoder not in _guarded:
        decoder.register_forward_pre_hook(_look_at_call, with_kwargs=True)
        _guarded.add(decoder)
    return decoder


def _look_at_call(model: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Compiled calls with another cache, or a static one, are left whole: looking breaks them."""
    if torch.compiler.is_compiling():
        cache = kwargs.get("past_key_values")
        if not isinstance(cache, LadderCache) or cache.is_compileable:
            return
    _refuse_what_cannot_work(model, args, kwargs)


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
    if given.get("use_cache") is False:
        raise UnsupportedOperationError(
            "use_cache = False: without a cache there is nothing for past_key_values to keep. "
            "Leave use_cache out, or leave past_key_values out."
        )
    if cache.decoder() is not model:
        raise UnsupportedOperationError(
            "past_key_values: this cache was made for another model, whose positions and layers "
            "it follows. Make one for this model."
        )
    tokens = given.get("input_ids")
    tokens = given.get("inputs_embeds") if tokens is None else tokens
    if tokens is not None and not tokens.shape[1]:
        raise UnsupportedOperationError(
            f"input_ids: this cache has seen {cache.seen:,} tokens, and nothing comes after them. "
            "Call reset() before another text, or give the text so far and more."
        )
    if tokens is None or (tokens.shape[1] == 1 and cache.seen):
        return
    mask = given.get("attention_mask")
    if mask is not None and mask.ndim == 4 and cache.is_compileable:
        # As generate() makes it for a cache that can be compiled: of no use but to be causal.
        if not _is_causal(mask, cache.held, tokens.shape[1]):
            raise UnsupportedOperationError(_PADDED)
    elif mask is not None and mask.ndim != 2:
        raise UnsupportedOperationError(
            "attention_mask: this cache builds the causal mask from what it holds; pass a 2-D mask "
            "of ones, or none."
        )
    elif mask is not None and not bool((mask != 0).all()):
        raise UnsupportedOperationError(_PADDED)
    positions = given.get("position_ids")
    if positions is not None:
        start = cache.next_position
        due = torch.arange(start, start + tokens.shape[1], device=positions.device)
        fits = positions.shape[-1] == due.shape[0] and bool((positions == due).all())
        if not fits:
            raise UnsupportedOperationError(
                f"position_ids: this cache has seen {cache.seen:,} tokens and needs positions that "
                f"continue from {start}, one by one; call reset() before another text."
            )
