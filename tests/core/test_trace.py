"""Trace: what is saved is what comes back, and a damaged file is refused by name."""

import io
import json
import re
import struct
import zipfile
from dataclasses import replace

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
    one_head = replace(run[0], evicted_by_head=run[0].evicted_at[:, None])
    right = Trace.load(io.BytesIO(one_head.to_bytes()))
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


# What comes from anywhere


def resaved(parts, **changes):
    """The file as ``save`` would have written it with other parts: its digest fits."""
    from lacache_core import trace_file

    parts = {**parts, **changes}
    manifest = json.loads(str(parts["manifest"]))
    manifest["digest"] = trace_file._digest(parts, manifest)
    return written({**parts, "manifest": np.array(json.dumps(manifest))})


def changed(values, index, value):
    values = values.copy()
    values[index] = value
    return values


def test_a_changed_value_is_told_by_the_digest(run):
    parts = parts_of(run[0])
    parts["token_ids"] = changed(parts["token_ids"], 3, 99)
    with pytest.raises(DamagedTraceError, match="digest"):
        Trace.load(written(parts))
    parts = parts_of(run[0])
    manifest = json.loads(str(parts["manifest"]))
    for change in ({"text": "other"}, {"digest": "0" * 64}, {"digest": None}, {"more": 1}):
        other = np.array(json.dumps({**manifest, **change}))
        with pytest.raises(DamagedTraceError, match="digest"):
            Trace.load(written({**parts, "manifest": other}))
    assert Trace.load(resaved(parts)).manifest == run[0].manifest


@pytest.mark.parametrize(
    "name, index, value",
    [
        ("seen", 3, 50),
        ("seen", -1, 89),
        ("joined_at", 4, 5),
        ("nll", 4, np.inf),
        ("evicted_at", (2, 80), 5),  # before it came
        ("evicted_at", (2, 89), 89),  # one layer would hold fewer than the others
        ("seconds", 0, np.nan),
        ("seconds", 0, -1),
        ("compactions", (0, 0), 89),  # out of order
        ("compactions", (0, 4), 77),  # more kept than there were
        ("compactions", (0, 6), 2),
        ("compactions", (0, 2), -5),
        ("frame_steps", 3, 1),
        ("frame_widths", 3, 2),
        ("frame_values", 7, np.nan),
        ("frame_values", 7, 3),
    ],
)
def test_numbers_that_contradict_each_other_are_named(run, name, index, value):
    parts = parts_of(run[0])
    file = resaved(parts, **{name: changed(parts[name], index, value)})
    with pytest.raises(DamagedTraceError, match=f"'{name}' does not fit"):
        Trace.load(file)


def test_a_file_over_the_limit_is_refused_unread(run):
    data = run[0].to_bytes()
    with pytest.raises(DamagedTraceError, match="larger than the 0 MiB"):
        Trace.load(io.BytesIO(data), max_bytes=len(data) - 1)
    assert Trace.load(io.BytesIO(data), max_bytes=len(data)).num_tokens == 90


def test_a_zip_bomb_is_refused_before_it_is_unpacked(run):
    parts = parts_of(run[0])
    parts["nll"] = np.zeros(200 << 18, np.float32)  # 200 MiB that pack into a fifth of one
    out = io.BytesIO()
    np.savez_compressed(out, **parts)
    assert len(out.getvalue()) < 1 << 20
    with pytest.raises(DamagedTraceError, match="Unpacked"):
        Trace.load(io.BytesIO(out.getvalue()), max_unpacked=64 << 20)


def test_a_member_that_says_less_than_it_holds_is_cut_off(run):
    """The sizes that are added up are those in the archive's list, so they must bind."""
    out = io.BytesIO()
    np.savez_compressed(out, **parts_of(run[0]))
    data = bytearray(out.getvalue())
    with zipfile.ZipFile(io.BytesIO(bytes(data))) as archive:
        size = archive.getinfo("evicted_at.npy").file_size
    where = data.rindex(b"evicted_at.npy") - 46  # its entry in the list at the end
    assert struct.unpack_from("<I", data, where + 24) == (size,)
    struct.pack_into("<I", data, where + 24, 200)
    with pytest.raises(DamagedTraceError):
        Trace.load(io.BytesIO(bytes(data)))


