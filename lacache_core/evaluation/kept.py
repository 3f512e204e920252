"""Measuring through a store: what was measured before is found again, what is new is kept.

A store that cannot be used costs the keeping, never the measurement.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lacache_core.errors import StoreUnavailableError
from lacache_core.store import Record, Store
from lacache_core.trace import Trace


class Keeper:
    """A store as measurements use it.

    Parameters
    ----------
    store
        None: nothing is found and nothing kept.
    fresh
        Measure again what is there already.
    say
        Told once in a sentence when the store cannot be used.
    """

    def __init__(
        self,
        store: Store | None = None,
        *,
        fresh: bool = False,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self._store, self._fresh, self._say = store, fresh, say

    def found(self, kind: str, key: Mapping[str, Any]) -> Record | None:
        """What was measured before under this key."""
        if self._store is None or self._fresh:
            return None
        try:
            return self._store.get(kind, key)
        except StoreUnavailableError as error:
            self._give_up(error)
            return None

    def keep(
        self,
        kind: str,
        key: Mapping[str, Any],
        result: Mapping[str, Any],
        trace: Trace | None = None,
    ) -> str:
        """Keep a result; its id, or "" when it could not be kept."""
        if self._store is None:
            return ""
        try:
            return self._store.put(kind, key, result, trace).id
        except StoreUnavailableError as error:
            self._give_up(error)
            return ""

    def _give_up(self, error: StoreUnavailableError) -> None:
        self._store = None
        if self._say is not None:
            self._say(str(error))
