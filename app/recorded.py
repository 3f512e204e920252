"""The recorded runs that come with the app: real runs of the embedded model, kept as traces.

``scripts/record.py`` makes them. Knows where they lie, and nothing of how they are shown.
"""

from __future__ import annotations

import logging
from functools import lru_cache

from app.theme import ASSETS
from lacache_core.errors import DamagedTraceError
from lacache_core.manifest import Manifest
from lacache_core.trace import Trace

LOG = logging.getLogger(__name__)
FOLDER = ASSETS / "recordings"
MAX_BYTES = 300_000


@lru_cache(maxsize=1)
def recordings() -> tuple[tuple[str, Trace], ...]:
    """Id and trace of each, in order; one that cannot be read is left out and logged."""
    found = []
    for path in sorted(FOLDER.glob("*.npz")):
        try:
            trace = Trace.load(path, max_bytes=MAX_BYTES, max_unpacked=64 << 20)
            Manifest.of(trace)
        except DamagedTraceError as error:
            LOG.error("recording %s: %s", path.name, error)
            continue
        found.append((f"recorded-{path.stem.partition('-')[2]}", trace))
    return tuple(found)
