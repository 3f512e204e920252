"""Which models are known, and how they are loaded; with small fake weights."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from served import free_port
from tiny import LAYERS, tiny_folder
from transformers import BertConfig, GPT2Config, MistralConfig, ModernBertConfig, T5Config

from lacache_core import embedded, models
from lacache_core.errors import ModelUnavailableError, UnsupportedModelError

ROOT = Path(__file__).resolve().parents[2]


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
