"""Trace: what is saved is what comes back, and a damaged file is refused by name."""

import io
import json

import numpy as np
import pytest

from lacache_core.errors import DamagedTraceError
from lacache_core.ladder import LadderConfig
from lacache_core.plan import GroupCompaction
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


@pytest.fixture(scope="module")
def run():
    return record()


def reload(trace):
    return Trace.load(io.BytesIO(trace.to_bytes()))


def test_round_trip(run):
    trace, _ = run
    again = reload(trace)
    for name in ("token_ids", "joined_at", "evicted_at", "seen", "seconds", "compactions"):
        assert getattr(again, name).dtype == getattr(trace, name).dtype
        assert (getattr(again, name) == getattr(trace, name)).all()
    assert np.array_equal(again.nll, trace.nll, equal_nan=True)
    assert again.manifest == trace.manifest
    assert [f.step for f in again.frames] == [f.step for f in trace.frames]
    assert all((a.mass == b.mass).all() for a, b in zip(again.frames, trace.frames, strict=True))


def test_held_at_every_step(run):
    trace, held = run
    for step, rows in enumerate(held):
        assert (trace.positions_at(step) == rows).all()


def test_an_empty_run_is_a_trace_too():
    trace = TraceBuilder(CONFIG.ladder(LAYERS).row_of_layer).build()
    again = reload(trace)
    assert again.num_tokens == again.num_steps == 0
    assert again.held_at(0).shape == (LAYERS, 0)
    assert np.isnan(again.perplexity())


def test_perplexity_of_a_stretch(run):
    trace, _ = run
    assert trace.perplexity() == pytest.approx(np.exp(np.mean(np.arange(1, 90) / 10)), rel=1e-5)
    assert trace.perplexity(10, 20) == pytest.approx(np.exp(np.mean(np.arange(10, 20) / 10)))


def test_frames_are_capped_and_evenly_spread():
    trace, _ = record(max_frames=20)
    steps = [f.step for f in trace.frames]
    assert len(steps) <= 20
    assert set(np.diff(steps)) == {8}


def test_compactions_carry_names(run):
    trace, _ = run
    first = trace.compaction_list()[0]
    ladder = CONFIG.ladder(LAYERS)
    assert first.seen == ladder.effective_budget + 1
    assert (first.start, first.width, first.kept) == (2, ladder.group_width, ladder.kept_width)
    assert any(c.restart for c in trace.compaction_list())


def test_events_must_come_in_order():
    builder = TraceBuilder(np.zeros(2, np.int32))
    event = StepEvent(
        step=1,
        phase="read",
        token_ids=np.array([1], np.int32),
        nll=np.zeros(1, np.float32),
        seen=1,
        held=1,
        dropped=np.empty((1, 0), np.int32),
        groups=(GroupCompaction(1, 0, 0, 0, 0, False),),
    )
    with pytest.raises(ValueError, match="event 0 was due"):
        builder.add(event)


def parts_of(trace):
    with np.load(io.BytesIO(trace.to_bytes())) as data:
        return {name: data[name] for name in data.files}


def written(parts):
    out = io.BytesIO()
    np.savez(out, **parts)
    return io.BytesIO(out.getvalue())


@pytest.mark.parametrize(
    "name", ["token_ids", "joined_at", "nll", "evicted_at", "seen", "compactions", "frame_values"]
)
def test_a_missing_part_is_named(run, name):
    parts = parts_of(run[0])
    del parts[name]
    with pytest.raises(DamagedTraceError, match=f"'{name}'"):
        Trace.load(written(parts))


@pytest.mark.parametrize(
    "name", ["joined_at", "nll", "evicted_at", "seconds", "frame_values", "frame_steps"]
)
def test_a_part_of_another_length_is_named(run, name):
    parts = parts_of(run[0])
    parts[name] = parts[name][..., :-1]
    with pytest.raises(DamagedTraceError, match=f"'{name}'"):
        Trace.load(written(parts))


def test_heads_that_do_not_fit_their_layer_are_named(run):
    parts = parts_of(run[0])
    for heads in (parts["evicted_at"][:, None] + 1, parts["evicted_at"][:, None, :-1]):
        with pytest.raises(DamagedTraceError, match="'evicted_by_head'"):
            Trace.load(written({**parts, "evicted_by_head": heads}))
    right = Trace.load(written({**parts, "evicted_by_head": parts["evicted_at"][:, None]}))
    assert (right.share_at(50) == run[0].held_at(50)).all()


def test_values_that_cannot_be_are_named(run):
    for name, value in [("evicted_at", 9999), ("evicted_at", -2), ("joined_at", -1)]:
        parts = parts_of(run[0])
        parts[name] = parts[name].copy()
        parts[name].flat[5] = value
        with pytest.raises(DamagedTraceError, match=f"'{name}'"):
            Trace.load(written(parts))


def test_wrong_types_pickles_and_rubbish_are_refused(run):
    parts = parts_of(run[0])
    parts["token_ids"] = parts["token_ids"].astype(np.float64)
    with pytest.raises(DamagedTraceError, match="'token_ids'"):
        Trace.load(written(parts))
    parts = parts_of(run[0])
    parts["token_ids"] = np.array([{"a": 1}], dtype=object)
    with pytest.raises(DamagedTraceError, match="cannot be read"):
        Trace.load(written(parts))
    for rubbish in (b"", b"PK\x03\x04 not a zip", b"x" * 500):
        with pytest.raises(DamagedTraceError, match="cannot be read"):
            Trace.load(io.BytesIO(rubbish))
    for manifest in ("[]", "{}", "not json", json.dumps({"format": "other"})):
        parts = parts_of(run[0])
        parts["manifest"] = np.array(manifest)
        with pytest.raises(DamagedTraceError, match="manifest"):
            Trace.load(written(parts))


def test_a_cut_off_file_is_refused(run):
    data = run[0].to_bytes()
    for length in (10, len(data) // 2, len(data) - 10):
        with pytest.raises(DamagedTraceError):
            Trace.load(io.BytesIO(data[:length]))


def test_kilobytes_not_gigabytes():
    trace, _ = record(tokens=2000, frames=False)
    assert len(trace.to_bytes()) < 40_000