def raw_member(name, content):
    """A trace's file in which one member is something else."""
    out = io.BytesIO()
    trace, _ = record(tokens=40)
    with zipfile.ZipFile(io.BytesIO(trace.to_bytes())) as old, zipfile.ZipFile(out, "w") as new:
        for member in old.infolist():
            data = old.read(member) if member.filename != name else content
            new.writestr(member.filename, data)
        if name not in old.namelist():
            new.writestr(name, content)
    return io.BytesIO(out.getvalue())


def header(text):
    padded = text.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(padded)) + padded


@pytest.mark.parametrize(
    "content",
    [
        header("{'descr': '<i4', 'fortran_order': False, 'shape': (1000000000000,)}"),
        header("{'descr': '<i4', 'fortran_order': False, 'shape': (-5,)}"),
        header("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}") + b"cos\nsystem\n.",
        header("{'descr': '<i4', 'shape': (1,)}"),
        header("__import__('os')"),
        header("(" * 200),
        b"\x93NUMPY\x09\x00",
        b"",
        b"plain text",
    ],
)
def test_an_array_that_is_none_is_refused(content):
    with pytest.raises(DamagedTraceError, match="cannot be read"):
        Trace.load(raw_member("token_ids.npy", content))


def test_a_member_that_no_trace_has_is_named():
    for name in ("../../evil.npy", "more.npy", "script.py"):
        with pytest.raises(DamagedTraceError, match=re.escape(name)):
            Trace.load(raw_member(name, b"x"))


@pytest.mark.parametrize(
    "manifest",
    [
        '{"format": "lacache-trace-1"}',
        '{"format": "lacache-trace-2", "x": NaN}',
        '{"format": "lacache-trace-2", "x": "\\ud800"}',
        "[" * 100_000,
        '{"format": "lacache-trace-2", "x": ' + "9" * 5000 + "}",
    ],
    ids=["old", "nan", "half a character", "deep", "huge number"],
)
def test_a_manifest_that_cannot_be_sent_on_is_refused(run, manifest):
    parts = parts_of(run[0])
    with pytest.raises(DamagedTraceError, match="manifest cannot be read"):
        Trace.load(written({**parts, "manifest": np.array(manifest)}))


def test_no_damage_gets_past_or_out_as_another_error():
    """Any byte may be wrong: the file is refused in words, or nothing that counts had changed."""
    trace, _ = record(tokens=40)
    data, rng = trace.to_bytes(), np.random.default_rng(0)
    refused = 0
    for _ in range(400):
        bad = bytearray(data)
        for where in rng.integers(0, len(bad), 3):
            bad[where] ^= int(rng.integers(1, 256))
        try:
            again = Trace.load(io.BytesIO(bytes(bad)))
        except DamagedTraceError as error:
            refused += 1
            assert len(str(error)) < 400
        else:
            assert (again.evicted_at == trace.evicted_at).all()
            assert again.manifest == trace.manifest
    assert refused > 300


def test_until_an_earlier_step(run):
    trace, held = run
    early = trace.until(60)
    assert early.num_steps == 60 and early.num_tokens == 60
    assert (early.positions_at(59) == held[59]).all()
    assert early.compactions[:, 0].max() < 60 and early.frames[-1].step == 59
    assert (early.evicted_at < 60).all()
    assert trace.until(0).num_tokens == 0
    assert reload(early).num_steps == 60


def test_frames_are_capped_by_size_too():
    builder = TraceBuilder(np.zeros(2, np.int32), max_frame_bytes=1000)
    for step in range(60):
        builder.add(
            StepEvent(
                step=step,
                phase="read",
                token_ids=np.array([1], np.int32),
                nll=np.zeros(1, np.float32),
                seen=step + 1,
                held=step + 1,
                dropped=np.empty((1, 0), np.int32),
                mass=np.full((2, step + 1), 1 / (step + 1), np.float32),
            )
        )
    frames = builder.build().frames
    assert 1 < len(frames) and sum(f.mass.nbytes for f in frames) <= 1000
    assert builder.nbytes >= sum(f.mass.nbytes for f in frames)
