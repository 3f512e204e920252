"""What a measurement depended on, in a form that can be compared: model, versions, text.

Together with a policy's settings this is the key under which a result is found again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from transformers import PreTrainedModel

from lacache_core.plan import IntArray

_SAMPLE = 16  # numbers of each weight that are looked at, evenly spread
_weights: WeakKeyDictionary[PreTrainedModel, str] = WeakKeyDictionary()


def text_digest(ids: IntArray) -> str:
    """Digest of a text as the model reads it."""
    return hashlib.sha256(np.ascontiguousarray(ids, dtype="<i4").tobytes()).hexdigest()[:16]


def weights_digest(model: PreTrainedModel) -> str:
    """Digest of a sample of every weight: tells models apart that go by the same name."""
    if model not in _weights:
        digest = hashlib.sha256()
        for name, weight in model.named_parameters():
            flat = weight.detach().reshape(-1)
            places = torch.arange(_SAMPLE, device=flat.device) * flat.numel() // _SAMPLE
            sample = flat[places].float().cpu().numpy()
            digest.update(f"{name} {tuple(weight.shape)} {weight.dtype}".encode())
            digest.update(sample.astype("<f4").tobytes())
        _weights[model] = digest.hexdigest()[:16]
    return _weights[model]


def identity(model: PreTrainedModel, description: Mapping[str, Any]) -> dict[str, Any]:
    """What a result of an engine depends on beside the text: model, versions, policy, settings.

    ``description`` is the engine's own (``Engine.description``).
    """
    names = ("policy", "settings", "model", "dtype", "chunk", "versions")
    return {
        **{name: description[name] for name in names},
        "weights": weights_digest(model),
        "device": model.device.type,
    }
