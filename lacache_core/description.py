"""What a manifest says of model and cache: policy, sizes, when, and with which versions.

The other half of ``lacache_core.manifest``, which reads it; this one needs the model itself.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import PreTrainedModel

from lacache_core import __version__
from lacache_core.cache import LadderCache


def describe(model: PreTrainedModel, cache: LadderCache) -> dict[str, Any]:
    """What can be said of any run of this model with this cache, at this moment."""
    policy: Any = cache.policy
    name = str(model.name_or_path)
    return {
        "policy": policy.name,
        "label": policy.label,
        "settings": asdict(policy),
        # Of a local folder its name alone: where it lies is nobody's business.
        "model": Path(name).name if Path(name).is_dir() else name,
        "dtype": str(model.dtype).removeprefix("torch."),
        "budget": getattr(policy, "budget", None),
        "effective_budget": cache.planner.capacity,
        "num_sink": getattr(policy, "num_sink", 0),
        "reserve": cache.planner.reserve,
        "bytes_per_entry": cache.bytes_per_entry,
        "full_bytes_per_entry": cache.plain_bytes_per_entry,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "versions": {
            "lacache_core": __version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
    }
