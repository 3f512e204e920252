"""Which models there are, and loading each once per process.

Nothing here knows policies or pages. What can be told of a model without loading it stands in
``checkpoint``, where it runs in ``devices``; whether it fits the cache is measured in ``rope``.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lacache_core import checkpoint
from lacache_core.checkpoint import Checkpoint
from lacache_core.devices import choose_device, choose_dtype, free_memory, is_out_of_memory
from lacache_core.embedded import Progress, embedded_folder, ensure_embedded, is_ready
from lacache_core.errors import LaCacheError, ModelUnavailableError
from lacache_core.settings import EMBEDDED_ID, default_model_id

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model ready to run.

    Attributes
    ----------
    id
        As it was asked for.
    source
        Where it came from, in words.
    """

    id: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    source: str


@dataclass(frozen=True)
class KnownModel:
    """A model that this machine knows of.

    Attributes
    ----------
    present
        Whether its files are here.
    num_layers, num_bytes
        Decoder layers and size on disk, None where they are not known.
    default
        Whether it runs when none is named.
    """

    id: str
    source: str
    present: bool
    num_layers: int | None
    num_bytes: int | None
    default: bool


_loaded: dict[tuple[str, str, str], LoadedModel] = {}
_states: dict[str, str] = {}
_locks: dict[str, threading.Lock] = {}
_locks_guard = threading.Lock()


def loading_state(model_id: str = EMBEDDED_ID) -> str:
    """ "not loaded", "ready", what is being done, or "failed: ..." with the reason; at once."""
    return _states.get(model_id, "not loaded")


def loaded_model(model_id: str = EMBEDDED_ID) -> LoadedModel | None:
    """The model if ``load`` has it already, else None; at once."""
    return next((model for key, model in list(_loaded.items()) if key[0] == model_id), None)


def is_loaded(model_id: str = EMBEDDED_ID) -> bool:
    """Whether ``load`` would return at once."""
    return loaded_model(model_id) is not None


def known_layers(model_id: str) -> int | None:
    """Decoder layers of a model as far as they can be told without loading it; at once."""
    loaded = loaded_model(model_id)
    if loaded is None:
        return checkpoint.num_layers(model_id)
    return int(loaded.model.config.get_text_config().num_hidden_layers)


def load(
    model_id: str = EMBEDDED_ID,
    *,
    dtype: Any = None,
    device: Any = None,
    progress: Progress | None = None,
) -> LoadedModel:
    """Load a model once per process; later calls return the same object.

    Parameters
    ----------
    model_id
        ``"smollm2-135m"`` (embedded), a local folder, or a Hub id. Weights are safetensors, and
        code that comes with a model is never run.
    dtype, device
        Torch objects or their names; None: ``$LACACHE_DTYPE`` and ``$LACACHE_DEVICE``, else what
        suits this machine (see ``devices``; float32 on a CPU).
    progress
        Told what is being done and how far it is.

    Raises
    ------
    ModelUnavailableError
        When there is no such model, it cannot be fetched or read, or memory does not suffice;
        within seconds when the Hub does not answer.
    UnsupportedModelError
        When it is of a kind that the cache cannot serve.
    InvalidSettingError
        When this machine has no such device or the device no such dtype.
    """
    with _locks_guard:
        lock = _locks.setdefault(model_id, threading.Lock())
    with lock:

        def say(message: str, fraction: float | None) -> None:
            _states[model_id] = message
            if progress is not None:
                progress(message, fraction)

        try:
            # Before torch is imported, which takes seconds: a silent Hub is to be known by then.
            found = None
            if not is_loaded(model_id):
                found = _find(model_id, say)
                say("Starting PyTorch", None)
            place = choose_device(device)
            key = (model_id, str(dtype), str(place))
            if key not in _loaded:
                kind = choose_dtype(dtype, place)
                _loaded[key] = _load(found or _find(model_id, say), kind, place, say)
        except LaCacheError as error:
            _states[model_id] = f"failed: {error}"
            raise
        _states[model_id] = "ready"
        return _loaded[key]


def _find(model_id: str, say: Progress) -> Checkpoint:
    say(f"Looking for {model_id}", None)
    return checkpoint.find(model_id)


