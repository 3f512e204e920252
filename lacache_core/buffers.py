"""Keys and values of all layers in one pair of tensors, and what a compaction does to them.

Knows plans and rotations; knows nothing of models, policies or transformers' cache interface.

Where a key stands. Entry ``j`` stands at position ``base + j``. With *absolute* positions the base
is the number of entries that are gone, so a compaction turns what lies left of it on. With *index*
positions the base is ours to choose, so it turns what lies right of it back or what lies left of it
on, whichever is less. Scores depend on differences alone and come out the same.

Where an entry lies. Entry ``j`` lies in slot ``origin + j``. A compaction closes its gap from the
side where less has to move; when the slots on the right are used up, all of it moves back.

How keys stay exact. Turning a 16-bit key again and again drifts (0.5 % after 10 turns, 5 % after
200). In 16 bits the key as it arrived is therefore kept beside the turned one, with the position it
arrived at, and every turn starts from there: one rounding, for ever. In 32 bits the drift is
negligible and keys are turned where they lie.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
import torch
from transformers import PretrainedConfig

from lacache_core import kernels
from lacache_core.plan import CompactionPlan, IntArray
from lacache_core.rope import Rotary

EXACT = (torch.float32, torch.float64)
"""In these a key may be turned again and again; in others it is kept as it arrived too."""

PORTION = 2 << 20
"""Bytes that are moved at a time on a CPU: about what its cache holds beside everything else."""

MOST_TURNS, LARGEST_TURN = 64, 512
"""How many different turns of a plan's kept entries are remembered, of so many entries at most."""

Positions = npt.NDArray[np.int64]
CosSin = tuple[torch.Tensor, torch.Tensor]


_Views = tuple[list[tuple[torch.Tensor, ...]], list[tuple[torch.Tensor, ...]]]


@dataclass(frozen=True, eq=False)
class _Moves:
    """What carrying out a plan in place takes.

    ``index`` is ``int64[P, k]``, the kept entries of the compacted range; the others turn the keys
    before, in and behind it. ``shift`` is by how much what lies before moves on.
    """

    shift: int
    index: torch.Tensor
    before: CosSin | None = None
    kept: CosSin | None = None
    behind: CosSin | None = None


_STILL = _Moves(0, torch.empty(0))
"""Nothing turns."""


@dataclass(frozen=True, eq=False)
class BulkArrival:
    """One step's compaction of more tokens than the buffers hold, ready for every layer.

    ``index`` is ``int64[P, n]``, the entry that each place is filled from; ``cos_sin`` turn each;
    ``slots`` are those of the entries that were held.
    """

    index: torch.Tensor
    cos_sin: CosSin
    slots: slice


