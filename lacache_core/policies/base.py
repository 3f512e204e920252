"""What a policy is: settings that can be bound to a model's shape and then asked for plans.

A policy decides what is kept and nothing else. It never sees a tensor; the same cache, engine and
trace carry out the plans of all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from lacache_core.errors import InvalidSettingError, UnsupportedOperationError
from lacache_core.ladder import MOST_ENTRIES
from lacache_core.plan import CompactionPlan, IntArray
from lacache_core.trace import FloatArray


@dataclass(frozen=True, eq=False)
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
    prompt
        Tokens of the prompt, as far as it is known: what the engine was given, or what came first.
    text
        ``int32[P, held]``: text position of every held entry, by pattern; None when nobody tells.
    mass
        ``float32[L, H, held + arriving]``: attention that each entry received, by layer and
        key-value head; which attention, the planner's ``attention`` says. None when it asks for
        none.
    """

    held: int
    arriving: int
    seen: int
    cursor: int
    prompt: int = 0
    text: IntArray | None = None
    mass: FloatArray | None = None

    @property
    def total(self) -> int:
        """Entries per layer with those that arrive."""
        return self.held + self.arriving

    def positions(self) -> IntArray:
        """Text position of every entry with those that arrive: ``int32[P or 1, total]``."""
        arriving = np.arange(self.seen, self.seen + self.arriving, dtype=np.int32)
        if not self.held:
            return arriving[None]
        if self.text is None:
            raise ValueError("Arrival.text: this policy needs the text positions of the entries")
        rows = np.broadcast_to(arriving, (self.text.shape[0], arriving.size))
        return np.concatenate([self.text, rows], axis=1)

    def seen_mass(self) -> FloatArray:
        """``mass``, which must be there.

        Raises
        ------
        UnsupportedOperationError
            When nobody recorded any.
        """
        if self.mass is None:
            raise UnsupportedOperationError(NEEDS_ATTENTION)
        return self.mass


NEEDS_ATTENTION = (
    "This policy decides by attention, and none was recorded: run it through Engine, or inside "
    "`with cache.observed(model):`."
)


@dataclass(frozen=True)
class AttentionNeed:
    """Whose attention a policy looks at; the query heads of a key-value head count by their mean.

    Attributes
    ----------
    queries
        Which of the arriving tokens' queries count, numbered from 0; an empty range: none of them.
        The mass of several queries is their sum.
    adds_up
        True: sums go on from step to step and follow their entries, until a step comes of which no
        query counts. False: each step stands alone.
    """

    queries: Callable[[Arrival], range]
    adds_up: bool


@dataclass(frozen=True)
class Planner:
    """A policy bound to a model's shape. It holds no state of a run: ``Arrival`` brings it.

    Attributes
    ----------
    row_of_layer
        ``int32[L]``: the pattern that each layer follows; patterns count from 0. A policy that
        keeps different entries in different heads gives ``int32[L, H]`` instead.
    capacity
        The most entries per layer that are held after a step; None when there is no limit.
    cursor
        The cursor of an empty cache.
    reserve
        How many of the newest entries are never dropped.
    plan
        What to keep once the tokens have arrived; None when all of it.
    attention
        Whose attention ``plan`` looks at; None when it looks at none.
    holds_prompt
        True when the prompt is held whole until its last token, so that memory reaches the length
        of the prompt before it comes down to ``capacity``.
    """

    row_of_layer: IntArray
    capacity: int | None
    cursor: int
    reserve: int
    plan: Callable[[Arrival], CompactionPlan | None]
    attention: AttentionNeed | None = None
    holds_prompt: bool = False

    @property
    def num_layers(self) -> int:
        return int(self.row_of_layer.shape[0])

    @property
    def num_patterns(self) -> int:
        return int(self.row_of_layer.max()) + 1

    @property
    def per_head(self) -> bool:
        """Whether the heads of a layer may hold different entries."""
        return self.row_of_layer.ndim == 2


class Policy(Protocol):
    """A frozen dataclass whose fields are the policy's settings."""

    name: ClassVar[str]
    label: ClassVar[str]
    about: ClassVar[str]

    def bind(self, num_layers: int, num_heads: int = 1) -> Planner:
        """Check the settings against a model's shape and get ready to plan.

        ``num_heads`` counts key-value heads; policies that treat all of them alike ignore it.

        Raises
        ------
        InvalidSettingError
            Naming the setting, its value and what is allowed.
        """
        ...


# What several policies share.


def one_row_per_head(num_layers: int, num_heads: int) -> IntArray:
    """``row_of_layer`` where every head of every layer follows a pattern of its own."""
    if num_heads == 1:
        return np.arange(num_layers, dtype=np.int32)
    return np.arange(num_layers * num_heads, dtype=np.int32).reshape(num_layers, num_heads)


def lowest(scores: npt.NDArray[Any], count: int) -> IntArray:
    """Places ``int32[P, count]`` of the least of ``scores[P, n]``; among equals the first."""
    return np.argsort(scores, axis=1, kind="stable")[:, :count].astype(np.int32)


def share_of(budget: int, share: float) -> int:
    """How many of ``budget`` entries a share is: rounded, at least 1."""
    return max(1, round(budget * share))


def check_whole(field: str, value: object, least: int) -> None:
    """Refuse what is not a whole number of at least ``least``, and what no cache can count to."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InvalidSettingError(field, value, f"a whole number, {least} or more")
    if value > MOST_ENTRIES:
        raise InvalidSettingError(field, value, f"a whole number, at most {MOST_ENTRIES:,}")


def check_share(field: str, value: object) -> None:
    """Refuse what is not a number from 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise InvalidSettingError(field, value, "a number from 0 to 1")
