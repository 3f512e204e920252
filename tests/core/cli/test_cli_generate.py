"""``generate``: the text as it comes, and what Ctrl+C leaves behind."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys

import pytest
from command_line import LADDER, ROOT, TEXT
from tiny import LAYERS

from lacache_core import models
from lacache_core.cli import main
from lacache_core.cli.generate import _harmless
from lacache_core.trace import Trace


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
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # Whoever runs the tests in the background may have them ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as running:
        running.stdout.read(5)  # it writes
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=600)
    assert running.returncode == 130, err
    assert err.startswith(b"[") and err.count(b"\n") == 1  # the summary, and no bars in a pipe
