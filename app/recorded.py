"""The recorded runs that come with the app: real runs of the embedded model, kept as traces.

``scripts/record.py`` makes them. Knows where they lie, and nothing of how they are shown.
"""

from __future__ import annotations

import logging
from functools import lru_cache
from pathlib import Path

from app.theme import ASSETS
from lacache_core.errors import DamagedTraceError
from lacache_core.manifest import Manifest
from lacache_core.trace import Trace

LOG = logging.getLogger(__name__)
FOLDER = ASSETS / "recordings"
PAIR = ("a-window", "b-ladder")
"""Files of two runs of one text, in the folder ``pair``."""
MAX_BYTES = 300_000


@lru_cache(maxsize=1)
def recordings() -> tuple[tuple[str, Trace], ...]:
    """Id and trace of each, in order; one that cannot be read is left out and logged."""
    found = []
    for path in sorted(FOLDER.glob("*.npz")):
        if trace := _load(path):
            found.append((f"recorded-{path.stem.partition('-')[2]}", trace))
    return tuple(found)


@lru_cache(maxsize=1)
def recorded_pair() -> tuple[tuple[str, Trace], ...]:
    """The same of two runs of one text under two policies; empty when one cannot be read."""
    found = [(f"pair-{name}", _load(FOLDER / "pair" / f"{name}.npz")) for name in PAIR]
    return (
        tuple((name, trace) for name, trace in found if trace) if all(t for _, t in found) else ()
    )


def _load(path: Path) -> Trace | None:
    try:
        trace = Trace.load(path, max_bytes=MAX_BYTES, max_unpacked=64 << 20)
        Manifest.of(trace)
    except (DamagedTraceError, OSError) as error:
        LOG.error("recording %s: %s", path.name, error)
        return None
    return trace
