"""Results that survive: an SQLite index and ``.npz`` traces in one folder.

A result is found again by its *key*, a mapping that says everything the result depends on, so that
a measurement that was stopped goes on where it was. Several processes and threads may share a
folder. What is damaged is set aside under another name, said in a sentence, and never stops
anybody. Knows nothing of what is measured.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from lacache_core.embedded import cache_home
from lacache_core.errors import DamagedTraceError, StoreUnavailableError
from lacache_core.trace import Trace

LIMIT_BYTES = 2 * 10**9
_FORMAT = 1  # of the index; an index of another format is set aside
_PATIENCE_SECONDS = 10.0
_LEFTOVER_SECONDS = 3600.0
_COLUMNS = "id, kind, key, result, created, bytes, has_trace"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS results (
  id TEXT PRIMARY KEY, kind TEXT NOT NULL, key TEXT NOT NULL, result TEXT NOT NULL,
  created REAL NOT NULL, bytes INTEGER NOT NULL, has_trace INTEGER NOT NULL
)
"""


@dataclass(frozen=True)
class Record:
    """One stored result.

    Attributes
    ----------
    id
        Digest of kind and key.
    kind
        What was measured.
    key, result
        As they were put in.
    created
        Seconds since 1970.
    num_bytes
        What it takes in the store, its trace included.
    has_trace
        Whether ``Store.trace`` has the run.
    """

    id: str
    kind: str
    key: dict[str, Any]
    result: dict[str, Any]
    created: float
    num_bytes: int
    has_trace: bool


def results_folder() -> Path:
    """Where results are kept: ``$LACACHE_RESULTS``, else a folder beside the models."""
    own = os.environ.get("LACACHE_RESULTS", "").strip()
    return Path(own).expanduser() if own else cache_home() / "results"


