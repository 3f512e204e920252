"""perplexity, needle and endless on the command line: contract, tables, CSV, Ctrl+C, bad input."""

import csv
import io
import json
import os
import signal

import pytest

from lacache_core.cli import main
from lacache_core.engine import Engine
from lacache_core.evaluation.contenders import contenders
from lacache_core.evaluation.perplexity import perplexity
from lacache_core.evaluation.tasks import TASKS
from lacache_core.store import Store
from lacache_core.text import encode

LADDER = ["--span", "3", "--overlap", "1", "--sinks", "2"]
TEXT = "The ladder keeps different tokens in different layers, again and again. " * 3


@pytest.fixture(autouse=True)
def results(tmp_path, monkeypatch):
    """A store of the test's own."""
    monkeypatch.setenv("LACACHE_RESULTS", str(tmp_path / "results"))
    return Store(tmp_path / "results")


@pytest.fixture
def text(tmp_path):
    file = tmp_path / "text.txt"
    file.write_text(TEXT)
    return str(file)


@pytest.fixture
def run(capsys, tiny):
    """Runs a command on the tiny model; gives status, stdout, stderr."""

    def run(*arguments):
        status = main([str(a) for a in arguments] + ["--model", tiny.id, "--device", "cpu"])
        out, err = capsys.readouterr()
        return status, out, err

    return run


def test_the_contract_of_needle(run, results):
    command = "needle --policy lacache --policy streaming_llm --budget 0.5 --lengths 400,500"
    command += " --depths 0,0.5,1 --seeds 2 --json"
    status, out, err = run(*command.split(), *LADDER)
    assert (status, err) == (0, "")
    answer = json.loads(out)
    cells = answer["cells"]
    assert [(c["policy"], c["length"], c["depth"]) for c in cells] == [
        (p, n, d) for n in (400, 500) for d in (0, 0.5, 1) for p in ("lacache", "streaming_llm")
    ]
    for cell in cells:
        assert cell["trials"] == len(cell["answers"]) == 2
        assert cell["correct"] == sum(t["correct"] for t in cell["answers"])
        assert 0 <= cell["needle_layers"] <= 1
        assert cell["budget"] == cell["length"] // 2
        for trial in cell["answers"]:
            assert results.trace(trial["record"]).manifest["needle"]["key"] == trial["key"]
    window = [c["needle_layers"] for c in cells if c["policy"] == "streaming_llm"]
    assert window[0] < 0.1 and window[2] == 1  # gone at the beginning, whole at the end
    status, again, _ = run(*command.split(), *LADDER)
    assert status == 0 and json.loads(again) == answer


def test_needle_as_table_and_csv(run):
    command = ["needle", "--lengths", "300,3000", "--depths", "1", "--seeds", "1", "--chunk", "512"]
    status, out, _ = run(*command, *LADDER, "--policy", "full")
    assert status == 0
    assert out.splitlines()[0].split()[:2] == ["policy", "budget"]
    assert "0 of 1" in out and "100%" in out
    assert "Full cache, 3,000 tokens: " in out and "2,048 tokens" in out
    status, out, _ = run(*command, *LADDER, "--policy", "full", "--csv", "--no-store")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [(r["policy"], r["length"], r["trials"]) for r in rows] == [
        ("full", "300", "1"),
        ("full", "3000", "0"),
    ]


