"""LaCache for transformers: a ladder-shaped key-value cache under a fixed budget, and its measures.

    from lacache_core import LadderCache, LadderConfig

    cache = LadderCache(model, LadderConfig(budget=256, span=15))
    model.generate(ids, past_key_values=cache)

Names are resolved when they are first used, so that ``from lacache_core import retained`` needs
numpy alone and does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "Engine": "engine",
    "LadderCache": "cache",
    "LadderConfig": "ladder",
    "LaCacheError": "errors",
    "StepEvent": "trace",
    "Trace": "trace",
    "make_policy": "policies",
    "retained": "ladder",
    "take_turns": "turns",
}

__all__ = [*_HOME, "__version__"]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