def _load(found: Checkpoint, dtype: Any, device: Any, say: Progress) -> LoadedModel:
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    if found.id == EMBEDDED_ID:
        ensure_embedded(say)
    # Never a model's own code; and no question on the terminal whether to run it.
    how: dict[str, Any] = {"local_files_only": found.offline, "trust_remote_code": False}
    try:
        config = AutoConfig.from_pretrained(found.where, **how)
        checkpoint.check_architecture(found.id, config)
        _check_memory(found, config, dtype, device)
        say("Loading the model" if found.offline else f"Downloading {found.id}", None)
        tokenizer = AutoTokenizer.from_pretrained(found.where, **how)
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            found.where, dtype=dtype, use_safetensors=True, output_loading_info=True, **how
        )
        model, report = loaded
        if report["missing_keys"]:  # transformers would fill them with random numbers
            raise ValueError(f"its files lack {len(report['missing_keys'])} of its weights")
        model.requires_grad_(False)
        return LoadedModel(found.id, model.eval().to(device), tokenizer, found.source)
    except LaCacheError:
        raise
    except Exception as error:  # a broken folder can make transformers raise anything
        if is_out_of_memory(error):
            raise ModelUnavailableError(_too_large(found.id, device)) from error
        reason = (str(error).splitlines() or [type(error).__name__])[0][:300].rstrip(". ")
        raise ModelUnavailableError(
            f"The model {found.id!r} ({found.source}) could not be loaded: {reason}. It must be a "
            "decoder-only model with safetensors weights whose type transformers knows."
        ) from error


def _check_memory(found: Checkpoint, config: Any, dtype: Any, device: Any) -> None:
    if found.weight_bytes is None:
        return
    needed, free = checkpoint.bytes_needed(found.weight_bytes, config, dtype), free_memory(device)
    if free is not None and needed > free:
        raise ModelUnavailableError(
            _too_large(found.id, device)
            + f" Its weights take {needed / 1e9:.1f} GB as {str(dtype).removeprefix('torch.')}, "
            f"and {free / 1e9:.1f} GB are free."
        )


def _too_large(model_id: str, device: Any) -> str:
    return (
        f"There is not enough memory for the model {model_id!r} on {device}: close other programs, "
        "take a smaller model, or set LACACHE_DTYPE=bfloat16 where it runs in float32."
    )


def load_in_background(model_id: str = EMBEDDED_ID) -> threading.Thread:
    """Start loading and return; ``loading_state`` tells how it goes."""

    def work() -> None:
        try:
            load(model_id)
        except LaCacheError:
            return  # the state says why

    thread = threading.Thread(target=work, name=f"load {model_id}", daemon=True)
    thread.start()
    return thread


def known_models() -> Iterator[KnownModel]:
    """The embedded model, the default one, and whatever of the Hub is on this machine."""
    default = default_model_id()
    folder = embedded_folder()
    here = is_ready(folder)
    yield KnownModel(
        EMBEDDED_ID,
        checkpoint.find(EMBEDDED_ID).source,
        here,
        checkpoint.num_layers(EMBEDDED_ID),
        _size(folder) if here else None,
        default == EMBEDDED_ID,
    )
    cached = dict(_hub_cache())
    local = Path(default).expanduser()
    if default != EMBEDDED_ID and default not in cached:
        here = local.is_dir()
        yield KnownModel(
            default,
            "local folder" if here else "LACACHE_MODEL",
            here,
            checkpoint.num_layers(default),
            _size(local) if here else None,
            True,
        )
    for name, size in sorted(cached.items()):
        layers = checkpoint.num_layers(name)
        yield KnownModel(name, "Hugging Face Hub", True, layers, size, name == default)


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _hub_cache() -> Iterator[tuple[str, int]]:
    """Hub models with safetensors weights that were downloaded before, and their sizes."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        repos = scan_cache_dir().repos
    except (CacheNotFound, OSError, ValueError):
        return
    for repo in repos:
        files = [file.file_name for revision in repo.revisions for file in revision.files]
        if repo.repo_type == "model" and any(name.endswith(".safetensors") for name in files):
            yield repo.repo_id, repo.size_on_disk