def test_perplexity_gives_the_numbers_of_the_library(run, text, tiny):
    command = ["perplexity", "--text", text, "--tokens", "100", "--stretch", "25", "--budget", "24"]
    status, out, err = run(*command, "--budget", "0.5", *LADDER, "--json")
    assert (status, err) == (0, "")
    ids = encode(tiny.tokenizer, TEXT)[:101]
    grid = contenders(
        ["full", "streaming_llm", "lacache"],
        [24, 0.5],
        {"span": 3, "overlap": 1, "num_sink": 2},
    )
    expected = {(r.policy, r.budget): r for r in perplexity(tiny, ids, grid, stretch=25)}
    cells = {(c["policy"], c["budget"]): c for c in json.loads(out)["cells"]}
    assert cells.keys() == expected.keys() and len(cells) == 5
    for key, cell in cells.items():
        assert cell["perplexity"] == pytest.approx(expected[key].perplexity, rel=1e-6)
        assert [s["stop"] for s in cell["stretches"]] == [26, 51, 76, 101]
        assert cell["complete"] and cell["held"] == expected[key].held
    status, out, _ = run(*command, *LADDER, "--csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert len(rows) == 12 and json.loads(rows[-1]["settings"])["span"] == 3
    status, out, _ = run(*command, *LADDER)
    assert status == 0 and len(out.splitlines()) == 4
    assert "LaCache, span 3, overlap 1, num_sink 2" in out


def test_endless_says_how_the_text_was_made_and_where_positions_end(run, text):
    command = ["endless", "--text", text, "--tokens", "2100", "--stretch", "300", "--budget", "24"]
    command += ["--read-chunk", "100", *LADDER]
    status, out, _ = run(*command, "--json")
    answer = json.loads(out)
    assert status == 0 and "216 tokens" in answer["text"] and "manual" in answer["text"]
    by_policy = {c["policy"]: c for c in answer["cells"]}
    assert by_policy["full"]["tokens"] == 2048 and "2,048" in by_policy["full"]["ended"]
    assert by_policy["lacache"]["tokens"] == by_policy["streaming_llm"]["tokens"] == 2100
    assert len({s["held"] for s in by_policy["streaming_llm"]["stretches"]}) == 1
    status, out, _ = run(*command)
    assert status == 0 and "Python's manual" in out and "stops after 2,048" in out


@pytest.mark.skipif(os.name == "nt", reason="signals of another kind")
def test_control_c_prints_what_is_finished(run, text, monkeypatch):
    steps = []
    real = Engine._step

    def counting(self, *arguments, **options):
        steps.append(1)
        if len(steps) == 150:
            os.kill(os.getpid(), signal.SIGINT)
        return real(self, *arguments, **options)

    monkeypatch.setattr(Engine, "_step", counting)
    before = signal.getsignal(signal.SIGINT)
    command = ["perplexity", "--text", text, "--tokens", "100", "--budget", "24", *LADDER]
    status, out, err = run(*command, "--json")
    assert status == 130 and "Stopping" in err
    assert signal.getsignal(signal.SIGINT) is before
    answer = json.loads(out)
    assert answer["interrupted"] and [c["complete"] for c in answer["cells"]] == [True, False]
    assert len(steps) == 150
    status, out, _ = run(*command, "--json")  # goes on: the full cache is not read again
    assert status == 0 and len(steps) == 150 + 2 * 101
    assert all(c["complete"] for c in json.loads(out)["cells"])


@pytest.mark.parametrize(
    "arguments, named",
    [
        (["needle", "--lengths", "x"], "x"),
        (["needle", "--lengths", "0"], "--lengths = 0"),
        (["needle", "--lengths", "10"], "--lengths = 10 is not possible"),
        (["needle", "--lengths", "400,10", "--task", "word"], "tokens or more"),
        (["needle", "--depths", "2"], "--depths = 2"),
        (["needle", "--seeds", "0"], "0"),
        (["needle", "--task", "riddle"], "riddle"),
        (["needle", "--budget", "1.5"], "1.5"),
        (["needle", "--policy", "nosuch"], "nosuch"),
        (["needle", "--policy", "lacache:span=x"], "span"),
        (["perplexity", "--json", "--csv"], "--csv"),
        (["perplexity", "--budget", "8"], "budget"),
        (["perplexity", "--text", "/no/such/file"], "/no/such/file"),
        (["endless", "--tokens", "1"], "1"),
    ],
)
def test_bad_arguments_are_one_line_and_status_2(run, arguments, named):
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert named in err and err.count("\n") == 1


def test_an_empty_text_is_named_as_it_was_given(run, tmp_path):
    empty = tmp_path / "empty.txt"
    empty.write_text("")
    for command in ("perplexity", "endless"):
        status, out, err = run(command, "--text", empty)
        assert (status, out) == (2, "") and "--text" in err and "prompt" not in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["needle", "--policy", "lacache:span=99", "--lengths", "300", "--depths", "0"],
        ["perplexity", "--policy", "lacache:span=99", "--tokens", "50"],
        ["needle", "--budget", "0.05", "--lengths", "300", "--policy", "lacache", *LADDER],
        ["endless", "--policy", "lacache:span=99", "--tokens", "50"],
    ],
)
def test_a_measurement_in_which_nobody_could_take_part_ends_with_status_2(run, arguments):
    status, out, err = run(*arguments)
    assert status == 2 and "is not possible: it must be" in out and err == ""
    status, out, err = run(*arguments, "--csv")
    assert status == 2 and "is not possible: it must be" in err
    status, out, err = run(*arguments, "--json")
    assert status == 2 and "is not possible: it must be" in err
    (cell,) = {json.dumps({**c, "depth": 0}): c for c in json.loads(out)["cells"]}.values()
    share = 0.05 if "--budget" in arguments else 0.5
    needles = arguments[0] == "needle"
    assert cell["budget"] == (int(share * cell["length"]) if needles else 256)
    named = "LaCache, span 3, overlap 1, num_sink 2" if share < 0.5 else "LaCache, span 99"
    assert cell["label"] == named  # what is not the default, and nothing else


