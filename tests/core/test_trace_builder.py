"""Events become a trace, within limits."""

from __future__ import annotations

import numpy as np
import pytest
from recorded_rule import record

from lacache_core.plan import GroupCompaction
from lacache_core.trace import StepEvent
from lacache_core.trace_builder import TraceBuilder


def event(step, **more):
    """A token is read and nothing is dropped."""
    return StepEvent(
        step=step,
        phase="read",
        token_ids=np.array([1], np.int32),
        nll=np.zeros(1, np.float32),
        seen=step + 1,
        held=step + 1,
        dropped=np.empty((1, 0), np.int32),
        **more,
    )


def test_frames_are_capped_and_evenly_spread():
    trace, _ = record(max_frames=20)
    steps = [f.step for f in trace.frames]
    assert len(steps) <= 20
    assert set(np.diff(steps)) == {8}


def test_events_must_come_in_order():
    builder = TraceBuilder(np.zeros(2, np.int32))
    with pytest.raises(ValueError, match="event 0 was due"):
        builder.add(event(1, groups=(GroupCompaction(1, 0, 0, 0, 0, False),)))


def test_frames_are_capped_by_size_too():
    builder = TraceBuilder(np.zeros(2, np.int32), max_frame_bytes=1000)
    for step in range(60):
        builder.add(event(step, mass=np.full((2, step + 1), 1 / (step + 1), np.float32)))
    frames = builder.build().frames
    assert 1 < len(frames) and sum(f.mass.nbytes for f in frames) <= 1000
    assert builder.nbytes >= sum(f.mass.nbytes for f in frames)


def test_attention_is_kept_as_numpy_would_round_it():
    shares = np.random.default_rng(0).random((2, 400)).astype(np.float32) ** 12
    shares[0, :8] = [0, 1, 2**-14, 2**-24, 2**-25, 3 * 2**-26, 1e-9, 1e-7]
    builder = TraceBuilder(np.zeros(2, np.int32))
    builder.add(event(0, mass=shares))
    (frame,) = builder.build().frames
    assert frame.mass.dtype == np.float16
    assert np.array_equal(frame.mass, shares.astype(np.float16))
