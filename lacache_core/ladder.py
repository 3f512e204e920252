"""The ladder: its geometry, which configurations are possible, and the rule itself.

Pure numpy and standard library. Nothing here knows of models, tensors or pages. The rule is the one
of LaCache (Shi et al., ICML 2025, arXiv 2507.14204, section 3) as its published class carries it
out wherever that class is well behaved (public code: GATECH-EIC/LaCache).

Words: a *group* of ``W`` neighbouring entries is compacted together; each layer keeps ``K`` of them
that stand together, beginning at that layer's offset; a compaction frees ``R = W - K`` entries. The
*cursor* is the entry at which the part begins that the current pass has not compacted yet.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, fields
from functools import cached_property, lru_cache

import numpy as np

from lacache_core.errors import InvalidLadderError
from lacache_core.plan import CompactionPlan, GroupCompaction, IntArray

ARRANGEMENTS = ("interleaved", "staircase")
MOST_ENTRIES = 10**9
"""No setting is larger: positions are counted in 32 bits."""
MOST_TOKENS = 10_000_000
"""Tokens that ``retained`` goes through at most: some gigabytes for a ladder of many patterns."""


@dataclass(frozen=True)
class LadderConfig:
    """The settings of a ladder, independent of a model.

    Parameters
    ----------
    budget
        Entries per layer that the cache may hold (the reference's ``cache_size``).
    span
        In how many layers one token of a group survives.
    overlap
        How many layers two neighbouring tokens of a group share; less than ``span``.
    num_sink
        First tokens that are never dropped (the reference's ``start_size``).
    arrangement
        ``"interleaved"``: layer ``i`` keeps from offset ``i mod (R + 1)`` (the published code);
        ``"staircase"``: from ``floor(i (R + 1) / L)`` (the paper's figure).
    slack
        Further entries to free whenever a compaction is due, so that the tokens after it need none.
        They are freed in whole groups, by the same rule; 0 is the paper's behaviour.

    Raises
    ------
    InvalidLadderError
        When a value can be right for no model. ``bind`` refuses what a given model rules out.
    """

    budget: int
    span: int
    overlap: int = 0
    num_sink: int = 4
    arrangement: str = "interleaved"
    slack: int = 0

    def __post_init__(self) -> None:
        for item in fields(self):
            if item.name != "arrangement":
                value = _whole(item.name, getattr(self, item.name))
                if value > MOST_ENTRIES:
                    raise InvalidLadderError(item.name, value, f"at most {MOST_ENTRIES:,}")
                object.__setattr__(self, item.name, value)
        if self.arrangement not in ARRANGEMENTS:
            raise InvalidLadderError("arrangement", self.arrangement, " or ".join(ARRANGEMENTS))
        _at_least("budget", self.budget, 1)
        _at_least("span", self.span, 1)
        _at_least("num_sink", self.num_sink, 0)
        _at_least("slack", self.slack, 0)
        if not 0 <= self.overlap < self.span:
            raise InvalidLadderError(
                "overlap", self.overlap, f"from 0 to {self.span - 1} (less than `span` {self.span})"
            )

    def ladder(self, num_layers: int) -> Ladder:
        """This configuration on a model with ``num_layers`` decoder layers.

        Raises
        ------
        InvalidLadderError
            When the model has too few layers for the span, the overlap leaves nothing to free, or
            the budget cannot hold sinks, recent reserve and one group.
        """
        return Ladder(self, num_layers)


@dataclass(frozen=True)
class Ladder:
    """A configuration bound to a number of layers: geometry and rule.

    Attributes
    ----------
    group_width, kept_width, reduction
        ``W``, ``K`` and ``R`` of the method.
    effective_budget
        ``E = budget + floor(R / 2)``: the most entries per layer that are held after a step.
    groups_per_compaction
        How many groups are compacted when a compaction is due: 1, or more with slack.
    """

    config: LadderConfig
    num_layers: int
    group_width: int = field(init=False)
    kept_width: int = field(init=False)
    reduction: int = field(init=False)
    effective_budget: int = field(init=False)
    groups_per_compaction: int = field(init=False)

    def __post_init__(self) -> None:
        c = self.config
        layers = _whole("num_layers", self.num_layers)
        if layers < 2:
            raise InvalidLadderError("num_layers", layers, "2 or more: a ladder needs two layers")
        if c.span >= layers:
            raise InvalidLadderError(
                "span", c.span, f"from 1 to {layers - 1} (less than the model's {layers} layers)"
            )
        width, kept = group_geometry(layers, c.span, c.overlap)
        reduction = width - kept
        if reduction == 0:
            possible = overlaps_that_free(layers, c.span)
            raise InvalidLadderError(
                "overlap",
                c.overlap,
                f"{_ranges(possible)} for `span` {c.span} on {layers} layers; else every layer "
                f"keeps all {width} entries of a group, nothing is ever freed and memory grows",
            )
        values = {
            "num_layers": layers,
            "group_width": width,
            "kept_width": kept,
            "reduction": reduction,
            "effective_budget": c.budget + reduction // 2,
            "groups_per_compaction": 1 + -(-c.slack // reduction),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)
        self._check_room()

    def _check_room(self) -> None:
        """A restart pass must find a whole group between the sinks and the recent reserve."""
        c = self.config
        extra = (self.groups_per_compaction - 1) * self.reduction
        room = self.effective_budget - extra - c.num_sink - self.num_layers
        if room >= self.kept_width:
            return
        least = smallest_budget(self.num_layers, c.span, c.overlap, c.num_sink, c.slack)
        why = (
            f"{least} or more for `span` {c.span}, `overlap` {c.overlap}, `num_sink` {c.num_sink}, "
            f"`slack` {c.slack} on {self.num_layers} layers (sinks, the {self.num_layers} newest "
            "entries and one group must fit)"
        )
        raise InvalidLadderError("budget", c.budget, why)

    @cached_property
    def row_of_layer(self) -> IntArray:
        """Pattern of each layer, which is also its offset in a group: ``int32[L]`` in ``0..R``."""
        layer = np.arange(self.num_layers, dtype=np.int32)
        if self.config.arrangement == "interleaved":
            return layer % (self.reduction + 1)
        return layer * (self.reduction + 1) // self.num_layers

    @cached_property
    def _chosen(self) -> IntArray:
        """Entries of a group that pattern r keeps: K from offset r on. ``int32[R + 1, 1, K]``"""
        offset = np.arange(self.reduction + 1)[:, None, None]
        return (offset + np.arange(self.kept_width)).astype(np.int32)

    def next_group(self, length: int, cursor: int) -> tuple[int, bool]:
        """Where the group begins that is compacted at this length, and whether the pass restarts.

        ``length`` counts the entry that made the compaction due. With ``length = E + 1`` this is
        the rule as published; with slack the same test runs on the length that is left.
        """
        if length - 1 - cursor - self.num_layers >= self.kept_width:
            return cursor, False
        return self.config.num_sink, True

    def plan(self, held: int, arriving: int, cursor: int) -> CompactionPlan | None:
        """Fold the rule over ``arriving`` tokens that join ``held`` entries.

        The outcome depends on the number of tokens alone, not on how they are cut into arrivals.

        Returns
        -------
        CompactionPlan or None
            None when everything still fits.
        """
        if held + arriving <= self.effective_budget:
            return None
        if arriving == 1:
            return _plan_single(self, held, cursor)
        return self._fold(held, arriving, cursor)

    def _fold(self, held: int, arriving: int, cursor: int) -> CompactionPlan:
        """The rule over all arriving tokens: first what is due when, then the moves, in bulk."""
        total, width = held + arriving, self.group_width
        groups = self._schedule(held, arriving, cursor)
        chosen, pattern = self._chosen, self._chosen[:, 0, :1]
        if not any(group.restart for group in groups[1:]):
            # One run, before which nothing has moved: as below, without following every entry.
            start, count = groups[0].start, len(groups)
            side_by_side = start + width * np.arange(count, dtype=np.int32)[:, None]
            return CompactionPlan(
                length=total,
                start=start,
                stop=start + count * width,
                kept=(chosen + side_by_side).reshape(len(chosen), -1),
                row_of_layer=self.row_of_layer,
                cursor=groups[-1].cursor,
                groups=groups,
            )
        entry = np.tile(np.arange(held, dtype=np.int32), (len(pattern), 1))  # [R + 1, length]
        joined = held
        first, last = total, 0  # the range of entries that any group touched
        for run in _unbroken(groups):
            # 1. Whatever arrives before the run's last group joins every row at the end.
            entry = _joined(entry, joined, held + run[-1].arrived)
            joined = held + run[-1].arrived
            # 2. Each group starts where the one before left off, so before anything moves the
            # groups of a run lie side by side, and one selection serves them all.
            start, stop = run[0].start, run[0].start + len(run) * width
            first, last = min(first, start), max(last, int(entry[:, stop - 1].max()) + 1)
            body = entry[:, start:stop].reshape(len(pattern), len(run), width)
            stay = np.take_along_axis(body, chosen, axis=2).reshape(len(pattern), -1)
            entry = np.concatenate([entry[:, :start], stay, entry[:, stop:]], axis=1)
        entry = _joined(entry, joined, total)
        return CompactionPlan(
            length=total,
            start=first,
            stop=last,
            kept=entry[:, first : entry.shape[1] - (total - last)].copy(),
            row_of_layer=self.row_of_layer,
            cursor=groups[-1].cursor,
            groups=groups,
        )

    def _schedule(self, held: int, arriving: int, cursor: int) -> tuple[GroupCompaction, ...]:
        """Which groups are compacted when; that depends on lengths alone."""
        most, kept = self.effective_budget, self.kept_width
        groups: list[GroupCompaction] = []
        length, arrived = held, 0
        while length + arriving - arrived > most:
            # 1. Tokens that still fit join, and the one that does not.
            arrived += most + 1 - length
            length = most + 1
            # 2. Compact until there is room again (one group; several with slack).
            for _ in range(self.groups_per_compaction):
                start, restart = self.next_group(length, cursor)
                length -= self.reduction
                cursor = start + kept
                groups.append(
                    GroupCompaction(arrived, start, self.group_width, kept, cursor, restart)
                )
        return tuple(groups)


def _unbroken(groups: Iterable[GroupCompaction]) -> Iterator[list[GroupCompaction]]:
    """Cut where a pass restarts: within a run, each group starts at the cursor before it."""
    run: list[GroupCompaction] = []
    for group in groups:
        if run and group.restart:
            yield run
            run = []
        run.append(group)
    yield run


def _joined(entry: IntArray, first: int, last: int) -> IntArray:
    """Rows of entries with the numbers ``first .. last - 1`` at the end of each."""
    new = np.broadcast_to(np.arange(first, last, dtype=np.int32), (len(entry), last - first))
    return np.concatenate([entry, new], axis=1)


@lru_cache(maxsize=4096)
def _plan_single(ladder: Ladder, held: int, cursor: int) -> CompactionPlan:
    """Plans of one-token steps repeat: they depend on (length, cursor) alone."""
    return ladder._fold(held, 1, cursor)


def group_geometry(num_layers: int, span: int, overlap: int) -> tuple[int, int]:
    """Width ``W`` of a group and how many of its entries ``K`` each layer keeps."""
    step = span - overlap
    width = 1 + -(-(num_layers - span) // step)
    return width, min(-(-span // step), width)


def overlaps_that_free(num_layers: int, span: int) -> list[int]:
    """The overlaps for which a compaction frees anything at all, ascending."""

    def frees(overlap: int) -> bool:
        width, kept = group_geometry(num_layers, span, overlap)
        return kept < width

    return [overlap for overlap in range(span) if frees(overlap)]


def smallest_budget(
    num_layers: int, span: int, overlap: int = 0, num_sink: int = 4, slack: int = 0
) -> int:
    """The least budget for which the configuration is possible; the geometry must be."""
    width, kept = group_geometry(num_layers, span, overlap)
    reduction = width - kept
    extra = -(-slack // reduction) * reduction
    return max(1, kept + num_sink + num_layers + extra - reduction // 2)


def retained(config: LadderConfig, num_layers: int, tokens_seen: int) -> IntArray:
    """Which tokens each layer holds after ``tokens_seen`` tokens.

    Returns
    -------
    int32[num_layers, held]
        Text positions from 0, ascending in every row.

    Raises
    ------
    InvalidLadderError
        When the configuration is impossible on that many layers, or ``tokens_seen`` is negative
        or above ``MOST_TOKENS``.
    """
    ladder = config.ladder(num_layers)
    seen = _whole("tokens_seen", tokens_seen)
    if not 0 <= seen <= MOST_TOKENS:
        raise InvalidLadderError("tokens_seen", tokens_seen, f"from 0 to {MOST_TOKENS:,}")
    plan = ladder.plan(0, seen, config.num_sink)
    if plan is None:
        return np.tile(np.arange(seen, dtype=np.int32), (num_layers, 1))
    return plan.sources()[ladder.row_of_layer]


def _whole(name: str, value: object) -> int:
    """``value`` as an int; bools, fractions and words are refused by name."""
    as_index: Callable[[object], int] = operator.index  # type: ignore[assignment]
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        return as_index(value)
    except TypeError:
        raise InvalidLadderError(name, value, "a whole number") from None


def _at_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise InvalidLadderError(name, value, f"{least} or more")


def _ranges(numbers: Iterable[int]) -> str:
    """``[0, 1, 2, 5]`` as "0 to 2 or 5"."""
    runs: list[list[int]] = []
    for n in numbers:
        if runs and n == runs[-1][1] + 1:
            runs[-1][1] = n
        else:
            runs.append([n, n])
    return " or ".join(f"{a}" if a == b else f"{a} to {b}" for a, b in runs)
