"""One measurement: what was asked, how it goes, and what is there by now."""

from __future__ import annotations

import threading
import time
import uuid
from datetime import datetime, timezone

from app.evaluation.report import Message, report
from app.evaluation.requests import Request, command
from lacache_core.evaluation.progress import Progress
from lacache_core.evaluation.tables import Row, finite

OVER = ("done", "stopped", "failed")


class Measurement:
    """One measurement: how it goes and what is there by now."""

    def __init__(self, request: Request) -> None:
        self.id = uuid.uuid4().hex
        self.request = request
        self.cancel = threading.Event()
        self.state, self.message = "waiting", "Waiting for another measurement to end."
        self.progress: Progress | None = None
        self.cells: list[Row] = []
        self.about: Row = {}
        self.notes: list[str] = []
        self.created = datetime.now(timezone.utc).isoformat(timespec="seconds")
        self.version = 0
        self.looked_at = time.monotonic()
        self.reason = ""  # why it was stopped, where nobody pressed Stop
        self._told: tuple[int, Message] = (-1, {})

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self.state in OVER

    def say(self, state: str, message: str) -> None:
        """How it goes."""
        self.state, self.message = state, message
        self.version += 1

    def kept(self) -> Row:
        """All of it as it is stored; nothing of a text that somebody brought along."""
        return {
            "kind": self.request.kind,
            "title": self.request.about(max((c["length"] for c in self.cells), default=None)),
            "command": command(self.request),
            "form": dict(self.request.form),
            "grid": self._grid(),
            "budgets": [one.budget for one in self.request.competing()],
            "state": self.state,
            "message": self.message,
            "cells": self.cells,
            "about": self.about,
            "notes": self.notes,
            "created": self.created,
        }

    def _grid(self) -> Row | None:
        """Lengths and depths that are asked for, of a needle."""
        if self.request.kind != "needle":
            return None
        grid = self.request.grid
        return {"lengths": list(grid.lengths), "depths": list(grid.depths)}

    def whole(self) -> Message:
        """All of it for the page."""
        version = self.version
        if self._told[0] != version:
            told = {"id": self.id, "version": version, **report(finite(self.kept()))}
            self._told = (version, told)
        return self._told[1]
