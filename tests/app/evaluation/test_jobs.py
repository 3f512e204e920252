"""Measurements from the page: the command line's numbers, kept, stopped, found again, private."""

from __future__ import annotations

import csv
import io
import json
import time

import pytest
from tiny import random_ids

from app.evaluation import jobs
from app.evaluation.jobs import STORED, Measurements
from app.evaluation.requests import Request, Text, command, request_of
from app.runs import Runs
from lacache_core.cli import main
from lacache_core.engine import Engine
from lacache_core.errors import DamagedTraceError, LaCacheError
from lacache_core.evaluation.tasks import Grid

LADDER = "lacache:span=3,overlap=1,num_sink=2"
SECRET = "Nobody may read this but whoever wrote it. "
READ = Request("perplexity", ("full", LADDER), (24,), text=Text("essay"), tokens=60, stretch=20)
ASK = Request("needle", ("streaming_llm", LADDER), (0.5,), grid=Grid((400,), (0.0, 1.0), 2))
LONG = Request("endless", (LADDER,), (24,), tokens=400_000, stretch=100)


@pytest.fixture
def steps(monkeypatch):
    """Counts forward passes."""
    counted = []
    real = Engine._step

    def step(self, *arguments, **options):
        counted.append(1)
        return real(self, *arguments, **options)

    monkeypatch.setattr(Engine, "_step", step)
    return counted


def json_of(measurements, name):
    return json.loads(measurements.file(name, "json")["text"])


