"""What settings would keep of a text of a given length: by the rule alone, without a model.

Gives numbers to the API and a small picture to the page. Knows nothing of Gradio.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np

from app.runner import check
from lacache_core.errors import (
    InvalidSettingError,
    LaCacheError,
    ModelUnavailableError,
    UnsupportedOperationError,
)
from lacache_core.policies import Arrival, Planner
from lacache_core.settings import RunSettings

DEFAULT_TOKENS = 1024
MOST_TOKENS = 200_000
MOST_DRAWN = 16_384

Rows = np.ndarray[Any, np.dtype[np.int32]]
Facts = dict[str, Any]


def preview_facts(values: Mapping[str, Any], tokens_seen: int) -> Facts:
    """What settings mean for a text of that length.

    Raises
    ------
    InvalidSettingError
        Naming what is impossible.
    ModelUnavailableError
        When the model's number of layers is not known yet.
    UnsupportedOperationError
        When the policy decides by attention, which takes a model that runs.
    """
    return _preview(values, tokens_seen)[0]


def preview_message(values: Mapping[str, Any], tokens_seen: int) -> Facts:
    """Facts and picture for the page; or ``problem``, why the settings are impossible; or ``note``,
    why there is nothing to show before a run.

    The picture has ``bits``: base64 of a bit for every pattern and token, 1 where it is held, rows
    padded to whole bytes, the first token in a byte's highest bit.
    """
    try:
        facts, planner, rows = _preview({**values, "prompt": ""}, tokens_seen)
    except (UnsupportedOperationError, ModelUnavailableError) as error:
        return {"note": str(error)}
    except LaCacheError as error:
        return {"problem": in_page_words(error)}
    held = np.zeros((len(rows), tokens_seen), dtype=bool)
    np.put_along_axis(held, rows, True, axis=1)
    picture = {
        "layers": planner.num_layers,
        "rowOfLayer": planner.row_of_layer.tolist(),
        "tokens": tokens_seen,
        "numSink": facts["num_sink"],
        "reserve": planner.reserve if facts["policy"] == "lacache" else 0,
        "window": facts["window"],
        "bits": base64.b64encode(np.packbits(held, axis=1).tobytes()).decode("ascii"),
    }
    return {"facts": facts, "picture": picture}


def in_page_words(error: LaCacheError) -> str:
    """An error's text, naming settings as their controls on the page do."""
    return error.told(_title) if isinstance(error, InvalidSettingError) else str(error)


def _title(name: str) -> str:
    info = RunSettings.model_fields.get(name)
    return name if info is None or info.title is None else info.title


def _preview(values: Mapping[str, Any], tokens_seen: int) -> tuple[Facts, Planner, Rows]:
    settings, policy, planner = check(values)
    if planner is None:
        raise ModelUnavailableError(
            f"How many layers {settings.model!r} has is known once it is on this machine, after "
            "its first run."
        )
    if planner.attention is not None:
        raise UnsupportedOperationError(
            f"What {policy.label} keeps depends on where the model looks, so it cannot be told "
            "before a run: press Run to see it."
        )
    rows = rows_after(planner, tokens_seen)
    bounded = planner.capacity is not None
    sinks = getattr(policy, "num_sink", 0)
    after_sinks = rows[:, min(sinks, rows.shape[1]) :]
    held = int(rows.shape[1])
    facts = {
        "policy": settings.policy,
        "tokens_seen": tokens_seen,
        "budget": settings.budget if bounded else None,
        "effective_budget": planner.capacity,
        "num_sink": sinks,
        "held": held,
        "union": int(np.unique(rows).size),
        "oldest_after_sinks": int(after_sinks.min()) if after_sinks.size else None,
        "memory": _memory(settings, planner, held, tokens_seen),
        "window": _window(settings, tokens_seen) if bounded else None,
    }
    if settings.policy == "lacache":
        ladder = policy.ladder(planner.num_layers)  # type: ignore[attr-defined]
        facts |= {
            "group_width": ladder.group_width,
            "kept_width": ladder.kept_width,
            "reduction": ladder.reduction,
        }
    return facts, planner, rows


def rows_after(planner: Planner, tokens_seen: int) -> Rows:
    """Text positions that each pattern holds once so many tokens have arrived."""
    everything = np.arange(tokens_seen, dtype=np.int32)
    rows = np.tile(everything, (planner.num_patterns, 1))
    plan = planner.plan(Arrival(held=0, arriving=tokens_seen, seen=0, cursor=planner.cursor))
    return rows if plan is None else plan.apply(rows)


def _window(settings: RunSettings, tokens_seen: int) -> int:
    """The first token after the sinks that a window of the same budget would hold."""
    return max(settings.num_sink, tokens_seen - (settings.budget - settings.num_sink))


def _memory(settings: RunSettings, planner: Planner, held: int, seen: int) -> Facts:
    """Bytes of keys and values, here and with a full cache; None before the model is loaded."""
    from lacache_core.models import loaded_model

    loaded = loaded_model(settings.model)
    if loaded is None:
        return {"bytes": None, "full_bytes": None, "saved": 1 - held / seen if seen else 0.0}
    from lacache_core.buffers import bytes_per_entry

    mine, plain = bytes_per_entry(loaded.model.config, loaded.model.dtype)
    here, full = held * mine, seen * plain
    return {"bytes": here, "full_bytes": full, "saved": 1 - here / full if full else 0.0}
