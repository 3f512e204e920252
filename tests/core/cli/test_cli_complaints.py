"""What is wrong is said in one line, and how a command ends."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from command_line import LADDER, ROOT


def process(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "lacache_core", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        **options,
    )


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
    ((*RETAINED, "--budget", 20), "for --span 15, --overlap 0, --sinks 4, --slack 0 on 30"),
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
    ((*READ, "--device", ""), "device is empty"),
    ((*READ, "--dtype", ""), "dtype is empty"),
    (("read", "--text", os.devnull, "--model", "{model}"), "--text is empty"),
    (("generate",), "required: --prompt"),
    ((*WRITE[:2], " ", *WRITE[3:]), "--prompt is empty"),
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
    # More than a pipe takes in before somebody reads on.
    much = "--layers 30 --tokens 9000 --budget 2000"
    command = f"{sys.executable} -m lacache_core retained {much} --json | head -c 9"
    done = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == '{"retaine'
    assert done.stderr == ""
    piped = f"set -o pipefail; {command}"
    assert subprocess.run(["bash", "-c", piped], cwd=ROOT, capture_output=True).returncode == 141


def test_output_that_is_closed_is_said():
    command = f"{sys.executable} -m lacache_core retained --layers 30 --tokens 9 >&-"
    done = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.startswith("lacache: Standard output is closed")
    assert done.stderr.count("\n") == 1
