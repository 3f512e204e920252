"""Models of the Hub: found, sized and refused before anything is downloaded."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from served import free_port

from lacache_core import checkpoint, models
from lacache_core.errors import ModelUnavailableError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def hub(monkeypatch):
    """A Hub on this machine: ``hub[id] = (status, headers, answer)`` to questions about it."""
    answers = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            name = self.path.split("?")[0].removeprefix("/api/models/")
            status, headers, answer = answers[name]
            body = json.dumps(answer).encode()
            self.send_response(status)
            for key, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    yield answers
    server.shutdown()
    server.server_close()


def test_no_such_model_is_said(fresh, hub):
    hub["somebody/nothing"] = (404, {"X-Error-Code": "RepoNotFound"}, {"error": "no"})
    with pytest.raises(ModelUnavailableError, match="There is no model 'somebody/nothing'"):
        models.load("somebody/nothing")
    with pytest.raises(ModelUnavailableError, match="There is no model 'not a name'"):
        models.load("not a name")


def test_a_gated_model_is_said(fresh, hub):
    hub["somebody/gated"] = (403, {"X-Error-Code": "GatedRepo"}, {"error": "ask"})
    with pytest.raises(ModelUnavailableError, match="authors have let in.*hf auth login"):
        models.load("somebody/gated")


def test_weights_that_could_run_code_are_not_loaded(fresh, hub, tmp_path):
    files = [{"rfilename": "pytorch_model.bin", "size": 5}]
    hub["somebody/pickled"] = (200, {}, {"id": "somebody/pickled", "siblings": files})
    with pytest.raises(ModelUnavailableError, match="no safetensors weights"):
        models.load("somebody/pickled")
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(ModelUnavailableError, match="no safetensors weights"):
        models.load(str(tmp_path))


def test_the_hub_tells_the_size_before_anything_is_downloaded(fresh, hub):
    names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    files = [{"rfilename": name, "size": 7} for name in [*names, "consolidated.safetensors"]]
    hub["somebody/large"] = (200, {}, {"id": "somebody/large", "siblings": files})
    found = checkpoint.find("somebody/large")
    assert (found.weight_bytes, found.offline) == (14, False)


@pytest.mark.parametrize("kind", ["closed", "silent", "offline"])
def test_no_network_is_said_before_torch_is_even_imported(kind, monkeypatch):
    assert checkpoint.HUB_PATIENCE_SECONDS < 5
    with socket.socket() as silent:  # takes connections and never answers
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = free_port() if kind == "closed" else silent.getsockname()[1]
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("HF_HUB_OFFLINE", "1" if kind == "offline" else "0")
        code = (
            "import sys\n"
            "from lacache_core.models import load, loading_state\n"
            "try: load('somebody/no-such-model')\n"
            "except Exception as error: print(type(error).__name__, error)\n"
            "print(loading_state('somebody/no-such-model'))\n"
            "print('torch' in sys.modules)"
        )
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    first, state, torch_imported = done.stdout.splitlines()
    assert first.startswith("ModelUnavailableError The Hub does not answer"), done.stderr
    assert "smollm2-135m" in first
    assert state.startswith("failed: The Hub does not answer")
    assert torch_imported == "False"
