"""The store: found again, whole or not at all, damage set aside, several processes at once."""

import math
import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from lacache_core.errors import DamagedTraceError, StoreUnavailableError
from lacache_core.store import Store, results_folder
from lacache_core.trace import HELD, Trace

ROOT = Path(__file__).parents[2]


def make_trace(tokens=20, layers=3):
    return Trace(
        token_ids=np.arange(tokens, dtype=np.int32),
        joined_at=np.arange(tokens, dtype=np.int32),
        nll=np.zeros(tokens, dtype=np.float32),
        evicted_at=np.full((layers, tokens), HELD, dtype=np.int32),
        seen=np.arange(1, tokens + 1, dtype=np.int32),
        seconds=np.zeros(tokens, dtype=np.float32),
        compactions=np.empty((0, 7), dtype=np.int32),
        manifest={"note": "x"},
    )


@pytest.fixture
def said():
    return []


@pytest.fixture
def store(tmp_path, said):
    return Store(tmp_path / "results", say=said.append)


def test_a_result_is_found_again_by_its_key_in_whatever_order(store):
    put = store.put("needle", {"model": "m", "settings": {"span": 3}}, {"correct": 2}, make_trace())
    again = Store(store.folder).get("needle", {"settings": {"span": 3}, "model": "m"})
    assert again == put
    assert again.result == {"correct": 2}
    assert Store(store.folder).trace(again.id).manifest["note"] == "x"
    assert store.get("needle", {"model": "m", "settings": {"span": 4}}) is None
    assert store.get("reading", {"model": "m", "settings": {"span": 3}}) is None


def test_a_second_result_takes_the_place_of_the_first(store):
    store.put("a", {"k": 1}, {"x": 1}, make_trace())
    record = store.put("a", {"k": 1}, {"x": 2})
    assert [r.result for r in store.list()] == [{"x": 2}]
    assert store.trace(record.id) is None
    assert not list((store.folder / "traces").iterdir())


def test_list_and_delete(store):
    first, second = store.put("a", {"k": 1}, {}, make_trace()), store.put("b", {"k": 1}, {})
    assert [r.id for r in store.list()] == [second.id, first.id]
    assert [r.id for r in store.list("a")] == [first.id]
    assert store.num_bytes == first.num_bytes + second.num_bytes
    assert store.delete(first.id) and not store.delete(first.id)
    assert store.find(first.id) is None and store.trace(first.id) is None
    assert not list((store.folder / "traces").iterdir())


def test_nothing_is_kept_of_a_result_that_json_cannot_hold(store):
    with pytest.raises(ValueError):
        store.put("a", {"k": 1}, {"x": math.nan}, make_trace())
    assert store.list() == []
    assert not list((store.folder / "traces").iterdir())


def test_an_interrupted_write_leaves_the_old_trace(store, monkeypatch):
    record = store.put("a", {"k": 1}, {"x": 1}, make_trace(5))

    def half(self, file):
        file.write(b"half a file")
        raise KeyboardInterrupt

    monkeypatch.setattr(Trace, "save", half)
    with pytest.raises(KeyboardInterrupt):
        store.put("a", {"k": 1}, {"x": 2}, make_trace(9))
    assert store.find(record.id).result == {"x": 1}
    assert store.trace(record.id).num_tokens == 5
    assert len(list((store.folder / "traces").iterdir())) == 1


def test_above_the_limit_the_oldest_go_and_leftovers_are_swept(tmp_path):
    store = Store(tmp_path)
    sizes = [store.put("a", {"k": k}, {}, make_trace()).num_bytes for k in range(3)]
    old = store.folder / "traces" / ".writing-x.npz"
    old.write_bytes(b"")
    os.utime(old, (1, 1))
    small = Store(tmp_path, limit_bytes=2 * max(sizes) + 10)
    small.put("a", {"k": 3}, {}, make_trace())
    assert sorted(r.key["k"] for r in small.list()) == [2, 3]
    assert small.num_bytes <= small.limit_bytes
    assert len(list((store.folder / "traces").iterdir())) == 2
    tiny = Store(tmp_path, limit_bytes=1)
    tiny.put("a", {"k": 4}, {})
    assert [r.key["k"] for r in tiny.list()] == [4]  # the newest stays, however large


