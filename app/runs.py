"""The runs that this process knows: going on, over, recorded, or opened from a file.

All of them can be looked at and exported alike. Memory stays bounded: the oldest that are over are
let go first. Knows nothing of models or of how a run is made.
"""

from __future__ import annotations

import base64
import binascii
import io
import threading
import uuid
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Protocol

from app.offline import page
from app.places import Place
from app.recorded import recordings
from app.snapshot import Message, kept_snapshot
from lacache_core.errors import DamagedTraceError
from lacache_core.trace import Trace

KEPT_RUNS = 24
KEPT_BYTES = 256 << 20
MAX_OPEN_BYTES = 24 << 20
"""The largest file that is opened; the browser asks before it sends one."""
MAX_UNPACKED_BYTES = 96 << 20


class Source(Protocol):
    """Where what is known of a run comes from."""

    def snapshot(self) -> Message:
        """All that can be told by now, as a message."""
        ...

    def trace(self) -> Trace:
        """The same as a trace."""
        ...

    @property
    def nbytes(self) -> int:
        """About how much memory it takes."""
        ...


@dataclass(frozen=True, eq=False)
class Kept:
    """A run that is over, as a trace."""

    id: str
    origin: str
    kept: Trace

    def snapshot(self) -> Message:
        return kept_snapshot(self.kept, run=self.id, origin=self.origin)

    def trace(self) -> Trace:
        return self.kept

    @property
    def nbytes(self) -> int:
        return self.kept.nbytes


@dataclass(eq=False)
class Run:
    """One run: how to stop it, and what it has told so far."""

    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    cancel: threading.Event = field(default_factory=threading.Event)
    source: Source | None = None
    place: Place | None = None
    active: bool = True


class Runs:
    """The runs of this process: the newest of each session, recorded ones, and a few to look at."""

    def __init__(self, recorded: Iterable[tuple[str, Trace]] | None = None) -> None:
        self._lock = threading.Lock()
        self._by_id: OrderedDict[str, Run] = OrderedDict()
        self._of_session: dict[str, Run] = {}
        self._recorded = recorded

    def place_of(self, session: str | None) -> Place | None:
        """The place of the session's run, which a new one would take over."""
        with self._lock:
            run = self._of_session.get(session) if session is not None else None
        return None if run is None else run.place

    def start(self, session: str | None, place: Place | None = None) -> Run:
        """A new run; one that the session still has going is told to stop."""
        run = Run(place=place)
        with self._lock:
            self._by_id[run.id] = run
            if session is not None:
                if before := self._of_session.get(session):
                    before.cancel.set()
                self._of_session[session] = run
            self._let_go()
        return run

    def stop(self, key: str | None) -> bool:
        """Stop the run with this id, or the session's run; False when there is none going."""
        if key is None:
            return False
        with self._lock:
            run = self._by_id.get(key) or self._of_session.get(key)
        if run is None or not run.active:
            return False
        run.cancel.set()
        return True

    def forget(self, session: str | None) -> None:
        """A session is gone: stop its run, which from then on is one among those that are over."""
        if session is not None:
            self.stop(session)
            with self._lock:
                self._of_session.pop(session, None)

    def stop_all(self) -> None:
        """Stop whatever goes on."""
        with self._lock:
            for run in self._by_id.values():
                run.cancel.set()

    @property
    def active(self) -> int:
        """How many runs are going."""
        with self._lock:
            return sum(run.active for run in self._by_id.values())

    def recordings(self) -> list[Kept]:
        """The recorded runs that come with the app, in the order in which they are offered."""
        found = recordings() if self._recorded is None else self._recorded
        return [Kept(name, "recorded", trace) for name, trace in found]

    def snapshot(self, run_id: object) -> Message | None:
        """All that a run has told so far; None when it is unknown or has not begun."""
        source = self._source(run_id)
        return None if source is None else source.snapshot()

    def trace(self, run_id: object) -> Trace | None:
        """The same as a trace; None when the run is unknown or has not begun."""
        source = self._source(run_id)
        return None if source is None else source.trace()

    def open(self, name: str, data: str) -> Message:
        """Take in a saved trace, given as base64; its snapshot.

        Raises
        ------
        DamagedTraceError
            Naming what is wrong with the file.
        """
        if len(data) > MAX_OPEN_BYTES * 4 // 3 + 4:
            raise DamagedTraceError(
                f"This file is larger than the {MAX_OPEN_BYTES >> 20} MiB that can be opened."
            )
        try:
            file = io.BytesIO(base64.b64decode(data, validate=True))
        except (binascii.Error, ValueError) as error:
            raise DamagedTraceError("The file did not arrive whole. Please try again.") from error
        trace = Trace.load(file, max_bytes=MAX_OPEN_BYTES, max_unpacked=MAX_UNPACKED_BYTES)
        return self.take(trace, "opened", trace.manifest.get("title") or name[:100])

    def take(self, trace: Trace, origin: str, title: str) -> Message:
        """Take in a run that is over, to be looked at under that title; its snapshot.

        Raises
        ------
        DamagedTraceError
            When its manifest does not say what is needed to show it.
        """
        run = Run(active=False)
        titled = replace(trace, manifest={**trace.manifest, "title": title})
        run.source = Kept(run.id, origin, titled)
        snapshot = run.source.snapshot()  # refuses a manifest that cannot be shown
        with self._lock:
            self._by_id[run.id] = run
            self._let_go()
        return snapshot

    def export(self, run_id: object, kind: object) -> Message | None:
        """A run as a file: ``{name, type, base64}``; None when the run is unknown.

        ``kind`` is ``npz`` (the trace) or ``html`` (the instrument with the run in it).
        """
        source = self._source(run_id)
        if source is None or kind not in ("npz", "html"):
            return None
        trace = source.trace()
        if kind == "npz":
            data, media = trace.to_bytes(), "application/octet-stream"
        else:
            kept = kept_snapshot(trace, run="saved", origin=_origin(source))
            data, media = page(kept), "text/html"
        return {
            "name": f"{file_name(trace)}.{kind}",
            "type": media,
            "base64": base64.b64encode(data).decode("ascii"),
        }

    def _source(self, run_id: object) -> Source | None:
        if not isinstance(run_id, str):
            return None
        with self._lock:
            if run := self._by_id.get(run_id):
                return run.source
        return next((kept for kept in self.recordings() if kept.id == run_id), None)

    def _let_go(self) -> None:
        """Drop the oldest runs that are over until few enough and small enough ones are left."""
        over = [run for run in self._by_id.values() if not run.active]
        room = KEPT_BYTES
        for k, run in enumerate(reversed(over)):
            room -= run.source.nbytes if run.source is not None else 0
            # The newest stays whatever it takes: somebody is just looking at it.
            if k >= KEPT_RUNS or (room < 0 and k > 0):
                del self._by_id[run.id]


def _origin(source: Source) -> str:
    return source.origin if isinstance(source, Kept) else "opened"


def file_name(trace: Trace) -> str:
    """A name for a file, of letters, digits and hyphens alone, whatever the manifest says."""
    manifest = trace.manifest
    words = f"run {manifest.get('policy', '')} {manifest.get('created', '')[:16]}"
    if not manifest.get("stop_reason"):  # it was going on: docs of lacache_core.manifest
        words += f" partial {trace.num_tokens} tokens"
    kept = "".join(c if c.isascii() and c.isalnum() else "-" for c in words.lower())
    return "-".join(part for part in kept.split("-") if part)[:80]


RUNS = Runs()