class KVBuffers:
    """Preallocated ``[L, B, H, capacity, D]`` keys and values, filled from the left.

    Parameters
    ----------
    keys, values
        One layer's states ``[B, H, n, D]``: batch, heads, width, dtype and device are theirs.
    rotary
        How the model turns its keys.
    row_of_layer
        ``int32[L]``: the pattern that each layer follows; ``int32[L, H]`` where heads differ.
    limit
        The most entries that will be asked for; None when there is no limit.
    spare
        Slots beyond those, so that gaps can be closed from the left for a while; with none, entry
        0 stays in slot 0.
    all_at_once
        Lay out all ``limit`` slots now, zeroed, instead of as they are needed.
    """

    def __init__(
        self,
        keys: torch.Tensor,
        values: torch.Tensor,
        rotary: Rotary,
        row_of_layer: IntArray,
        limit: int | None,
        spare: int = 0,
        all_at_once: bool = False,
    ) -> None:
        self.rotary = rotary
        self.limit, self.spare = limit, spare
        self.origin = 0
        # [L, 1] where the heads of a layer follow one pattern, otherwise [L, H].
        rows = row_of_layer.astype(np.int64).reshape(len(row_of_layer), -1)
        self._rows = torch.from_numpy(rows).to(keys.device)
        self._first_row = rows[:, 0].tolist()
        self._turned_layers = rotary.turned_layers.to(keys.device)
        self._moves: WeakKeyDictionary[CompactionPlan, _Moves] = WeakKeyDictionary()
        self._same_turn: dict[int, CosSin | None] = {}
        self._known_turns: dict[tuple[tuple[int, ...], bytes], CosSin | None] = {}
        self._all_turned = bool(rotary.turned_layers.all())
        # Whole lines of memory for the masks and products over them.
        slots = -(-limit // 8) * 8 if all_at_once and limit is not None else 0
        # Zeros, since a slot that a mask hides still counts as nothing times what lies in it.
        self.keys = self._empty(keys, slots).zero_()
        self.values = self._empty(values, slots).zero_()
        self.arrived_keys = None if keys.dtype in EXACT else self._empty(keys, slots).zero_()
        # One pass over everything, where a kernel can be built and slots stay where they are.
        self._at_once = bool(slots) and not spare and kernels.at_hand(keys.device)
        self._inv_freq: torch.Tensor | None = None
        self._views: _Views | None = None
        patterns = int(row_of_layer.max()) + 1
        self.arrived_at: Positions = np.zeros((patterns, slots), dtype=np.int64)

    def _empty(self, like: torch.Tensor, capacity: int) -> torch.Tensor:
        batch, heads, _, width = like.shape[-4:]
        return like.new_empty((len(self._rows), batch, heads, capacity, width))

    @property
    def capacity(self) -> int:
        return self.keys.shape[3]

    def parts(self) -> list[torch.Tensor]:
        """The tensors that hold entries: keys, values and, in 16 bits, the keys as they arrived."""
        originals = [] if self.arrived_keys is None else [self.arrived_keys]
        return [self.keys, self.values, *originals]

    @property
    def bytes_per_entry(self) -> int:
        """Bytes of one entry in all layers, for one row of the batch."""
        return sum(_entry_bytes(part) for part in self.parts())

    @property
    def plain_bytes_per_entry(self) -> int:
        """The same for a cache that stores keys and values and nothing else."""
        return _entry_bytes(self.keys) + _entry_bytes(self.values)

    def reserve(self, entries: int, held: int) -> None:
        """Make room for ``entries``, keeping the first ``held``; grows by doubling."""
        if self.origin + entries <= self.capacity:
            return
        if entries <= self.capacity:
            self._move_back(held)
            return
        wanted = max(entries, 2 * self.capacity, 64)
        if self.limit is not None:
            wanted = max(entries, min(wanted, self.limit + self.spare))
        self._resize(wanted, held)

    def shrink(self, entries: int, held: int) -> None:
        """Give back the room beyond ``entries``, keeping the first ``held``."""
        if entries + self.spare < self.capacity:
            self._resize(entries + self.spare, held)

    def entries(self, part: torch.Tensor, stop: int, layers: Any = slice(None)) -> torch.Tensor:
        """The first ``stop`` entries of one of the ``parts``, of some layers or of one."""
        return part[layers, :, :, self.origin : self.origin + stop]

    def _move_back(self, held: int) -> None:
        """All entries to the first slots."""
        for layers in self._portions(held):
            for part in self.parts():
                source, target = self.entries(part, held, layers), part[layers, :, :, :held]
                self._turn(source, target, None, layers)
        self.origin = 0

    def _resize(self, wanted: int, held: int) -> None:
        for name in ("keys", "values", "arrived_keys"):
            old = getattr(self, name)
            if old is not None:
                new = self._empty(old, wanted)
                new[:, :, :, :held] = self.entries(old, held)
                setattr(self, name, new)
        arrived = np.zeros((self.arrived_at.shape[0], wanted), dtype=np.int64)
        arrived[:, :held] = self.arrived_at[:, :held]
        self.arrived_at = arrived
        self.origin = 0
        self._views = None

    def select_batch(self, rows: torch.Tensor) -> None:
        """Keep the given rows of the batch, in that order (beam search)."""
        for name in ("keys", "values", "arrived_keys"):
            part = getattr(self, name)
            if part is not None and len(rows) == part.shape[1]:
                part.copy_(part.index_select(1, rows.to(part.device)))  # stays where it is
            elif part is not None:
                setattr(self, name, part.index_select(1, rows.to(part.device)))

    # Few tokens arrive: they join the buffers and are compacted there after the step.

    def append(
        self, layer: int, held: int, base: int, keys: torch.Tensor, values: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write a layer's arriving states behind its ``held`` entries; returns all of them."""
        stop = held + keys.shape[-2]
        if layer == 0:
            self.note_arrival(held, stop, base)
        if torch.is_grad_enabled():  # what comes of unbinding must not be written to then
            parts = [self.entries(part, stop, layer) for part in self.parts()]
            everything, arriving = parts[:2], [part[:, :, held:] for part in parts]
        else:
            if layer == 0 or self._views is None:
                self._views = self._layers(held, stop)
            everything, arriving = ([part[layer] for part in parts] for parts in self._views)
        for part, states in zip(arriving, (keys, values, keys), strict=False):
            part.copy_(states)
        all_keys, all_values = everything
        return all_keys, all_values

    def _layers(self, held: int, stop: int) -> _Views:
        """Keys and values layer by layer: all of them, and the places of those that arrive."""
        arriving = slice(self.origin + held, self.origin + stop)
        everything = [self.entries(part, stop).unbind() for part in (self.keys, self.values)]
        return everything, [part[:, :, :, arriving].unbind() for part in self.parts()]

    def note_arrival(self, held: int, stop: int, base: int) -> None:
        """The entries behind the first ``held`` arrived where they stand."""
        if self.arrived_keys is not None:
            self.arrived_at[:, held:stop] = np.arange(base + held, base + stop)

    def compact(self, plan: CompactionPlan, base_before: int, base_after: int) -> None:
        """Carry out a plan on what lies in the buffers."""
        start, middle, after = plan.start, plan.start + plan.kept.shape[1], plan.length_after
        shift = base_after - base_before  # of what lies before the compacted range
        if self._at_once and self.arrived_keys is not None:
            self._compact_at_once(plan, base_after, 0 if shift else plan.start)
            return
        moves = self._moves_of(plan, shift)
        # Keys that are kept as they arrived are turned from there, those that stand elsewhere now.
        again = slice(0, middle) if shift else slice(start, after)
        turn_again = self._arrivals_moved(plan, base_after, again)
        turns = moves if self.arrived_keys is None else _STILL
        origin = self.origin
        # Slots by which the beginning moves on.
        lead = plan.freed if self.spare and from_left(plan) else 0
        old = slice(origin, origin + plan.length)
        new = slice(origin + lead, origin + lead + after)
        # 1. The compacted range, before anything moves over it.
        for layers in self._portions(middle - start):
            index = moves.index[self._rows[layers]]
            for part in self.parts():
                source, target = part[layers, :, :, old], part[layers, :, :, new]
                kept, angles = source.gather(3, _like(index, source)), turns.kept
                angles = angles if part is self.keys else None
                self._turn(kept, target[:, :, :, start:middle], angles, layers)
        # 2. What lies before it or behind it, unless it stays as it is.
        for layers in self._portions(
            max(start if lead or shift else 0, 0 if lead else after - middle)
        ):
            for part in self.parts():
                source, target = part[layers, :, :, old], part[layers, :, :, new]
                before, behind = (turns.before, turns.behind) if part is self.keys else (None, None)
                if lead or before is not None:
                    self._turn(source[:, :, :, :start], target[:, :, :, :start], before, layers)
                if not lead or behind is not None:
                    rest = source[:, :, :, plan.stop :]
                    self._turn(rest, target[:, :, :, middle:], behind, layers)
        self.origin += lead
        if self.arrived_keys is not None:
            self._turn_arrived(after, again, turn_again)

    def _compact_at_once(self, plan: CompactionPlan, base_after: int, first: int) -> None:
        """Carry out a plan of which the entries before ``first`` stay as they are."""
        assert self.arrived_keys is not None
        sources, after = plan.sources(), plan.length_after
        stood = np.take_along_axis(self.arrived_at[:, : plan.length], sources, axis=1)
        self.arrived_at[:, :after] = stood
        delta = np.arange(base_after, base_after + after) - stood
        kernels.close_gap(
            *(self.keys, self.values, self.arrived_keys),
            self._numbers(np.stack([sources, delta])[:, :, first:]),
            first,
            self._rows,
            self._frequencies(),
            self.rotary.pairing == "neighbours",
            self._turned_layers,
        )

    def _frequencies(self) -> torch.Tensor:
        """Angles per position where the keys are, which takes a device that has float64."""
        if self._inv_freq is None:
            self._inv_freq = self.rotary.inv_freq.to(self.keys.device)
        return self._inv_freq

    def rebase(self, held: int, base_before: int) -> None:
        """Turn all keys so that entry 0 stands at position 0."""
        if self.arrived_keys is not None:
            delta = np.arange(held) - self.arrived_at[:, :held]
            self._turn_arrived(held, slice(0, held), self._angles(delta))
            return
        angles = self._angles(np.array([[-base_before]]))
        for layers in self._portions(held):
            keys = self.entries(self.keys, held, layers)
            self._turn(keys, keys, angles, layers)

    def _turn_arrived(self, held: int, again: slice, angles: CosSin | None) -> None:
        """Turn some entries from the keys as they arrived."""
        assert self.arrived_keys is not None
        for layers in self._portions(again.stop - again.start):
            source = self.entries(self.arrived_keys, held, layers)[:, :, :, again]
            target = self.entries(self.keys, held, layers)[:, :, :, again]
            self._turn(source, target, angles, layers)

    def _moves_of(self, plan: CompactionPlan, shift: int) -> _Moves:
        """What carrying the plan out takes; uploaded once, since plans repeat."""
        found = self._moves.get(plan)
        if found is None or found.shift != shift:
            places = np.arange(plan.start, plan.start + plan.kept.shape[1])
            found = _Moves(
                shift,
                self._numbers(plan.kept),
                self._by(shift),
                self._angles_again(places - plan.kept + shift),
                self._by(shift - plan.freed),
            )
            self._moves[plan] = found
        return found

    def _arrivals_moved(self, plan: CompactionPlan, base_after: int, again: slice) -> CosSin | None:
        """Follow the plan in where keys arrived; what turns those of ``again`` from there."""
        if self.arrived_keys is None:
            return None
        held, after = self.arrived_at[:, : plan.length], plan.length_after
        self.arrived_at[:, :after] = np.take_along_axis(held, plan.sources(), axis=1)
        places = np.arange(base_after + again.start, base_after + again.stop)
        return self._angles(places - self.arrived_at[:, again])

    # Many tokens arrive: a layer's states are joined aside, and only what is kept enters the
    # buffers, so that memory stays at the budget of all layers plus the arrivals of one.

    def begin_bulk(
        self, plan: CompactionPlan, held: int, base_before: int, base_after: int
    ) -> BulkArrival:
        """Prepare a plan over ``held`` entries in the buffers and the ones that arrive now."""
        index = plan.sources()
        stood = np.broadcast_to(np.arange(plan.length) + base_before, (len(index), plan.length))
        if self.arrived_keys is not None:
            stood = np.concatenate([self.arrived_at[:, :held], stood[:, held:]], axis=1)
        stood = np.take_along_axis(stood, index, axis=1)
        delta = np.arange(plan.length_after) + base_after - stood
        self.arrived_at[:, : plan.length_after] = stood
        origin, self.origin = self.origin, 0  # what is kept fills the first slots
        angles = self.rotary.cos_sin(self._numbers(delta))
        return BulkArrival(self._numbers(index), angles, slice(origin, origin + held))

    def append_bulk(
        self, layer: int, keys: torch.Tensor, values: torch.Tensor, bulk: BulkArrival
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store of one layer what the plan keeps; returns everything, for this step's attention."""
        all_keys = torch.cat([self.keys[layer, :, :, bulk.slots], keys], dim=-2)
        all_values = torch.cat([self.values[layer, :, :, bulk.slots], values], dim=-2)
        row = self._first_row[layer]  # heads that differ are compacted in place
        index, (cos, sin) = bulk.index[row], bulk.cos_sin
        after = index.shape[0]
        source = all_keys
        if self.arrived_keys is not None:
            source = torch.cat([self.arrived_keys[layer, :, :, bulk.slots], keys], dim=-2)
        chosen = source.index_select(2, index)
        if self.arrived_keys is not None:
            self.arrived_keys[layer, :, :, :after] = chosen
        if self.rotary.turned_layers[layer]:
            chosen = self.rotary.turn(chosen, cos[row], sin[row])
        self.keys[layer, :, :, :after] = chosen
        self.values[layer, :, :, :after] = all_values.index_select(2, index)
        return all_keys, all_values

    # Turning.

    def _portions(self, entries: int) -> Iterator[slice]:
        """The layers, in portions of which so many entries fit a processor's cache; else all."""
        layers = count = len(self._rows)
        if self.keys.device.type == "cpu":
            entry = self.keys[0, :, :, :1]
            count = max(1, PORTION // max(1, entry.numel() * entry.element_size() * entries))
        for first in range(0, layers, count):
            yield slice(first, min(first + count, layers))

    def _numbers(self, rows: npt.NDArray[Any]) -> torch.Tensor:
        """``[..., P, n]`` whole numbers as a tensor where the keys are, without waiting there."""
        numbers = torch.from_numpy(rows.astype(np.int64))
        if self.keys.is_cuda:
            numbers = numbers.pin_memory()
        return numbers.to(self.keys.device, non_blocking=True)

    def _angles(self, delta: npt.NDArray[Any]) -> CosSin | None:
        """What turns keys by ``delta[P or 1, n or 1]`` positions; None when that is nothing."""
        return self.rotary.cos_sin(self._numbers(delta)) if delta.any() else None

    def _angles_again(self, delta: npt.NDArray[Any]) -> CosSin | None:
        """The same, remembered: most plans of a ladder have it in common."""
        if delta.size > LARGEST_TURN:
            return self._angles(delta)
        key = delta.shape, delta.tobytes()
        if key not in self._known_turns:
            if len(self._known_turns) >= MOST_TURNS:
                self._known_turns.clear()
            self._known_turns[key] = self._angles(delta)
        return self._known_turns[key]

    def _by(self, delta: int) -> CosSin | None:
        """What turns all keys by as much."""
        if delta not in self._same_turn:
            self._same_turn[delta] = self._angles(np.array([[delta]]))
        return self._same_turn[delta]

    def _turn(
        self, source: torch.Tensor, target: torch.Tensor, angles: CosSin | None, layers: slice
    ) -> None:
        """Fill ``target`` with the entries ``[l, B, H, n, D]`` of some layers, keys turned.

        The two may overlap.
        """
        if angles is None:
            target.copy_(source.clone() if _shared(source, target) else source)
            return
        cos, sin = angles
        if len(cos) > 1:  # a row a pattern
            cos, sin = cos[self._rows[layers]][:, None], sin[self._rows[layers]][:, None]
        if not self._all_turned:
            turned = self._turned_layers[layers, None, None, None, None]
            cos, sin = torch.where(turned, cos, 1.0), torch.where(turned, sin, 0.0)
        self.rotary.turn(source, cos, sin, out=target)


def bytes_per_entry(config: PretrainedConfig, dtype: torch.dtype) -> tuple[int, int]:
    """Bytes of one entry in all layers for one text, told from a model's configuration alone.

    Returns
    -------
    here, plain
        As ``KVBuffers`` stores it, and as a cache of keys and values and nothing else does.
    """
    text = config.get_text_config()
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    width = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    part = int(text.num_hidden_layers * heads * width * dtype.itemsize)
    return part * (2 if dtype in EXACT else 3), part * 2


def _shared(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two tensors lie in the same storage, so that one may be written over the other."""
    return one.untyped_storage().data_ptr() == other.untyped_storage().data_ptr()


def _entry_bytes(part: torch.Tensor) -> int:
    layers, _, heads, _, width = part.shape
    return layers * heads * width * part.element_size()


def from_left(plan: CompactionPlan) -> bool:
    """Whether less lies before the compacted range than behind it."""
    return plan.start < plan.length - plan.stop


def _like(index: torch.Tensor, part: torch.Tensor) -> torch.Tensor:
    """``index[L or 1, H or 1, k]`` in the shape that ``gather`` along entries of ``part`` wants."""
    layers, batch, heads, _, width = part.shape
    return index[:, None, :, :, None].expand(layers, batch, heads, -1, width)