@pytest.mark.parametrize("damage", ["garbage", "cut", "foreign", "columns"])
def test_a_damaged_index_is_set_aside_and_named(store, said, damage):
    for k in range(200):
        store.put("a", {"k": k}, {"text": "x" * 200})
    index = store.folder / "index.sqlite"
    if damage == "garbage":
        index.write_bytes(b"no database at all" * 1000)
    elif damage == "cut":
        index.write_bytes(index.read_bytes()[: index.stat().st_size // 2])
    else:
        with sqlite3.connect(index) as connection:
            if damage == "foreign":
                connection.execute("PRAGMA user_version = 99")
            else:
                connection.execute("ALTER TABLE results RENAME COLUMN bytes TO weight")
        connection.close()
    again = Store(store.folder, say=said.append)
    assert again.list() == []
    assert again.put("a", {"k": 1}, {"x": 1}) and len(again.list()) == 1
    assert len(said) == 1
    aside = [f.name for f in store.folder.iterdir() if f.name.startswith("index.sqlite.damaged-")]
    assert len(aside) >= 1 and min(aside, key=len) in said[0]


def test_an_index_damaged_while_in_use_is_set_aside_by_the_next_call(store, said):
    store.put("a", {"k": 1}, {})
    (store.folder / "index.sqlite").write_bytes(b"no database at all" * 1000)
    assert store.list() == [] and len(said) == 1


def test_a_damaged_trace_is_set_aside_and_named(store):
    record = store.put("a", {"k": 1}, {"x": 1}, make_trace())
    file = store.folder / "traces" / f"{record.id}.npz"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(DamagedTraceError, match=f"{record.id}.npz.damaged-"):
        store.trace(record.id)
    assert store.trace(record.id) is None
    assert store.find(record.id).result == {"x": 1} and not store.find(record.id).has_trace


def test_a_trace_that_somebody_removed_is_gone_and_no_error(store):
    record = store.put("a", {"k": 1}, {}, make_trace())
    (store.folder / "traces" / f"{record.id}.npz").unlink()
    assert store.trace(record.id) is None


def test_a_folder_that_cannot_be_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailableError, match="LACACHE_RESULTS"):
        Store(tmp_path / "file").put("a", {}, {})


def test_where_results_are(monkeypatch, tmp_path):
    monkeypatch.setenv("LACACHE_HOME", str(tmp_path))
    monkeypatch.delenv("LACACHE_RESULTS", raising=False)
    assert results_folder() == tmp_path / "results"
    monkeypatch.setenv("LACACHE_RESULTS", str(tmp_path / "own"))
    assert Store().folder == tmp_path / "own"


def test_threads_share_one_store(store):
    def work(start):
        for k in range(start, start + 20):
            store.put("a", {"k": k}, {"x": k}, make_trace())

    threads = [threading.Thread(target=work, args=(s,)) for s in (0, 10, 20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(r.key["k"] for r in store.list()) == list(range(40))
    assert all(store.trace(r.id) is not None for r in store.list())


_WRITER = """
import sys
from lacache_core.store import Store
from test_store import make_trace
folder, first = sys.argv[1], int(sys.argv[2])
store = Store(folder, say=lambda text: print(text))
for k in range(first, first + 30):
    store.put("a", {"k": k}, {"x": k}, make_trace())
    assert store.get("a", {"k": k}).result == {"x": k}
"""


def test_processes_share_one_folder_even_when_its_index_is_damaged(tmp_path):
    (tmp_path / "index.sqlite").write_bytes(b"no database at all" * 1000)
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests/core'}"}
    running = [
        subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(tmp_path), str(first)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for first in (0, 20)
    ]
    ends = [process.communicate(timeout=120) for process in running]
    assert [process.returncode for process in running] == [0, 0], ends
    store = Store(tmp_path)
    assert sorted(r.key["k"] for r in store.list()) == list(range(50))
    assert sum(out.count("set aside") for out, _ in ends) == 1
    assert all(store.trace(r.id) is not None for r in store.list())
