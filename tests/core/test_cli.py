"""The command line: what it prints, in how many lines it complains, and how it ends."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny import LAYERS, tiny_folder
from transformers.utils import logging as transformers_logging

from lacache_core import cli, models
from lacache_core.cli import main
from lacache_core.cli.generate import _harmless
from lacache_core.cli.options import add_settings, flags
from lacache_core.ladder import LadderConfig, retained
from lacache_core.settings import RunSettings, allowed
from lacache_core.trace import Trace

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = json.loads(
    gzip.decompress((Path(__file__).parent / "data/ladder_reference.json.gz").read_bytes())
)
LADDER = ["--budget", "32", "--span", "3", "--overlap", "1"]
TEXT = "The ladder keeps different tokens in different layers, again and again. " * 3


@pytest.fixture(scope="module", autouse=True)
def no_progress_bars():
    """A program of its own turns them off before transformers is imported; here it already is."""
    transformers_logging.disable_progress_bar()
    yield
    transformers_logging.enable_progress_bar()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A tiny model in a folder; one token a byte."""
    return str(tiny_folder(tmp_path_factory.mktemp("model")))


@pytest.fixture
def text(tmp_path):
    """A text of 216 tokens in a file."""
    file = tmp_path / "text.txt"
    file.write_text(TEXT)
    return str(file)


@pytest.fixture
def run(capsys):
    """Runs a command; gives status, stdout, stderr."""

    def run(*arguments):
        status = main([str(a) for a in arguments])
        out, err = capsys.readouterr()
        return status, out, err

    return run


def process(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "lacache_core", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        **options,
    )


# retained


@pytest.mark.parametrize("case", GOLDEN[::20], ids=lambda c: f"L{c['num_layers']}S{c['span']}")
def test_retained_gives_the_golden_sets(run, case):
    point = case["checkpoints"][-1]
    status, out, err = run(
        *("retained", "--layers", case["num_layers"], "--budget", case["budget"]),
        *("--span", case["span"], "--overlap", case["overlap"], "--sinks", case["num_sink"]),
        *("--tokens", point["tokens_seen"], "--json"),
    )
    assert (status, err) == (0, "")
    answer = json.loads(out)
    assert set(answer) == {"retained", "effective_budget", "union"}
    assert answer["effective_budget"] == case["effective_budget"]
    assert answer["union"] == point["union"]
    rows = np.array(answer["retained"], dtype="<i4")
    assert hashlib.sha256(rows.tobytes()).hexdigest() == point["sha256"]