def test_one_who_cannot_take_part_does_not_spoil_it_for_the_others(run):
    command = ["perplexity", "--policy", "lacache:span=99", "--policy", "full", "--tokens", "30"]
    status, out, _ = run(*command)
    assert status == 0 and out.count("LaCache, span 99: ") == 1
    assert len([line for line in out.splitlines() if line.startswith("Full cache")]) == 1


def test_what_is_named_twice_is_measured_once(run):
    command = "needle --policy full --policy full --lengths 300,300 --depths 1,1.0 --seeds 1"
    status, out, _ = run(*command.split(), "--json")
    assert status == 0 and len(json.loads(out)["cells"]) == 1


def test_a_data_set_that_cannot_be_had_is_one_line_and_status_1(run, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    status, out, err = run("perplexity", "--dataset", "owner/name")
    assert (status, out) == (1, "") and "pip install datasets" in err and err.count("\n") == 1


@pytest.mark.model
@pytest.mark.parametrize("task", TASKS)
def test_the_embedded_model_can_do_the_task_with_a_full_cache(capsys, task):
    command = f"needle --policy full --lengths 256 --depths 0 --seeds 1 --task {task} --json"
    assert main([*command.split(), "--model", "smollm2-135m", "--no-store"]) == 0
    cells = json.loads(capsys.readouterr().out)["cells"]
    assert [c["correct"] for c in cells] == [1]
    assert cells[0]["needle_layers"] == 1


@pytest.mark.model
def test_what_a_window_forgets_on_the_embedded_model(capsys):
    command = (
        "needle --policy streaming_llm --policy lacache --lengths 256 --depths 0,0.5 --seeds 1"
    )
    assert main([*command.split(), "--json", "--model", "smollm2-135m", "--no-store"]) == 0
    cells = json.loads(capsys.readouterr().out)["cells"]
    measured = {(c["policy"], c["depth"]): (c["correct"], c["needle_layers"]) for c in cells}
    assert measured["streaming_llm", 0.0] == (0, 0)
    assert measured["lacache", 0.0][1] == pytest.approx(0.24)
    assert measured["streaming_llm", 0.5] == (1, pytest.approx(0.96))
    assert measured["lacache", 0.5] == (1, pytest.approx(0.42))
