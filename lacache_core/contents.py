"""What a cache holds and what is due: steps, plans and accounts, shared by the cache's layers.

Knows policies' plans and the buffers; knows nothing of transformers' cache interface.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from lacache_core.attention import AttentionTally
from lacache_core.buffers import BulkArrival, KVBuffers, from_left
from lacache_core.errors import UnsupportedOperationError
from lacache_core.plan import CompactionPlan, GroupCompaction
from lacache_core.policies import Arrival, AttentionNeed, Planner
from lacache_core.policies.base import NEEDS_ATTENTION
from lacache_core.rope import Rotary
from lacache_core.static_steps import StaticSteps
from lacache_core.stopwatch import timed
from lacache_core.trace import FloatArray


class Contents:
    """What a cache holds and what is due: shared by its layers.

    Kept apart from ``LadderCache`` so that nothing refers in a circle: the tensors are freed as
    soon as the cache is let go, not when the garbage collector comes by.
    """

    def __init__(
        self,
        planner: Planner,
        rotary: Rotary,
        absolute: bool,
        max_positions: int,
        static: bool = False,
    ) -> None:
        self.planner, self.rotary, self.absolute = planner, rotary, absolute
        self.static = static
        self.steps: StaticSteps | None = None  # with the buffers, when shapes are to stay
        # How far index positions may move on before all of them are turned back: as far as a cache
        # is long, where the model has so many positions to spare.
        capacity = 0 if planner.capacity is None else planner.capacity
        spare = 0 if absolute else max(0, max_positions - capacity) // 2
        self.most_base = min(capacity, spare)
        self.buffers: KVBuffers | None = None
        self.tally = AttentionTally(planner.num_layers)
        self.clear()

    def clear(self) -> None:
        self.held = self.seen = self.prompt = self.free_base = 0
        self.cursor = self.planner.cursor
        self.text = np.empty((self.planner.num_patterns, 0), dtype=np.int32)
        self.dropped = np.empty((self.planner.num_patterns, 0), dtype=np.int32)
        self.groups: tuple[GroupCompaction, ...] = ()
        self.due: CompactionPlan | None = None  # decided, not carried out yet
        self.undecided: Arrival | None = None  # waits for the attention of its last layer
        self.mass: FloatArray | None = None  # [L, H, held]: sums that go on to the next step
        self.tally.begin(range(0))
        self.next_layer = 0  # of the step under way; 0 between steps
        self.arriving = 0
        self.step_plan: CompactionPlan | None = None
        self.bulk: BulkArrival | None = None
        if self.steps is not None:
            self.steps.is_waiting = False
            self.steps.follow(0, 0)

    @property
    def base(self) -> int:
        """Position of entry 0."""
        return self.seen - self.held if self.absolute else self.free_base

    def settle(self) -> None:
        """Carry out the plan that is due, if any."""
        if self.steps is not None and self.steps.is_waiting:
            self.steps.is_waiting = False
            assert self.buffers is not None
            self.buffers.note_arrival(self.held, self.held + 1, self.base)
            self._plan_step(arriving=1)
            self._end_step()
        if self.undecided is not None:
            self._decide(self.undecided)
        plan, self.due = self.due, None
        if plan is not None and self.buffers is not None:
            with timed("compaction"):
                base = self.base
                self._account(plan)
                if from_left(plan) and self.most_base:
                    self.free_base += plan.freed
                self.buffers.compact(plan, base, self.base)
                if self.free_base > self.most_base:
                    self.buffers.rebase(self.held, self.free_base)
                    self.free_base = 0
            if self.planner.holds_prompt and self.planner.capacity is not None:
                self.buffers.shrink(self.planner.capacity + 1, self.held)
        if self.steps is not None:
            self.steps.follow(self.held, self.seen)

    def is_alike(self, arriving: int) -> bool:
        """Whether a step of so many tokens is one that looks like the next."""
        return self.steps is not None and arriving == 1 and not self.next_layer

    def _decide(self, arrival: Arrival) -> None:
        """Plan a step whose attention is known by now."""
        need, mass = self.planner.attention, None
        if self.tally.queries:
            with timed("observing"):
                mass = self.tally.take()
            if mass is None:
                raise UnsupportedOperationError(NEEDS_ATTENTION)
            if self.mass is not None:
                mass[:, :, : arrival.held] += self.mass
        self.undecided = None
        with timed("planning"):
            self.due = self.planner.plan(replace(arrival, mass=mass))
        self.mass = mass if need is not None and need.adds_up else None

    def _account(self, plan: CompactionPlan) -> None:
        """Follow a plan in everything but the tensors."""
        self.dropped = plan.dropped(self.text)
        self.groups = plan.groups
        self.text = plan.apply(self.text)
        if self.mass is not None:  # the sums follow their entries
            kept = plan.sources()[self.planner.row_of_layer]  # [L, n] or [L, H, n]
            kept = kept if self.planner.per_head else kept[:, None]
            self.mass = np.take_along_axis(self.mass, kept, axis=2)
        self.held, self.cursor = plan.length_after, plan.cursor

    def update(
        self, layer: int, keys: torch.Tensor, values: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if self.is_alike(keys.shape[-2]):
            if layer == 0:
                self.settle()
            return self.store(layer, keys, values)
        if layer == 0:
            self._begin_step(keys, values)
        elif layer != self.next_layer or keys.shape[-2] != self.arriving:
            raise UnsupportedOperationError(
                f"Layer {layer} was updated where layer {self.next_layer} was due; this cache "
                "needs every layer once per step, in order."
            )
        buffers = self._fitting(layer, keys)
        if self.bulk is None:
            out = buffers.append(layer, self.held, self.base, keys, values)
        else:
            out = buffers.append_bulk(layer, keys, values, self.bulk)
        self.next_layer = layer + 1
        if self.next_layer == self.planner.num_layers:
            self._end_step()
        return out

    def store(
        self, layer: int, keys: torch.Tensor, values: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """A layer of a step that looks like the next; what compilers may see of ``update``."""
        assert self.steps is not None
        return self.steps.store(self._fitting(layer, keys), layer, keys, values)

    def _fitting(self, layer: int, keys: torch.Tensor) -> KVBuffers:
        """The buffers, once it is sure that a layer's states fit them."""
        buffers = self.buffers
        assert buffers is not None
        if keys.device != buffers.keys.device or keys.shape[:2] != buffers.keys.shape[1:3]:
            raise UnsupportedOperationError(
                f"Layer {layer} brings keys of shape {tuple(keys.shape)} on {keys.device} where "
                f"{tuple(buffers.keys.shape[1:3])} rows and heads on {buffers.keys.device} are "
                "held; all layers must be alike, on one device, and the batch must stay the same."
            )
        return buffers

    def _begin_step(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        if self.next_layer and self.bulk is not None:
            raise UnsupportedOperationError(
                "The step before this one was interrupted while it was being compacted; call "
                "reset() and start the text again."
            )
        self.settle()
        self._plan_step(keys.shape[-2], batch=keys.shape[0])
        self.next_layer = 0
        if self.buffers is None:
            self._lay_out(keys, values)
        assert self.buffers is not None
        total, plan, limit = self.held + self.arriving, self.step_plan, self.buffers.limit
        in_place = plan is None or limit is None or total <= limit or self.planner.per_head
        self.buffers.reserve(total if in_place or plan is None else plan.length_after, self.held)
        self.bulk = None
        if plan is not None and not in_place:
            base = self.base
            after = base + plan.freed if self.absolute else 0
            self.bulk = self.buffers.begin_bulk(plan, self.held, base, after)
            self.free_base = 0

    def _lay_out(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Make the buffers, for states like these."""
        capacity = None if self.planner.holds_prompt else self.planner.capacity
        limit = None if capacity is None else capacity + 1
        spare = 0 if self.planner.capacity is None else max(8, self.planner.capacity // 16)
        rows = self.planner.row_of_layer
        if not self.static or limit is None:
            self.buffers = KVBuffers(keys, values, self.rotary, rows, limit, spare)
            return
        self.buffers = KVBuffers(keys, values, self.rotary, rows, limit, all_at_once=True)
        self.steps = StaticSteps(keys.device)
        self.steps.fix(self.buffers)

    def _plan_step(self, arriving: int, batch: int = 1) -> None:
        """So many tokens come: what the policy makes of them, unless attention must tell first."""
        self.arriving = arriving
        self.arrival = Arrival(
            held=self.held,
            arriving=self.arriving,
            seen=self.seen,
            cursor=self.cursor,
            prompt=self.prompt or self.arriving,
            text=self.text,
        )
        if self.planner.attention is None:
            with timed("planning"):
                self.step_plan = self.planner.plan(self.arrival)
        else:
            self._listen(self.planner.attention, batch)

    def _listen(self, need: AttentionNeed, batch: int) -> None:
        """Get ready for the attention that the plan of this step will be made by."""
        if batch != 1:
            raise UnsupportedOperationError(
                f"This policy decides by one text's attention, and {batch} came: give it one text "
                "at a time, without beams."
            )
        self.tally.begin(need.queries(self.arrival))
        if self.tally.queries and not self.tally.is_recording:
            raise UnsupportedOperationError(NEEDS_ATTENTION)

    def _end_step(self) -> None:
        arrived = np.arange(self.seen, self.seen + self.arriving, dtype=np.int32)
        rows = np.broadcast_to(arrived, (self.text.shape[0], arrived.size))
        self.text = np.concatenate([self.text, rows], axis=1)
        self.prompt = self.arrival.prompt
        self.held += self.arriving
        self.seen += self.arriving
        self.next_layer = 0
        self.dropped, self.groups = self.text[:, :0], ()
        if self.step_plan is not None:
            if self.bulk is not None:
                self._account(self.step_plan)  # the tensors are compacted already
            else:
                self.due = self.step_plan
        elif self.planner.attention is not None:
            self.undecided = self.arrival
        self.step_plan = self.bulk = None
