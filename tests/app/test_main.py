"""Serving: where, and the one sentence when that is impossible."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from served import free_port

from app.main import address

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("HOST", "PORT", "GRADIO_SERVER_NAME", "GRADIO_SERVER_PORT", "SPACE_ID")


@pytest.fixture(autouse=True)
def bare(monkeypatch):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def test_host_and_port(monkeypatch):
    port = free_port()
    monkeypatch.setenv("PORT", str(port))
    assert address() == ("127.0.0.1", port)
    monkeypatch.setenv("SPACE_ID", "a/b")
    assert address() == ("0.0.0.0", port)
    monkeypatch.setenv("HOST", "localhost")
    assert address() == ("localhost", port)


@pytest.mark.parametrize("port", ["many", "0", "70000", "-1"])
def test_a_port_that_is_none_is_refused(monkeypatch, port):
    monkeypatch.setenv("PORT", port)
    with pytest.raises(SystemExit, match="from 1 to 65535"):
        address()


def test_a_port_that_is_taken_is_refused(monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setenv("PORT", str(taken.getsockname()[1]))
        with pytest.raises(SystemExit, match="Choose another PORT="):
            address()


def test_building_the_page_imports_no_torch():
    """So that the page is there long before the model is."""
    code = "import sys; from app.main import build; build(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


@pytest.mark.skipif(os.name == "nt", reason="signals of another kind")
def test_it_ends_when_it_is_interrupted_though_pages_are_open():
    port = free_port()
    served = subprocess.Popen(
        [sys.executable, "app.py"],
        cwd=ROOT,
        env={**os.environ, "PORT": str(port)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # Whoever runs the tests in the background may have them ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        for line in served.stdout:
            if "LaCache explorer: http" in line:
                break
        page = urllib.request.urlopen(f"http://127.0.0.1:{port}/gradio_api/heartbeat/open")
        with page:
            served.send_signal(signal.SIGINT)
            said, _ = served.communicate(timeout=60)
        assert served.returncode == 0
        assert "Ending." in said and "Traceback" not in said
    finally:
        served.kill()
        served.stdout.close()
