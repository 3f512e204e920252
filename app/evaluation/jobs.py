"""Measurements that go on by themselves: started, looked at, stopped, kept, found again.

Each has a thread, so a page that is reloaded finds it going on. One measures at a time, since two
would spoil each other's times; others wait. Whatever is finished lies in the store at once.
"""

from __future__ import annotations

import contextvars
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app.evaluation.estimate import ANY, in_words, keep_speed
from app.evaluation.measurement import OVER, Measurement
from app.evaluation.measuring import in_page_words, measure, open_store, public
from app.evaluation.report import contenders_in_words, report
from app.evaluation.requests import KINDS, TABS, Request
from app.runner import BORROWS_GPU, describe_problem, loading
from app.runs import RUNS, Runs
from app.snapshot import Message
from lacache_core.errors import LaCacheError, StoreUnavailableError
from lacache_core.evaluation.progress import Progress
from lacache_core.evaluation.tables import Row, as_csv, as_json, csv_rows, finite
from lacache_core.settings import default_model_id
from lacache_core.store import Store

LOG = logging.getLogger(__name__)
STORED = "measurement"
MOST_UNFINISHED = 8
REMEMBERED = 16
MOST_EARLIER = 20
UNWATCHED_SECONDS = 240.0
"""On a public Space a measurement that nobody has looked at for so long is stopped."""
KEEP_SECONDS = 5.0
"""How often what is not finished is kept, so that little is lost with the process."""
DISTURBED = (
    "A run went on beside it, on another page or in another tab: its times say little. Where they "
    "matter, measure again."
)
DEADLINE_SECONDS = 900.0
"""How long one may take there."""