class Store:
    """The results in a folder; made when it is missing.

    Parameters
    ----------
    folder
        None: ``results_folder()``.
    limit_bytes
        When all results together take more, the oldest go.
    say
        Told in a sentence when something damaged was set aside; a Python warning by default.

    Raises
    ------
    StoreUnavailableError
        By every method, when the folder cannot be read or written.
    """

    def __init__(
        self,
        folder: str | Path | None = None,
        *,
        limit_bytes: int = LIMIT_BYTES,
        say: Callable[[str], None] = warnings.warn,
    ) -> None:
        self.folder = results_folder() if folder is None else Path(folder)
        self.limit_bytes, self._say = limit_bytes, say
        self._index = self.folder / "index.sqlite"
        self._traces = self.folder / "traces"
        self._lock = FileLock(self.folder / "index.lock", timeout=_PATIENCE_SECONDS)
        self._checked = False

    def put(
        self,
        kind: str,
        key: Mapping[str, Any],
        result: Mapping[str, Any],
        trace: Trace | None = None,
    ) -> Record:
        """Keep a result, in place of an earlier one with the same kind and key.

        ``key`` and ``result`` are anything JSON can hold. Either all of it is kept or nothing.
        """
        key_text, result_text = _canonical(key), _canonical(result)
        name = _digest(kind, key_text)
        with self._open() as index:
            size = len(key_text) + len(result_text)
            if trace is None:
                self._trace_file(name).unlink(missing_ok=True)
            else:
                size += self._write_trace(name, trace)
            row = (name, kind, key_text, result_text, time.time(), size, int(trace is not None))
            with index:
                index.execute(
                    f"INSERT OR REPLACE INTO results ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",
                    row,
                )
            self._keep_within_limit(index)
        return _record(row)

    def get(self, kind: str, key: Mapping[str, Any]) -> Record | None:
        """The result with this kind and key, or None."""
        return self.find(_digest(kind, _canonical(key)))

    def find(self, record_id: str) -> Record | None:
        """The result with this id, or None."""
        with self._open() as index:
            row = index.execute(
                f"SELECT {_COLUMNS} FROM results WHERE id = ?", (record_id,)
            ).fetchone()
        return None if row is None else _record(row)

    def list(self, kind: str | None = None) -> list[Record]:
        """All results, or those of a kind; the newest first."""
        with self._open() as index:
            rows = index.execute(
                f"SELECT {_COLUMNS} FROM results WHERE ?1 IS NULL OR kind = ?1 "
                "ORDER BY created DESC, id",
                (kind,),
            ).fetchall()
        return [_record(row) for row in rows]

    def trace(self, record_id: str) -> Trace | None:
        """The run behind a result; None when it was not kept, or is gone.

        Raises
        ------
        DamagedTraceError
            When the file is damaged; it has been set aside, and the text says where.
        """
        record = self.find(record_id)
        if record is None or not record.has_trace:
            return None
        file = self._trace_file(record_id)
        try:
            return Trace.load(file)
        except DamagedTraceError as error:
            with self._open() as index, index:
                index.execute("UPDATE results SET has_trace = 0 WHERE id = ?", (record_id,))
            if not file.exists():
                return None
            raise DamagedTraceError(
                f"The stored run {file.name} is damaged and was set aside as "
                f"{_set_aside(file).name}; measuring again makes a new one. ({error})"
            ) from error

    def delete(self, record_id: str) -> bool:
        """Forget a result and its trace; False when there is none."""
        with self._open() as index:
            return self._delete(index, record_id)

    @property
    def num_bytes(self) -> int:
        """What all results together take."""
        with self._open() as index:
            return _total(index)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """A connection for one operation: nothing is shared between threads or forks."""
        try:
            self._traces.mkdir(parents=True, exist_ok=True)
            try:
                connection = self._connect()
            except sqlite3.DatabaseError as error:
                if not _means_damage(error):
                    raise
                connection = self._replace_index()
            with closing(connection):
                yield connection
        except (OSError, sqlite3.Error) as error:
            self._checked = False  # if it is damage that shows only now, the next one sets it aside
            raise StoreUnavailableError(
                f"Results cannot be kept in {self.folder}: {error}. Make room there, or set "
                "LACACHE_RESULTS to a folder that can be written."
            ) from error

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._index, timeout=_PATIENCE_SECONDS)
        try:
            if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
                with self._lock, connection:
                    connection.execute("PRAGMA journal_mode = WAL")
                    connection.execute(_SCHEMA)
                    connection.execute(f"PRAGMA user_version = {_FORMAT}")
            connection.execute("PRAGMA synchronous = NORMAL")
            if not self._checked:
                self._check(connection)
                self._checked = True
        except BaseException:
            connection.close()
            raise
        return connection

    def _check(self, connection: sqlite3.Connection) -> None:
        """Look for damage before work relies on the index; the index is small."""
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version != _FORMAT:
            raise sqlite3.DatabaseError(f"its format is {version}, not {_FORMAT}")
        if (found := connection.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise sqlite3.DatabaseError(found)
        connection.execute(f"SELECT {_COLUMNS} FROM results LIMIT 1").fetchall()

    def _replace_index(self) -> sqlite3.Connection:
        """Set a damaged index aside and begin a new one; one process does it, the others wait."""
        with self._lock:
            try:
                return self._connect()  # another process may have replaced it meanwhile
            except sqlite3.DatabaseError as error:
                if not _means_damage(error):
                    raise
                aside = _set_aside(self._index)
                for suffix in ("-wal", "-shm"):  # they belong to the old index and would harm a new
                    leftover = self._index.with_name(self._index.name + suffix)
                    if leftover.exists():
                        leftover.rename(aside.with_name(aside.name + suffix))
                self._say(
                    f"The index of stored results, {self._index}, was damaged ({error}); it was "
                    f"set aside as {aside.name}, and a new one begun."
                )
                return self._connect()

    def _trace_file(self, record_id: str) -> Path:
        return self._traces / f"{record_id}.npz"

    def _write_trace(self, record_id: str, trace: Trace) -> int:
        """Write beside, then move into place: a reader sees the old file or the whole new one."""
        target = self._trace_file(record_id)
        handle, name = tempfile.mkstemp(dir=self._traces, prefix=".writing-", suffix=".npz")
        try:
            with os.fdopen(handle, "wb") as file:
                trace.save(file)
                file.flush()
                os.fsync(file.fileno())
            size = os.path.getsize(name)
            os.replace(name, target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        return size

    def _delete(self, index: sqlite3.Connection, record_id: str) -> bool:
        with index:
            done = index.execute("DELETE FROM results WHERE id = ?", (record_id,))
        self._trace_file(record_id).unlink(missing_ok=True)
        return done.rowcount > 0

    def _keep_within_limit(self, index: sqlite3.Connection) -> None:
        over = _total(index) - self.limit_bytes
        if over <= 0:
            return
        rows = index.execute("SELECT id, bytes FROM results ORDER BY created, id").fetchall()
        for record_id, size in rows[:-1]:  # the newest stays, however large
            if over <= 0:
                break
            self._delete(index, record_id)
            over -= size
        self._sweep({row[0] for row in index.execute("SELECT id FROM results")})

    def _sweep(self, known: set[str]) -> None:
        """Remove files that belong to no result, such as those of an interrupted write."""
        for file in self._traces.iterdir():
            try:
                old = time.time() - file.stat().st_mtime > _LEFTOVER_SECONDS
                if old and file.name.removesuffix(".npz") not in known:
                    file.unlink()
            except FileNotFoundError:
                continue  # another process was faster


def _canonical(values: Mapping[str, Any]) -> str:
    return json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _digest(kind: str, key_text: str) -> str:
    return hashlib.sha256(f"{kind}\n{key_text}".encode()).hexdigest()[:32]


def _record(row: tuple[Any, ...]) -> Record:
    name, kind, key, result, created, size, has_trace = row
    return Record(name, kind, json.loads(key), json.loads(result), created, size, bool(has_trace))


def _total(index: sqlite3.Connection) -> int:
    return int(index.execute("SELECT COALESCE(SUM(bytes), 0) FROM results").fetchone()[0])


def _means_damage(error: sqlite3.DatabaseError) -> bool:
    """Damage, and not a lock, a full disk or a missing right, which have classes of their own."""
    missing = isinstance(error, sqlite3.OperationalError) and "no such" in str(error)
    return type(error) is sqlite3.DatabaseError or missing


def _set_aside(file: Path) -> Path:
    """Rename to a name that says so and is not taken."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    for count in range(1000):
        aside = file.with_name(f"{file.name}.damaged-{stamp}{f'-{count}' * bool(count)}")
        if not aside.exists():
            file.rename(aside)
            return aside
    raise OSError(f"too many damaged files beside {file}")
