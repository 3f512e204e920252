"""A trace as a ``snapshot`` message: docs/live-map.md is the contract.

The one way from a trace to the browser, for runs that go on, recorded ones, and opened files.
Knows nothing of Gradio or of where a trace comes from.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from app.outcome import outcome
from lacache_core.manifest import Manifest
from lacache_core.plan import IntArray
from lacache_core.stopwatch import PARTS
from lacache_core.trace import FloatArray, MassFrame, Trace

Message = dict[str, Any]
MAX_FRAMES = 256
MAX_FRAME_BYTES = 4_000_000  # of the attention columns in one snapshot


def as_text(message: Message) -> str:
    """A message as it travels: JSON without spaces, on one line."""
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def packed(values: IntArray | FloatArray | np.ndarray[Any, Any]) -> str:
    """Base64 of the array's bytes, little-endian."""
    array = np.ascontiguousarray(values)
    return base64.b64encode(array.astype(array.dtype.newbyteorder("<")).tobytes()).decode("ascii")


def mass_bytes(mass: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Shares of attention as bytes on a log scale: 255 is all of it, 51 less is a tenth."""
    with np.errstate(divide="ignore"):
        value = 255 + 51 * np.log10(mass.astype(np.float64))
    out: np.ndarray[Any, np.dtype[np.uint8]] = np.clip(np.rint(value), 0, 255).astype(np.uint8)
    return out


def mass_message(step: int, mass: np.ndarray[Any, Any]) -> Message:
    """One attention column as it travels."""
    return {"step": step, "length": int(mass.shape[-1]), "values": packed(mass_bytes(mass))}


def parts_told(seconds_by_part: Mapping[str, float]) -> list[list[Any]]:
    """``[name for people, seconds]`` for each part of a run's time, in the order of ``PARTS``."""
    return [
        [label, round(seconds_by_part[part], 3)]
        for part, label in PARTS.items()
        if part in seconds_by_part
    ]


def snapshot(
    trace: Trace,
    *,
    run: str,
    seq: int,
    state: Message,
    figures: Message,
    row_of_layer: IntArray | None = None,
    mass: Message | None = None,
    frames: bool = False,
    origin: str = "live",
    expected: int | None = None,
) -> Message:
    """The message.

    Parameters
    ----------
    trace
        The run, with a manifest that ``lacache_core.manifest`` accepts.
    run, seq, state, figures, mass
        The fields of the message of the same names.
    row_of_layer
        ``int32[L]``, or ``int32[L, H]`` where heads differ: the pattern of each layer, where deltas
        will follow that name patterns. Found in the trace when None.
    frames
        Whether the trace's attention columns go along.
    origin
        ``live``, ``recorded`` or ``opened``.
    expected
        Tokens that the run will reach at most; those it has when None.

    Raises
    ------
    DamagedTraceError
        When the manifest does not say what is needed.
    """
    manifest = Manifest.of(trace)
    rows = patterns_of(trace) if row_of_layer is None else row_of_layer
    first_layers = np.unique(rows, return_index=True)[1]
    return {
        "kind": "snapshot",
        "run": run,
        "seq": seq,
        "layers": trace.num_layers,
        "rowOfLayer": rows.tolist(),
        "setup": {
            **_setup(manifest),
            "outcome": outcome(trace, manifest),
            "expected": trace.num_tokens if expected is None else expected,
            "origin": origin,
        },
        "steps": trace.num_steps,
        "tokens": list(manifest.tokens),
        "ids": trace.token_ids.tolist(),
        "joinedAt": packed(trace.joined_at),
        "evictedAt": packed(trace.evicted_rows[first_layers]),
        "nll": packed(trace.nll),
        "compactions": packed(trace.compactions),
        "text": manifest.text,
        "mass": mass,
        "frames": [mass_message(f.step, f.mass) for f in _thinned(trace.frames)] if frames else [],
        "figures": figures,
        "state": state,
    }


def kept_snapshot(trace: Trace, *, run: str, origin: str) -> Message:
    """The snapshot of a run that is over and kept as a trace: all of it is there at once."""
    reason = trace.manifest.get("stop_reason", "")
    so_far = f"Saved while the run was going on: {trace.num_tokens:,} tokens so far."
    return snapshot(
        trace,
        run=run,
        seq=0,
        state={
            "name": "stopped" if reason in ("", "cancelled", "deadline") else "done",
            "message": "" if reason else so_far,
            "reason": reason,
        },
        figures=figures_of(trace),
        frames=True,
        origin=origin,
    )


def _setup(manifest: Manifest) -> Message:
    return {
        "policy": manifest.policy,
        "label": manifest.label,
        "model": manifest.model,
        "mode": manifest.mode,
        "budget": manifest.budget,
        "effectiveBudget": manifest.effective_budget,
        "numSink": manifest.num_sink,
        # A window is all reserve; only where something else is kept does the word say anything.
        "reserve": manifest.reserve if manifest.policy == "lacache" else 0,
        "bytesPerEntry": manifest.bytes_per_entry,
        "fullBytesPerEntry": manifest.full_bytes_per_entry,
        "promptTokens": manifest.prompt_tokens,
        "title": manifest.title,
        "about": manifest.about,
        "fact": manifest.marked,
        "needle": _needle(manifest),
        "settings": manifest.settings,
        "created": manifest.created,
        "versions": manifest.versions,
    }


def _needle(manifest: Manifest) -> Message | None:
    needle = manifest.needle
    if needle is None:
        return None
    return {"key": needle.key, "answer": needle.answer, "correct": needle.correct}


def patterns_of(trace: Trace) -> IntArray:
    """``int32[L]``: layers that dropped the same tokens at the same steps share a number.

    ``int32[L, H]`` where heads may hold different tokens.
    """
    if not trace.num_layers:
        return np.empty(0, dtype=np.int32)
    _, first, inverse = np.unique(
        trace.evicted_rows, axis=0, return_index=True, return_inverse=True
    )
    order = np.argsort(np.argsort(first))  # numbered in the order of their first layers
    found: IntArray = order[inverse.reshape(-1)].reshape(trace.row_shape).astype(np.int32)
    return found


def figures_of(trace: Trace) -> Message:
    """The figures after the last step; times are those that the steps themselves took."""
    manifest = Manifest.of(trace)
    seen = trace.num_tokens
    held = trace.held_at(trace.num_steps - 1)
    entries = trace.entries_at(trace.num_steps - 1)
    # The first token is there once the prompt is read; in a text that is only read, at once.
    given = manifest.prompt_tokens if manifest.mode == "generate" else 1
    first = int(np.searchsorted(trace.seen, min(max(given, 1), max(seen, 1))))
    spent = np.cumsum(trace.seconds.astype(np.float64))
    began = first < trace.num_steps
    after = float(spent[-1] - spent[first]) if began else 0.0
    perplexity = trace.perplexity()
    return {
        "seen": seen,
        "held": entries,
        "union": int(held.any(axis=0).sum()),
        "kvBytes": entries * manifest.bytes_per_entry,
        "fullBytes": seen * manifest.full_bytes_per_entry,
        "tokensPerSecond": round((seen - int(trace.seen[first])) / after, 2) if after else None,
        "firstTokenSeconds": round(float(spent[first]), 3) if began else None,
        "secondsPerToken": seconds_per_token(after, seen - int(trace.seen[first]))
        if began
        else None,
        "perplexity": round(perplexity, 4) if np.isfinite(perplexity) else None,
        "parts": parts_told(manifest.seconds_by_part),
    }


def seconds_per_token(spent: float, tokens: int) -> float | None:
    """What the steps themselves took for each token; None before there is one."""
    return round(spent / tokens, 6) if tokens else None


def _thinned(frames: Sequence[MassFrame]) -> list[MassFrame]:
    """Evenly spread frames that fit into a message; the newest is among them."""
    chosen, stride = list(frames), 1
    while len(chosen) > MAX_FRAMES or sum(f.mass.size for f in chosen) > MAX_FRAME_BYTES:
        if stride > len(frames):
            return []
        stride *= 2
        chosen = list(frames[::-1][::stride][::-1])
    return chosen