class Measurements:
    """The measurements of this process and those in the store.

    Parameters
    ----------
    folder
        Of the store; None: where the command line has it.
    runs
        Where a run is put that somebody wants to look at.
    """

    def __init__(self, folder: Path | None = None, runs: Runs = RUNS) -> None:
        self._folder, self._runs = folder, runs
        self._lock = threading.Lock()
        self._by_id: OrderedDict[str, Measurement] = OrderedDict()
        self._turn = threading.Semaphore(1)
        self._going: Measurement | None = None  # whose turn it is
        self._complaints: list[str] = []
        self._store: Store | None = None

    @property
    def store(self) -> Store:
        """Where results are kept."""
        if self._store is None:
            self._store = open_store(self._complain, self._folder)
        return self._store

    def start(self, request: Request) -> Measurement:
        """Begin to measure.

        Raises
        ------
        LaCacheError
            When too many are waiting.
        """
        found = Measurement(request)
        with self._lock:
            unfinished = [m for m in self._by_id.values() if not m.over]
            if len(unfinished) >= MOST_UNFINISHED:
                raise LaCacheError(
                    f"{len(unfinished)} measurements are waiting or going on here already. "
                    "Please try again in a few minutes."
                )
            self._by_id[found.id] = found
            over = [m.id for m in self._by_id.values() if m.over]
            for name in over[: max(0, len(self._by_id) - REMEMBERED)]:
                del self._by_id[name]
        context = contextvars.copy_context()  # a borrowed GPU is counted to whoever asked
        threading.Thread(
            target=context.run, args=(self._work, found), name=f"measure {found.id}", daemon=True
        ).start()
        return found

    def look(self, name: object, version: object = None) -> Message | None:
        """How a measurement goes, and all of it where it has changed; None when it is unknown."""
        found = self._by_id.get(name) if isinstance(name, str) else None
        if found is None:
            kept = self._kept(name)
            return None if kept is None else {"id": name, "version": 0, **report(kept)}
        found.looked_at = time.monotonic()
        progress = found.progress
        going = {
            "id": found.id,
            "version": found.version,
            "state": {"name": found.state, "message": found.message},
            "ahead": self._ahead_of(found),
            "progress": None
            if progress is None or found.over
            else {
                "fraction": progress.fraction,
                "remaining": None
                if progress.remaining is None
                else f"{in_words(progress.remaining)} left",
                "what": progress.what,
            },
        }
        return going if version == found.version else {**found.whole(), **going}

    def _ahead_of(self, found: Measurement) -> Message | None:
        """The measurement that one waits for, so that its owner can stop it."""
        going = self._going
        if found.state != "waiting" or going is None or going.over or public():
            return None
        return {"id": going.id, "title": f"{TABS[going.request.kind]}: {going.request.about()}"}

    def stop(self, name: object) -> bool:
        """Stop a measurement; what is finished stays. False when it is not going."""
        found = self._by_id.get(name) if isinstance(name, str) else None
        if found is None or found.over:
            return False
        found.cancel.set()
        return True

    def stop_all(self) -> None:
        """Stop whatever goes on or waits."""
        with self._lock:
            for found in self._by_id.values():
                found.cancel.set()

    @property
    def active(self) -> int:
        """How many go on or wait."""
        with self._lock:
            return sum(not found.over for found in self._by_id.values())

    def earlier(self, kind: object, names: object) -> Message:
        """``found``: those of a kind that can be looked at again, the newest first; and ``notes``.

        On one's own machine all of the store; on a public Space those whose unguessable ids the
        browser knows.
        """
        if kind not in KINDS:
            return {"found": [], "notes": []}
        try:
            if public():
                ids = [n for n in names if isinstance(n, str)] if isinstance(names, list) else []
                found = [self.store.get(STORED, {"id": name}) for name in ids[:MOST_EARLIER]]
                records = [record for record in found if record is not None]
            else:
                records = self.store.list(STORED)
        except StoreUnavailableError as error:
            return {"found": [], "notes": [str(error)]}
        with self._lock:
            going = [] if public() else [m for m in self._by_id.values() if not m.over]
        kept = {m.id: m.kept() for m in reversed(going)}  # of some nothing is stored yet
        alive = set(kept)
        for record in records:
            kept.setdefault(record.key["id"], record.result)
        told = [
            {
                "id": name,
                "title": one["title"],
                "who": contenders_in_words(one["cells"], one["budgets"]),
                "created": one["created"],
                "state": one["state"] if name in alive else _ended(one["state"]),
            }
            for name, one in kept.items()
            if one.get("kind") == kind
        ]
        return {"found": told[:MOST_EARLIER], "notes": self._complaints}

    def form(self, name: object) -> Row:
        """What the controls said when a measurement began; empty where that is not known."""
        found = self._by_id.get(name) if isinstance(name, str) else None
        kept = found.kept() if found is not None else self._kept(name)
        return {} if kept is None else dict(kept.get("form") or {})

    def run_behind(self, name: object, record_id: object) -> Message | None:
        """The snapshot of a run behind a cell, by the measurement's id and the record's.

        Raises
        ------
        DamagedTraceError
            When its file is damaged; it has been set aside, and the text says so.
        """
        cell = next(
            (
                cell
                for cell in (self._cells(name) or [])
                if any(answer["record"] == record_id for answer in cell.get("answers", []))
            ),
            None,
        )
        if cell is None or not isinstance(record_id, str):
            return None
        trace = self.store.trace(record_id)
        if trace is None:
            return None
        place = f"{cell['length']:,} tokens, depth {cell['depth']:g}"
        return self._runs.take(trace, "measured", title=f"Needle: {cell['label']}, {place}.")

    def file(self, name: object, kind: object) -> Message | None:
        """The numbers as a file: ``{name, type, text}``; ``kind`` is ``csv`` or ``json``."""
        found = self._by_id.get(name) if isinstance(name, str) else None
        kept = found.kept() if found is not None else self._kept(name)
        if kept is None or kind not in ("csv", "json"):
            return None
        stem = f"{kept['kind']}-{kept['created'][:16].replace(':', '')}"
        if kind == "csv":
            return {
                "name": f"{stem}.csv",
                "type": "text/csv",
                "text": as_csv(csv_rows(kept["cells"])),
            }
        answer = {**kept["about"], "interrupted": kept["state"] != "done", "cells": kept["cells"]}
        return {"name": f"{stem}.json", "type": "application/json", "text": as_json(answer) + "\n"}

    def _cells(self, name: object) -> list[Row] | None:
        found = self._by_id.get(name) if isinstance(name, str) else None
        if found is not None:
            return found.cells
        kept = self._kept(name)
        return None if kept is None else kept["cells"]

    def _kept(self, name: object) -> Row | None:
        """A measurement as the store has it."""
        if not isinstance(name, str):
            return None
        try:
            record = self.store.get(STORED, {"id": name})
        except StoreUnavailableError:
            return None
        if record is None:
            return None
        kept = dict(record.result)
        if kept["state"] not in OVER:
            message = "It was cut off. What was finished is here."
            kept |= {"state": _ended(kept["state"]), "message": message}
        return kept

    def _complain(self, sentence: str) -> None:
        self._complaints.append(sentence)
        LOG.warning(sentence)

    def _keep(self, found: Measurement, state: str = "running", message: str = "") -> None:
        kept = {**found.kept(), "state": state, "message": message}
        try:
            self.store.put(STORED, {"id": found.id}, finite(kept))
        except StoreUnavailableError as error:
            if str(error) not in found.notes:
                found.notes.append(str(error))

    def _work(self, found: Measurement) -> None:
        """All of one measurement, in its thread; it is over when all of it is kept."""
        try:
            ending = self._in_turn(found)
        except LaCacheError as error:
            ending = "failed", in_page_words(error, found.request)
        except Exception as error:  # the user gets one sentence, the log the rest
            LOG.exception("a measurement failed")
            ending = "failed", describe_problem(error)
        try:
            if found.cells:
                self._keep(found, *ending)
        finally:
            found.say(*ending)

    def _in_turn(self, found: Measurement) -> tuple[str, str]:
        """Wait for others to end, then measure; state and message at the end."""
        while not self._turn.acquire(timeout=0.2):
            self._check(found, 0.0)
            if found.cancel.is_set():
                return "stopped", "Stopped before it began."
        self._going = found
        try:
            return self._measure(found)
        finally:
            self._going = None
            self._turn.release()

    def _measure(self, found: Measurement) -> tuple[str, str]:
        model = default_model_id()
        for message in loading(model, found.cancel, "measurement"):
            found.say("loading", message["state"]["message"])
            self._check(found, 0.0)
        if found.cancel.is_set():
            return "stopped", "Stopped before the model was loaded."
        started = time.monotonic()
        found.say("running", "")
        speed: list[float] = []

        def progress(told: Progress) -> None:
            found.progress = told
            self._check(found, time.monotonic() - started)
            left = told.total - told.done
            if told.remaining and left > 0:
                speed[:] = [told.remaining / left]

        items: Any = measure(
            found.request, model, self._folder, cancel=found.cancel, progress=progress
        )
        done, kept = 0, float("-inf")
        for item in items:
            if self._runs.active and DISTURBED not in found.notes:
                found.notes.append(DISTURBED)
            if isinstance(item, str):
                found.notes.append(item)
            elif isinstance(item, dict):
                found.about = item
            else:
                found.cells = item
                found.version += 1
                finished = sum(_finished(cell) for cell in item)
                if finished > done or time.monotonic() - kept > KEEP_SECONDS:
                    done, kept = finished, time.monotonic()
                    self._keep(found)
            self._check(found, time.monotonic() - started)
            if found.cancel.is_set() and BORROWS_GPU:
                items.close()  # the worker process does not see the event
        took = time.monotonic() - started
        if speed and took > 3:
            keep_speed(found.request, ANY, speed[0], self.store)
        for cell in found.cells:
            if cell.get("complete") and (pace := cell.get("tokens_per_second")):
                keep_speed(found.request, cell["policy"], 1 / pace, self.store)
        if found.cancel.is_set():
            return "stopped", found.reason or "Stopped. What is finished is kept."
        return "done", f"It took {in_words(took)}."

    def _check(self, found: Measurement, took: float) -> None:
        """On a public Space: stop what nobody watches and what takes too long."""
        if not public() or found.cancel.is_set():
            return
        if time.monotonic() - found.looked_at > UNWATCHED_SECONDS:
            found.reason = "Stopped, since nobody was watching."
        elif took > DEADLINE_SECONDS:
            minutes = DEADLINE_SECONDS / 60
            found.reason = f"Stopped: a measurement may take {minutes:.0f} minutes here."
        else:
            return
        found.cancel.set()


def _ended(state: str) -> str:
    """How a stored measurement ended; one that is said to go on has lost its process."""
    return state if state in OVER else "stopped"


def _finished(cell: Row) -> bool:
    return bool(cell.get("complete", True) or cell.get("ended") or cell.get("refused"))


MEASUREMENTS = Measurements()
"""Those of the app."""


def answer(work: Callable[[], Any]) -> Any:
    """The result, or ``{problem}`` in one sentence for whoever asked."""
    try:
        return work()
    except LaCacheError as error:
        return {"problem": str(error)}
    except Exception as error:
        LOG.exception("a request of the Evaluate page failed")
        return {"problem": describe_problem(error)}
