"""A run of the rule alone, as a trace."""

from __future__ import annotations

import io

import numpy as np

from lacache_core.ladder import LadderConfig
from lacache_core.trace import StepEvent, Trace
from lacache_core.trace_builder import TraceBuilder

LAYERS = 6


CONFIG = LadderConfig(budget=24, span=3, overlap=1, num_sink=2)


def record(tokens=90, frames=True, max_frames=512):
    """A run of the rule alone, and what it held after every step."""
    ladder = CONFIG.ladder(LAYERS)
    builder = TraceBuilder(ladder.row_of_layer, max_frames=max_frames)
    rows, cursor, held = np.empty((ladder.reduction + 1, 0), np.int32), CONFIG.num_sink, []
    for step in range(tokens):
        before = np.concatenate([rows, np.full((len(rows), 1), step, np.int32)], axis=1)
        plan = ladder.plan(rows.shape[1], 1, cursor)
        dropped, groups, rows = before[:, :0], (), before
        if plan is not None:
            dropped, groups = plan.dropped(before), plan.groups
            rows, cursor = plan.apply(before), plan.cursor
        mass = np.full((LAYERS, before.shape[1]), 1 / before.shape[1], np.float32)
        builder.add(
            StepEvent(
                step=step,
                phase="read",
                token_ids=np.array([step % 7], np.int32),
                nll=np.array([np.nan if step == 0 else step / 10], np.float32),
                seen=step + 1,
                held=rows.shape[1],
                dropped=dropped,
                groups=groups,
                mass=mass if frames else None,
                seconds=0.01,
            )
        )
        held.append(rows[ladder.row_of_layer])
    return builder.build({"settings": {"budget": 24}, "text": "ä<b>"}), held


def reload(trace):
    return Trace.load(io.BytesIO(trace.to_bytes()))