def test_retained_imports_no_torch():
    code = (
        "import sys; from lacache_core.cli import main\n"
        "status = main('retained --layers 30 --tokens 1000 --arrangement staircase'.split())\n"
        "sys.exit(status or 'torch' in sys.modules or 'transformers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "each of 30 layers holds 256 entries" in done.stdout


@pytest.mark.parametrize("tokens", [0, 1, 7, 9, 64, 1000])
def test_retained_draws_every_pattern(run, tokens):
    status, out, _ = run("retained", "--layers", 6, *LADDER, "--tokens", tokens)
    assert status == 0
    bars = [line.split("|")[1] for line in out.splitlines() if line.count("|") == 2][1:]
    if not tokens:
        assert bars == []
        return
    # Span 3, overlap 1 on 6 layers: groups of 3 of which 2 stay, so two patterns.
    assert len(bars) == 2
    assert {len(bar) for bar in bars} == {min(tokens, 64)}
    rows = retained(LadderConfig(32, 3, 1), 6, tokens)
    if tokens <= 64:  # one character a token
        for bar, row in zip(bars, rows, strict=False):
            assert bar == "".join("#" if t in row else " " for t in range(tokens))
    else:
        # Sinks and the newest are there; of what lies between, most is gone.
        assert all(bar[0] != " " and bar[-1] != " " and bar.count(" ") > 30 for bar in bars)
        assert bars[0] != bars[1]


# read


def test_read_measures_what_the_engine_measures(run, model, text):
    command = ("read", "--text", text, "--model", model, *LADDER, "--tokens", 150)
    status, out, err = run(*command, "--json")
    assert (status, err) == (0, "")
    answer = json.loads(out)
    assert set(answer) == {"perplexity", "nll", "held", "tokens_per_second"}
    assert len(answer["nll"]) == 150  # as many as were to be predicted
    assert answer["perplexity"] == pytest.approx(math.exp(np.mean(answer["nll"])), rel=1e-6)
    assert answer["held"] <= 33
    assert answer["tokens_per_second"] > 0

    from lacache_core.engine import Engine

    loaded = models.load(model)
    engine = Engine(loaded.model, loaded.tokenizer, LadderConfig(32, 3, 1))
    ids = loaded.tokenizer(TEXT)["input_ids"][:151]
    list(engine.read(ids))
    assert answer["nll"] == engine.trace().nll[1:].tolist()

    status, out, _ = run(*command)
    assert status == 0
    assert f"{answer['perplexity']:.3f}" in out
    assert f"{answer['held']} of 151 tokens" in out


@pytest.mark.parametrize("policy", ["full", "streaming_llm", "lacache"])
def test_read_under_every_policy(run, model, text, policy):
    command = ("read", "--text", text, "--model", model, "--policy", policy, *LADDER, "--json")
    status, out, _ = run(*command)
    assert status == 0
    answer = json.loads(out)
    assert len(answer["nll"]) == len(TEXT) - 1  # all there is
    assert (answer["held"] == len(TEXT)) == (policy == "full")


def test_what_is_no_number_is_null(run, model, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xef\xbb\xbfa")))
    status, out, _ = run("read", "--text", "-", "--model", model, *LADDER, "--json")
    assert status == 0
    assert json.loads(out) | {"tokens_per_second": 0} == {
        "perplexity": None,
        "nll": [],
        "held": 1,
        "tokens_per_second": 0,
    }


def test_progress_goes_to_a_terminal_and_is_silent_on_demand(run, model, text, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    for quiet in ([], ["--quiet"]):
        terminal = Terminal()
        monkeypatch.setattr(sys, "stderr", terminal)
        command = ("read", "--text", text, "--model", model, *LADDER, "--tokens", 40, *quiet)
        assert main([str(a) for a in command]) == 0
        assert ("tokens/s" in terminal.getvalue()) == (not quiet)


# generate


def test_generate_streams_the_text_of_the_engine(run, model, tmp_path):
    trace = tmp_path / "out.npz"
    command = ("generate", "--prompt", TEXT, "--model", model, *LADDER, "--tokens", 20)
    command += ("--temperature", 0, "--trace", trace)
    status, out, err = run(*command)
    assert status == 0
    assert err.startswith("[20 new tokens; ended by: length;") and err.count("\n") == 1

    found = Trace.load(trace)
    assert found.num_tokens == len(TEXT) + 19  # the last one is not fed back
    assert found.num_layers == LAYERS
    assert found.manifest["policy"] == "lacache"
    assert found.frames
    loaded = models.load(model)
    assert out.startswith(loaded.tokenizer.decode(found.token_ids[len(TEXT) :])[:10])

    status, again, _ = run(*command, "--json", "--no-observe")
    answer = json.loads(again)
    assert status == 0
    assert answer["text"] + "\n" == out
    assert (answer["new_tokens"], answer["stop_reason"]) == (20, "length")
    assert answer["seen"] == len(TEXT) + 19
    assert not Trace.load(trace).frames


def test_the_text_comes_piece_by_piece(model, monkeypatch):
    class Pipe(io.StringIO):
        flushes = 0

        def flush(self):
            self.flushes += 1

    pipe = Pipe()
    monkeypatch.setattr(sys, "stdout", pipe)
    command = ["generate", "--prompt", TEXT, "--model", model, *LADDER, "--tokens", "9", "--quiet"]
    assert main(command) == 0
    assert pipe.flushes >= 9


def test_a_terminal_is_not_steered_by_what_a_model_writes():
    assert _harmless("a\x1b[2Jb\x9b\r\nc\td \u00a0\U0001f642") == (
        "a\ufffd[2Jb\ufffd\ufffd\nc\td \u00a0\U0001f642"
    )


def test_interrupting_ends_cleanly_and_keeps_the_trace(run, model, tmp_path, monkeypatch):
    from lacache_core.engine import Engine

    step, calls = Engine._step, []

    def interrupted(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == 12:
            raise KeyboardInterrupt
        return step(self, *args, **kwargs)

    monkeypatch.setattr(Engine, "_step", interrupted)
    trace = tmp_path / "out.npz"
    command = ("generate", "--prompt", TEXT, "--model", model, *LADDER, "--trace", trace)
    status, out, err = run(*command, "--tokens", 500)
    assert status == 130
    assert "ended by: interrupted" in err
    assert Trace.load(trace).num_steps == 11
    calls.clear()
    status, out, err = run("read", "--text", ROOT / "README.md", "--model", model, *LADDER)
    assert (status, out, err) == (130, "", "")


@pytest.mark.skipif(os.name == "nt", reason="signals of another kind")
def test_control_c_in_a_terminal(model):
    command = [sys.executable, "-m", "lacache_core", "generate", "--prompt", "Once", *LADDER]
    command += ["--model", model, "--tokens", "8000", "--temperature", "2"]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        running.stdout.read(5)  # it writes
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=600)
    assert running.returncode == 130, err
    assert err.startswith(b"[") and err.count(b"\n") == 1  # the summary, and no bars in a pipe


# models


def test_models_lists_what_is_known(run, monkeypatch, model):
    monkeypatch.setenv("LACACHE_MODEL", model)
    status, out, err = run("models", "--json")
    assert (status, err) == (0, "")
    answer = json.loads(out)
    assert answer["default"] == model
    known = {entry["id"]: entry for entry in answer["models"]}
    assert known["smollm2-135m"]["num_layers"] == 30
    assert known[model]["present"] and known[model]["num_layers"] == LAYERS
    status, out, _ = run("models")
    assert status == 0
    assert f"* {model}" in out and "  smollm2-135m" in out


def test_models_get_says_when_the_embedded_model_cannot_be_had(run, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("LACACHE_HOME", str(tmp_path / "file"))
    status, out, err = run("models", "--get")
    assert (status, out) == (1, "")
    assert "LACACHE_HOME" in err and err.count("\n") == 1


# what is wrong is said in one line


RETAINED = ("retained", "--layers", 30, "--tokens", 100)
READ = ("read", "--text", "{text}", "--model", "{model}")
WRITE = ("generate", "--prompt", "hi", "--model", "{model}", "--budget", 32, "--span", 3)
BAD = [
    ((), "name a command"),
    (("best",), "invalid choice: 'best'"),
    (("retained",), "required: --layers, --tokens"),
    ((*RETAINED, "--colour", "red"), "unrecognized arguments: --colour"),
    ((*RETAINED, "--budget", "x"), "--budget: 'x' is not possible: it must be a whole number"),
    ((*RETAINED, "--budget", "25.5"), "--budget: '25.5' is not possible"),
    ((*RETAINED, "--budget", "nan"), "from 16 to 8192"),
    ((*RETAINED, "--budget", "-5"), "from 16 to 8192"),
    ((*RETAINED, "--budget", 20), "--budget = 20 is not possible: it must be 35 or more"),
    ((*RETAINED, "--span", 30), "--span = 30 is not possible: it must be from 1 to 29"),
    ((*RETAINED, "--span", 8, "--overlap", 8), "--overlap = 8 is not possible"),
    ((*RETAINED, "--span", 29, "--overlap", 28), "nothing is ever freed"),
    ((*RETAINED, "--sinks", -1), "--sinks: '-1' is not possible"),
    ((*RETAINED, "--sinks", 300), "--budget = 256"),
    ((*RETAINED, "--arrangement", "spiral"), "one of interleaved, staircase"),
    ((*RETAINED, "--layers", 1), "--layers: '1' is not possible: it must be a whole number from 2"),
    ((*RETAINED, "--tokens", -1), "--tokens: '-1'"),
    ((*RETAINED, "--bud", 64), "unrecognized arguments"),
    (("read", "--text", "/no/such/file"), "cannot read '/no/such/file': No such file"),
    (("read", "--text", str(ROOT)), "cannot read"),
    ((*READ, "--policy", "h3o"), "one of full, sliding_window, streaming_llm, lacache, h2o"),
    ((*READ, "--tokens", 0), "from 1 to 1000000"),
    ((*READ, "--span", 6), "--span = 6 is not possible: it must be from 1 to 5"),
    ((*READ, "--policy", "streaming_llm", "--budget", 2048), "--budget = 2048 is not possible"),
    ((*READ, "--device", "tpu"), "device = 'tpu' is not possible"),
    ((*READ, "--dtype", "int8"), "dtype = 'int8' is not possible"),
    (("generate",), "required: --prompt"),
    ((*WRITE[:2], " ", *WRITE[3:]), "--prompt = ' ' is not possible"),
    ((*WRITE, "--chat"), "--chat = True is not possible: it must be false"),
    ((*WRITE, "--temperature", 3), "a number from 0 to 2"),
    ((*WRITE, "--top-p", "inf"), "a number above 0 up to 1"),
    ((*WRITE, "--trace", "/no/such/folder/out.npz"), "there is no folder '/no/such/folder'"),
    ((*WRITE, "--trace", str(ROOT)), "is a folder"),
]


@pytest.mark.parametrize("arguments, words", BAD, ids=lambda v: str(v)[-40:])
def test_bad_arguments_are_one_line_and_status_2(run, model, text, arguments, words):
    filled = [str(a).format(model=model, text=text) for a in arguments]
    status, out, err = run(*filled)
    assert (status, out) == (2, "")
    assert words in err
    assert err.startswith("lacache")
    assert err.count("\n") == 1 and len(err) < 400


def test_a_file_that_is_no_text_is_refused(run, tmp_path):
    (tmp_path / "raw").write_bytes(b"\xff\xfe\x00")
    status, _, err = run("read", "--text", tmp_path / "raw")
    assert status == 2
    assert "not a text file in UTF-8" in err


def test_status_and_stderr_of_the_real_program():
    done = process("retained", "--layers", "30", "--tokens", "9", "--budget", "20")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("lacache: --budget = 20")


def test_a_model_that_cannot_be_had_is_status_1(run, text, tmp_path):
    status, out, err = run("read", "--text", text, "--model", tmp_path / "nowhere")
    assert (status, out) == (1, "")
    assert err.startswith("lacache: There is no folder") and err.count("\n") == 1


@pytest.mark.parametrize(
    "error, words",
    [
        (RuntimeError("CUDA out of memory.\nTried to"), "Memory ran out"),
        (ZeroDivisionError("by\nzero"), "ZeroDivisionError: by zero"),
    ],
)
def test_the_unforeseen_is_one_line_too(run, model, text, monkeypatch, error, words):
    from lacache_core.engine import Engine

    def broken(*_, **__):
        raise error

    monkeypatch.delenv("LACACHE_DEBUG", raising=False)
    monkeypatch.setattr(Engine, "_step", broken)
    command = ("read", "--text", text, "--model", model, *LADDER)
    status, out, err = run(*command)
    assert (status, out) == (1, "")
    assert words in err and err.count("\n") == 1
    monkeypatch.setenv("LACACHE_DEBUG", "1")
    with pytest.raises(type(error)):
        run(*command)


def test_a_reader_that_had_enough_is_no_error():
    command = (
        f"{sys.executable} -m lacache_core retained --layers 30 --tokens 9000 --json | head -c 9"
    )
    done = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == '{"retaine'
    assert done.stderr == ""


# help, and the schema


@pytest.mark.parametrize("command", [[], *([name] for name in cli.COMMANDS)], ids=str)
def test_help_explains_with_examples(run, command):
    status, out, err = run(*command, "--help")
    assert (status, err) == (0, "")
    assert "examples:" in out and "lacache " in out
    assert max(map(len, out.splitlines())) <= 100


def test_options_are_the_schema(capsys):
    """Every setting can become an option, with its help, default and limits."""
    parser = cli.OneLineParser(prog="x")
    names = list(RunSettings.model_fields)
    add_settings(parser, names, repeatable=["policy"])
    given = parser.parse_args([])
    for name, info in RunSettings.model_fields.items():
        assert getattr(given, name) == ([] if name == "policy" else info.default)
    given = parser.parse_args(["--policy", "full", "--policy", "lacache", "--no-observe"])
    assert given.policy == ["full", "lacache"]
    assert given.observe is False
    words = " ".join(parser.format_help().split())
    for name, info in RunSettings.model_fields.items():
        assert flags(name)[0] in words
        assert " ".join(info.description.split()) in words
        if info.annotation is int:
            assert allowed(name)[1:] in words
