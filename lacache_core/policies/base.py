"""What a policy is: settings that can be bound to a number of layers and then asked for plans.

A policy decides what is kept and nothing else. It never sees a tensor; the same cache, engine and
trace carry out the plans of all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Protocol

from lacache_core.plan import CompactionPlan, IntArray


@dataclass(frozen=True)
class Arrival:
    """What a policy may look at when tokens arrive.

    Attributes
    ----------
    held
        Entries per layer before they arrive.
    arriving
        How many arrive together.
    seen
        Tokens seen before they arrive.
    cursor
        The cursor that the last plan left behind.
    """

    held: int
    arriving: int
    seen: int
    cursor: int


@dataclass(frozen=True)
class Planner:
    """A policy bound to a number of layers. It holds no state of a run: ``Arrival`` brings it.

    Attributes
    ----------
    row_of_layer
        ``int32[L]``: the pattern that each layer follows; patterns count from 0.
    capacity
        The most entries per layer that are held after a step; None when there is no limit.
    cursor
        The cursor of an empty cache.
    reserve
        How many of the newest entries are never dropped.
    plan
        What to keep once the tokens have arrived; None when all of it.
    """

    row_of_layer: IntArray
    capacity: int | None
    cursor: int
    reserve: int
    plan: Callable[[Arrival], CompactionPlan | None]

    @property
    def num_layers(self) -> int:
        return int(self.row_of_layer.shape[0])

    @property
    def num_patterns(self) -> int:
        return int(self.row_of_layer.max()) + 1


class Policy(Protocol):
    """A frozen dataclass whose fields are the policy's settings."""

    name: ClassVar[str]
    label: ClassVar[str]

    def bind(self, num_layers: int) -> Planner:
        """Check the settings against a model's number of layers and get ready to plan.

        Raises
        ------
        InvalidSettingError
            Naming the setting, its value and what is allowed.
        """
        ...
