"""A damaged, foreign or hostile trace file is refused by name."""

from __future__ import annotations

import io
import json
import re
import struct
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from recorded_rule import record, reload

from lacache_core.errors import DamagedTraceError
from lacache_core.trace import MassFrame, Trace, last_of_heads


@pytest.fixture(scope="module")
def run():
    return record()


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


def test_heads_are_kept_apart_and_must_fit_their_layers(run):
    """Six layers of one head each may be read as three of two."""
    layers = run[0]
    by_head = layers.evicted_at.reshape(3, 2, -1)
    frames = tuple(MassFrame(f.step, f.mass.reshape(3, 2, -1)) for f in layers.frames)
    trace = replace(
        layers, evicted_at=last_of_heads(by_head), evicted_by_head=by_head, frames=frames
    )
    again = reload(trace)
    assert (again.evicted_by_head == by_head).all()
    assert (again.evicted_at == trace.evicted_at).all()
    assert (again.frames[-1].mass == frames[-1].mass).all()
    assert "heads" not in again.manifest
    for step in (20, 89):
        one_by_one = layers.held_at(step).reshape(3, 2, -1)
        assert (again.share_at(step) == one_by_one.mean(axis=1)).all()
        assert (again.held_at(step) == one_by_one.any(axis=1)).all()
        assert (again.positions_at(step).reshape(6, -1) == layers.positions_at(step)).all()
        assert again.entries_at(step) == layers.entries_at(step)
        until = again.until(step + 1)
        assert (until.share_at(step) == again.share_at(step)[:, : step + 1]).all()
        assert (last_of_heads(until.evicted_by_head) == until.evicted_at).all()
    for heads in (4, 0, "2", True, 2.0):
        wrong = replace(layers, manifest={**layers.manifest, "heads": heads})
        with pytest.raises(DamagedTraceError, match="'heads'"):
            reload(wrong)


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
