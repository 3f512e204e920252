"""What a compaction keeps: the one object that policies hand to the cache.

A plan speaks of *entries* (indices in the cache), never of tokens, tensors or models, so it depends
on the length and the cursor alone and can be cached, uploaded once, and applied to anything that
lies in cache order: numpy rows of text positions here, key and value tensors in ``cache.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int32]


class GroupCompaction(NamedTuple):
    """One group that was compacted, for the record that people look at.

    ``arrived`` says when, as a number of the tokens that the step brought (1-based): a bulk arrival
    folds many compactions into one plan, and each belongs to the token that made it necessary.
    """

    arrived: int
    start: int
    width: int
    kept: int
    cursor: int
    restart: bool


@dataclass(frozen=True, eq=False)
class CompactionPlan:
    """Which entries each layer keeps.

    Attributes
    ----------
    length
        Entries per layer before the compaction, the arrived ones included.
    start, stop
        The entries that the plan chooses among are ``start <= j < stop``. What lies before stays
        where it is; what lies after is kept whole and moves left by ``freed``.
    kept
        ``int32[P, k]``: for each distinct pattern the kept entries of that range, ascending.
    row_of_layer
        ``int32[L]``: the pattern that each layer follows; or ``int32[L, H]`` where the key-value
        heads of a layer follow patterns of their own.
    cursor
        The cursor once the plan has been carried out.
    groups
        The single group compactions that the plan adds up to, in order.
    """

    length: int
    start: int
    stop: int
    kept: IntArray
    row_of_layer: IntArray
    cursor: int
    groups: tuple[GroupCompaction, ...] = ()

    def __post_init__(self) -> None:
        self.kept.setflags(write=False)

    @classmethod
    def dropping(
        cls, length: int, entries: IntArray, row_of_layer: IntArray, *, arrived: int, cursor: int
    ) -> CompactionPlan:
        """The plan that drops ``entries[P, f]``, different ones in every row, and keeps the rest.

        ``length`` and ``cursor`` are as above, ``arrived`` as in ``GroupCompaction``. ``f`` is 1 or
        more, and the same for all patterns, since all layers must hold equally many.
        """
        start, stop = int(entries.min()), int(entries.max()) + 1
        stays = np.ones((entries.shape[0], stop - start), dtype=bool)
        np.put_along_axis(stays, entries - start, False, axis=1)
        kept = np.nonzero(stays)[1].reshape(entries.shape[0], -1).astype(np.int32) + start
        group = GroupCompaction(arrived, start, stop - start, kept.shape[1], cursor, False)
        return cls(length, start, stop, kept.astype(np.int32), row_of_layer, cursor, (group,))

    @property
    def freed(self) -> int:
        """Entries per layer that the plan frees."""
        return self.stop - self.start - int(self.kept.shape[1])

    @property
    def length_after(self) -> int:
        """Entries per layer once the plan has been carried out."""
        return self.length - self.freed

    def sources(self) -> IntArray:
        """Entry that each place is filled from: ``int32[P, length_after]``."""
        rows = self.kept.shape[0]
        before = np.broadcast_to(np.arange(self.start, dtype=np.int32), (rows, self.start))
        after = np.arange(self.stop, self.length, dtype=np.int32)
        return np.concatenate(
            [before, self.kept, np.broadcast_to(after, (rows, after.size))], axis=1
        )

    def apply(self, rows: IntArray) -> IntArray:
        """Carry the plan out on rows in cache order: ``[P, length] -> [P, length_after]``."""
        middle = rows[self._pattern, self.kept]
        return np.concatenate([rows[:, : self.start], middle, rows[:, self.stop :]], axis=1)

    def dropped(self, rows: IntArray) -> IntArray:
        """What of ``rows[P, length]`` the plan drops, in order: ``[P, freed]``."""
        return rows[self._pattern, self._gone]

    @cached_property
    def _pattern(self) -> IntArray:
        """The number of each pattern, to choose from it: ``[P, 1]``."""
        return np.arange(len(self.kept), dtype=np.int32)[:, None]

    @cached_property
    def _gone(self) -> IntArray:
        """Entries that are not kept, in order: ``int32[P, freed]``."""
        gone = np.ones((len(self.kept), self.stop - self.start), dtype=bool)
        gone[self._pattern, self.kept - self.start] = False
        return (np.nonzero(gone)[1] + self.start).astype(np.int32).reshape(-1, self.freed)