def from_command_line(request, capsys, model):
    words = command(request).split()[3:]
    assert main([*words, "--json", "--model", model, "--device", "cpu"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("request_", [READ, ASK], ids=["perplexity", "needle"])
def test_page_and_command_line_share_numbers_and_work(
    measurements, finish, steps, capsys, tiny, request_
):
    found = finish(measurements.start(request_))
    assert found["state"]["name"] == "done", found["state"]
    taken = len(steps)
    assert taken > 0
    answer = from_command_line(request_, capsys, tiny.id)
    assert len(steps) == taken  # nothing was measured twice
    mine = json_of(measurements, found["id"])
    assert mine["cells"] == answer["cells"] and mine["versions"] == answer["versions"]
    again = finish(measurements.start(request_))
    assert len(steps) == taken and json_of(measurements, again["id"])["cells"] == mine["cells"]


def test_endless_says_how_the_text_was_made(measurements, finish):
    request = Request("endless", ("full", LADDER), (24,), tokens=2300, stretch=500, read_chunk=100)
    found = finish(measurements.start(request))
    assert "Python's manual" in found["made"]
    assert any("2,048" in note for note in found["notes"])
    assert [row["cells"][3] for row in found["table"]["rows"]] == ["2,048", "2,300"]
    # Perplexities over different lengths do not compare: those of the tokens both have read do.
    assert found["table"]["columns"][2]["label"] == "Of the first 1,600"
    shared = [
        next(s["accumulated"] for s in cell["stretches"] if s["stop"] == 1600)
        for cell in json_of(measurements, found["id"])["cells"]
    ]
    assert [row["cells"][2] for row in found["table"]["rows"]] == [f"{x:,.3f}" for x in shared]


def test_files_have_the_numbers(measurements, finish):
    found = finish(measurements.start(READ))
    file = measurements.file(found["id"], "csv")
    rows = list(csv.DictReader(io.StringIO(file["text"])))
    assert [row["stop"] for row in rows] == ["21", "41", "61"] * 2
    assert file["name"].startswith("perplexity-") and file["name"].endswith(".csv")
    assert measurements.file(found["id"], "exe") is None
    assert measurements.file("nobody", "csv") is None


def test_progress_and_time_remaining(measurements):
    started = measurements.start(LONG)
    until = time.monotonic() + 60
    while time.monotonic() < until:
        told = measurements.look(started.id, -1)
        if told["progress"] and told["progress"]["remaining"] and started.cells:
            break
        time.sleep(0.05)
    assert 0 < told["progress"]["fraction"] < 1 and told["progress"]["remaining"].endswith(" left")
    assert "budget 24" in told["progress"]["what"]
    assert "figures" not in measurements.look(started.id, started.version) or started.cells
    measurements.stop(started.id)


def test_stop_keeps_what_is_finished(measurements, finish, folder):
    request = Request("endless", ("full", LADDER), (24,), tokens=400_000, read_chunk=256)
    started = measurements.start(request)  # the full cache ends at 2,048 tokens
    until = time.monotonic() + 60
    while len(started.cells) < 2 and time.monotonic() < until:
        time.sleep(0.02)
    assert measurements.stop(started.id)
    found = finish(started)
    assert found["state"]["name"] == "stopped" and "kept" in found["state"]["message"]
    full, ladder = json_of(measurements, started.id)["cells"]
    assert full["complete"] and not ladder["complete"] and ladder["tokens"] > 0
    assert not measurements.stop(started.id)
    # Another process finds the same.
    later = Measurements(folder, Runs([]))
    kept = later.look(started.id)
    assert kept["table"] == found["table"] and kept["state"] == found["state"]
    assert json_of(later, started.id)["cells"] == [full, ladder]


def test_what_a_process_did_not_end_is_said(measurements, finish, folder):
    found = finish(measurements.start(READ))
    record = measurements.store.get(STORED, {"id": found["id"]})
    measurements.store.put(STORED, {"id": found["id"]}, {**record.result, "state": "running"})
    kept = Measurements(folder, Runs([])).look(found["id"])
    assert kept["state"]["name"] == "stopped" and "cut off" in kept["state"]["message"]


def test_what_is_not_finished_survives_its_process(measurements, finish, folder, monkeypatch):
    monkeypatch.setattr(jobs, "KEEP_SECONDS", 0.0)
    started = measurements.start(LONG)
    until = time.monotonic() + 60
    while (
        not started.cells or len(started.cells[0]["stretches"]) < 3
    ) and time.monotonic() < until:
        time.sleep(0.02)
    later = Measurements(folder, Runs([]))  # of another process
    kept = later.look(started.id)
    assert kept["state"]["name"] == "stopped" and "cut off" in kept["state"]["message"]
    assert kept["table"]["rows"][0]["cells"][2].endswith(" of 400,000")
    assert [one["state"] for one in later.earlier("endless", [])["found"]] == ["stopped"]
    measurements.stop(started.id)
    finish(started)


def test_runs_beside_a_measurement_are_said(measurements, finish, monkeypatch):
    assert jobs.DISTURBED not in finish(measurements.start(READ))["notes"]
    run = measurements._runs.start("somebody")
    assert jobs.DISTURBED in finish(measurements.start(ASK))["notes"]
    run.active = False


def test_one_measures_at_a_time_and_too_many_are_refused(measurements, finish, monkeypatch):
    monkeypatch.setattr(jobs, "MOST_UNFINISHED", 2)
    first, second = measurements.start(LONG), measurements.start(READ)
    time.sleep(0.3)
    assert second.state == "waiting" and not second.cells
    with pytest.raises(LaCacheError, match="again in a few minutes"):
        measurements.start(READ)
    # It says what it waits for, so that somebody whose browser is gone can stop that.
    ahead = measurements.look(second.id)["ahead"]
    assert ahead["id"] == first.id and ahead["title"].startswith(
        "Endless: Python's manual, 400,000"
    )
    assert measurements.look(first.id)["ahead"] is None
    # What goes on or waits is in the list, though nothing of it is stored yet.
    for kind, one, state in (("endless", first, "running"), ("perplexity", second, "waiting")):
        until = time.monotonic() + 30
        while one.state != state and time.monotonic() < until:
            time.sleep(0.02)
        (listed,) = measurements.earlier(kind, [])["found"]
        assert (listed["id"], listed["state"]) == (one.id, state)
    monkeypatch.setenv("SPACE_ID", "somebody/space")
    assert measurements.look(second.id)["ahead"] is None
    assert measurements.earlier("endless", [])["found"] == []
    monkeypatch.delenv("SPACE_ID")
    measurements.stop(second.id)
    finish(second)
    assert second.message == "Stopped before it began."
    measurements.stop(first.id)
    assert finish(first)["state"]["name"] == "stopped"


@pytest.mark.parametrize(
    "request_, said",
    [
        (Request("needle", ("full",), (24,), grid=Grid((10,), (0.5,), 1)), "Lengths = 10"),
        (
            Request("perplexity", ("full",), (24,), text=Text("hub", dataset="no/such/set")),
            "no/such",
        ),
        (Request("perplexity", ("full",), (24,), text=Text("own", own="x")), "Your text"),
    ],
)
def test_what_is_impossible_is_said_in_words(measurements, finish, request_, said, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    found = finish(measurements.start(request_))
    assert found["state"]["name"] == "failed" and said in found["state"]["message"]
    assert found["table"]["rows"] == []


def test_some_contenders_impossible_the_others_go_on(measurements, finish):
    request = Request("perplexity", (LADDER, "lacache:span=40"), (24,), tokens=60)
    found = finish(measurements.start(request))
    assert found["state"]["name"] == "done"
    assert any("span = 40" in note for note in found["notes"])


def test_a_cell_opens_its_run_with_the_needle_marked(measurements, finish):
    found = finish(measurements.start(ASK))
    cell = found["cells"][found["table"]["rows"][1]["cell"]]
    answer = cell["answers"][0]
    snapshot = measurements.run_behind(found["id"], answer["record"])
    setup = snapshot["setup"]
    trial = next(
        a
        for c in json_of(measurements, found["id"])["cells"]
        for a in c["answers"]
        if a["record"] == answer["record"]
    )
    assert setup["fact"] == [trial["start"], trial["stop"] - 1]
    assert setup["needle"] == {"key": answer["key"], "answer": trial["answer"], "correct": False}
    said = "".join(snapshot["tokens"][trial["start"] : trial["stop"]])
    assert answer["key"] in said
    assert setup["origin"] == "measured" and setup["title"].startswith("Needle: LaCache")
    # What the map counts is what was measured.
    trace = measurements.store.trace(answer["record"])
    asked = int(trace.joined_at[trace.manifest["prompt_tokens"] - 1])
    held = trace.held_at(asked)[:, trial["start"] : trial["stop"]]
    assert held.mean() == pytest.approx(trial["needle_layers"])


def test_only_runs_of_a_measurement_are_opened(measurements, finish):
    needles, readings = finish(measurements.start(ASK)), finish(measurements.start(READ))
    record = needles["cells"][0]["answers"][0]["record"]
    reading = measurements.store.list("reading")[0].id
    assert measurements.run_behind(readings["id"], record) is None
    assert measurements.run_behind(needles["id"], reading) is None
    assert measurements.run_behind(None, record) is measurements.run_behind("x", record) is None
    assert measurements.run_behind(needles["id"], None) is None


def test_a_damaged_run_is_set_aside_and_named(measurements, finish, folder):
    found = finish(measurements.start(ASK))
    record = found["cells"][0]["answers"][0]["record"]
    (folder / "traces" / f"{record}.npz").write_bytes(b"not a trace")
    with pytest.raises(DamagedTraceError, match="set aside as .*damaged"):
        measurements.run_behind(found["id"], record)
    assert measurements.run_behind(found["id"], record) is None
    assert measurements.look(found["id"])["table"] == found["table"]


def test_a_damaged_index_is_set_aside_and_named(measurements, finish, folder):
    finish(measurements.start(READ))
    (folder / "index.sqlite").write_bytes(b"no index" * 1000)
    later = Measurements(folder, Runs([]))
    told = later.earlier("perplexity", [])
    assert told["found"] == [] and "set aside as index.sqlite.damaged" in told["notes"][0]


def test_a_store_that_cannot_be_used_costs_the_keeping_alone(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("LACACHE_MODEL", tiny.id)
    monkeypatch.setenv("LACACHE_DEVICE", "cpu")
    file = tmp_path / "file"
    file.write_text("")
    here = Measurements(file / "results", Runs([]))
    started = here.start(READ)
    while not started.over:
        time.sleep(0.02)
    found = here.look(started.id)
    assert found["state"]["name"] == "done" and len(found["table"]["rows"]) == 2
    assert any("cannot be kept" in note for note in found["notes"])
    assert here.earlier("perplexity", [])["notes"]


def test_earlier_measurements_of_this_machine(measurements, finish):
    found = finish(measurements.start(READ))
    finish(measurements.start(ASK))
    listed = measurements.earlier("perplexity", [])["found"]
    assert [one["id"] for one in listed] == [found["id"]]
    assert listed[0]["title"] == "The essay on memory, 60 tokens predicted"
    assert listed[0]["who"] == "Full cache, LaCache, span 3, overlap 1, num_sink 2; budget 24"
    assert measurements.earlier("nothing", [])["found"] == []


def test_a_measurement_knows_what_the_controls_said(measurements, finish):
    form = {"policies": ["full"], "tokens": 60, "source": "own", "own": SECRET * 9, "fresh": True}
    form |= {"read_chunk": 20, "num_sink": 4}
    found = finish(measurements.start(request_of("perplexity", form)))
    kept = {name: value for name, value in form.items() if name not in ("own", "fresh")}
    assert measurements.form(found["id"]) == kept
    measurements._by_id.clear()  # as after a restart
    assert measurements.form(found["id"]) == kept
    assert measurements.form("nobody") == measurements.form(None) == {}


def own_text():
    ids = random_ids(3)  # keeps the text of this test apart from others
    own = SECRET * 4 + str(ids.tolist())
    return Request("perplexity", (LADDER,), (24,), text=Text("own", own=own), tokens=100)


def test_visitors_of_a_space_do_not_see_one_another(measurements, finish, folder, monkeypatch):
    monkeypatch.setenv("SPACE_ID", "somebody/space")
    mine = finish(measurements.start(own_text()))
    assert measurements.earlier("perplexity", [])["found"] == []
    assert measurements.earlier("perplexity", ["x", None, 5])["found"] == []
    [listed] = measurements.earlier("perplexity", [mine["id"]])["found"]
    assert listed["id"] == mine["id"]
    # Nothing of the text lies on the disk, neither as words nor as a run.
    assert list((folder / "traces").iterdir()) == []
    for file in folder.rglob("*"):
        assert not file.is_file() or SECRET.split(".")[0].encode() not in file.read_bytes()


def test_on_ones_own_machine_runs_are_kept(measurements, finish, folder):
    finish(measurements.start(own_text()))
    assert len(list((folder / "traces").iterdir())) == 1


def test_on_a_space_what_nobody_watches_is_stopped(measurements, finish, monkeypatch):
    monkeypatch.setenv("SPACE_ID", "somebody/space")
    monkeypatch.setattr(jobs, "UNWATCHED_SECONDS", 0.3)
    found = finish(measurements.start(LONG), 60)
    assert found["state"] == {"name": "stopped", "message": "Stopped, since nobody was watching."}


def test_a_space_keeps_little(measurements, monkeypatch):
    monkeypatch.setenv("SPACE_ID", "somebody/space")
    assert measurements.store.limit_bytes <= 256 * 10**6
