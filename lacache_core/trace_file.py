"""A trace as a file: compressed ``.npz`` with a JSON manifest. Never a pickle.

What is read comes from anywhere, so nothing in it is believed: sizes are known before anything is
unpacked, every part is checked against the others, and a digest over all of it tells a file that
was changed from one that was saved. The digest is no signature: it says nothing of who saved it.
Numpy and the standard library only; what a manifest must say to be shown stands in ``manifest``.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from lacache_core.errors import DamagedTraceError
from lacache_core.trace import COMPACTION_COLUMNS, HELD, MassFrame, Trace, last_of_heads

FORMAT = "lacache-trace-2"
MAX_FILE_BYTES = 512 << 20
MAX_UNPACKED_BYTES = 2 << 30

Parts = dict[str, npt.NDArray[Any]]

_COLUMNS: dict[str, tuple[type, int]] = {
    "token_ids": (np.int32, 1),
    "joined_at": (np.int32, 1),
    "nll": (np.float32, 1),
    "evicted_at": (np.int32, 2),  # by layer, or by layer and head: see HEADS
    "seen": (np.int32, 1),
    "seconds": (np.float32, 1),
    "compactions": (np.int32, 2),
}
_FRAMES: dict[str, tuple[type, int]] = {
    "frame_steps": (np.int32, 1),
    "frame_widths": (np.int32, 1),
    "frame_values": (np.float16, 1),
}
HEADS = "heads"
"""In the manifest of a file: how many rows of ``evicted_at`` and of a frame a layer has, when its
heads held different tokens; left out when it has one."""
_ARRAYS = {**_COLUMNS, **_FRAMES}
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_UNREADABLE = (
    OSError,
    ValueError,
    EOFError,
    KeyError,
    RuntimeError,  # an encrypted member; RecursionError is one too
    NotImplementedError,
    zipfile.BadZipFile,
    zlib.error,
)


def write(trace: Trace, file: str | Path | IO[bytes]) -> None:
    """Write a trace; see ``Trace.save``."""
    frames = trace.frames
    parts: Parts = {name: getattr(trace, name) for name in _COLUMNS}
    parts["evicted_at"] = trace.evicted_rows
    parts["frame_steps"] = np.array([f.step for f in frames], dtype=np.int32)
    parts["frame_widths"] = np.array([f.mass.shape[-1] for f in frames], dtype=np.int32)
    parts["frame_values"] = np.concatenate(
        [np.empty(0, np.float16), *(f.mass.ravel() for f in frames)]
    )
    manifest = {**trace.manifest, "format": FORMAT}
    if trace.evicted_by_head is not None:
        manifest[HEADS] = trace.evicted_by_head.shape[1]
    manifest["digest"] = _digest(parts, manifest)
    parts["manifest"] = np.array(json.dumps(manifest))
    np.savez_compressed(file, **parts)  # type: ignore[arg-type]


def read(
    file: str | Path | IO[bytes],
    *,
    max_bytes: int = MAX_FILE_BYTES,
    max_unpacked: int = MAX_UNPACKED_BYTES,
) -> Trace:
    """Read what ``write`` wrote; see ``Trace.load``."""
    try:
        if isinstance(file, (str, Path)):
            with open(file, "rb") as opened:
                data = opened.read(max_bytes + 1)
        else:
            data = file.read(max_bytes + 1)
        if len(data) > max_bytes:
            raise DamagedTraceError(
                f"This file is larger than the {max_bytes >> 20} MiB that a trace may have here."
            )
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = _unpack(archive, max_unpacked)
    except _UNREADABLE as error:
        reason = str(error)[:200].rstrip(".")  # zipfile's may quote the whole file
        raise DamagedTraceError(f"This file cannot be read as a trace: {reason}.") from error
    manifest = _manifest_of(parts)
    _check(parts)
    if manifest.pop("digest", None) != _digest(parts, manifest):
        raise DamagedTraceError(
            "The trace was changed after it was saved: its digest does not fit its content."
        )
    del manifest["format"]
    return _assemble(parts, manifest)


def _unpack(archive: zipfile.ZipFile, max_unpacked: int) -> Parts:
    """All arrays of the archive, none larger than it says and all together within the limit."""
    members = archive.infolist()
    names = [member.filename for member in members]
    wanted = {f"{name}.npy" for name in (*_ARRAYS, "manifest")}
    if strange := sorted(set(names) - wanted):
        raise DamagedTraceError(f"The file holds {strange[0][:80]!r}, which no trace has.")
    if len(names) != len(set(names)):
        raise DamagedTraceError("The file holds a part twice.")
    if sum(member.file_size for member in members) > max_unpacked:
        raise DamagedTraceError(
            f"Unpacked, this file is larger than the {max_unpacked >> 20} MiB that a trace may "
            "have here."
        )
    # zipfile reads no more of a member than the size that was just added up.
    return {m.filename.removesuffix(".npy"): _array(archive, m) for m in members}


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> npt.NDArray[Any]:
    """One array, read-only. Its size is checked before numpy would make room for what it claims."""
    name = member.filename.removesuffix(".npy")
    with archive.open(member) as stream:
        try:
            shape, fortran, dtype = _HEADERS[np.lib.format.read_magic(stream)](stream)
        except Exception as error:  # numpy raises a dozen kinds for what is no header
            raise ValueError(f"its part {name!r} does not begin as an array does") from error
        if dtype.hasobject:
            raise ValueError(f"its part {name!r} holds Python objects, which are never loaded")
        raw = stream.read()
    if any(n < 0 for n in shape) or math.prod(shape) * dtype.itemsize != len(raw):
        raise ValueError(f"its part {name!r} is not as large as it says")
    return np.frombuffer(raw, dtype).reshape(shape, order="F" if fortran else "C")


def _manifest_of(parts: Parts) -> dict[str, Any]:
    try:
        manifest = json.loads(str(parts["manifest"]), parse_constant=_no_constant)
        json.dumps(manifest, ensure_ascii=False).encode()  # half a character cannot be sent on
        if manifest["format"] != FORMAT:
            raise ValueError(f"its format is {str(manifest['format'])[:80]!r}, not {FORMAT!r}")
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedTraceError(
            f"The trace's manifest cannot be read: {str(error)[:200]}"
        ) from error
    if not isinstance(manifest, dict):
        raise DamagedTraceError("The trace's manifest cannot be read: it is not an object")
    return manifest


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number")


def _digest(parts: Parts, manifest: Mapping[str, Any]) -> str:
    """SHA-256 over every part's name, type, shape and bytes, and over the manifest."""
    found = hashlib.sha256()
    for name, (dtype, _) in _ARRAYS.items():
        values = np.ascontiguousarray(parts[name], dtype=np.dtype(dtype).newbyteorder("<"))
        found.update(f"{name} {np.dtype(dtype).name} {values.shape}\n".encode())
        found.update(values.tobytes())
    # Through JSON once, so that what was saved and what was read are written alike.
    plain = json.loads(json.dumps({k: v for k, v in manifest.items() if k != "digest"}))
    found.update(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode())
    return found.hexdigest()


def _check(parts: Parts) -> None:
    """Every part against the others; the first that does not fit is named."""
    for name, (dtype, ndim) in _ARRAYS.items():
        if name not in parts:
            raise DamagedTraceError(f"The trace has no part {name!r}.")
        if parts[name].dtype != dtype or parts[name].ndim != ndim:
            raise DamagedTraceError(f"The trace's part {name!r} has the wrong type or shape.")
    for name, fits in (
        ("seen", _seen_fits),
        ("joined_at", _joined_fits),
        ("nll", _nll_fits),
        ("evicted_at", _evicted_fits),
        ("seconds", _seconds_fit),
        ("compactions", _compactions_fit),
        ("frame_steps", _frame_steps_fit),
        ("frame_widths", _frame_widths_fit),
        ("frame_values", _frame_values_fit),
    ):
        if not fits(parts):
            raise DamagedTraceError(f"The trace's part {name!r} does not fit its other parts.")


def _seen_fits(p: Parts) -> bool:
    seen, tokens = p["seen"], p["token_ids"].size
    last = int(seen[-1]) if seen.size else 0
    return last == tokens and _within(seen, 1, tokens + 1) and bool((np.diff(seen) > 0).all())


def _joined_fits(p: Parts) -> bool:
    arrived = np.diff(p["seen"], prepend=np.int32(0))
    return bool(np.array_equal(p["joined_at"], np.repeat(np.arange(p["seen"].size), arrived)))


def _nll_fits(p: Parts) -> bool:
    return p["nll"].shape == p["token_ids"].shape and not bool(np.isinf(p["nll"]).any())


def _evicted_fits(p: Parts) -> bool:
    """No token goes before it came, and all layers hold equally many after every step."""
    evicted, steps = p["evicted_at"], p["seen"].size
    if evicted.shape[1] != p["token_ids"].size or not _within(evicted, HELD, steps):
        return False
    if not bool(((evicted == HELD) | (evicted >= p["joined_at"])).all()):
        return False
    drops = [_drops(row, steps) for row in evicted]
    return all(np.array_equal(drops[0], others) for others in drops[1:])


def _drops(row: npt.NDArray[np.int32], steps: int) -> npt.NDArray[np.intp]:
    """How many tokens a layer dropped in each step."""
    return np.bincount(row[row != HELD], minlength=steps)


def _seconds_fit(p: Parts) -> bool:
    seconds = p["seconds"]
    return seconds.shape == p["seen"].shape and bool((np.isfinite(seconds) & (seconds >= 0)).all())


def _compactions_fit(p: Parts) -> bool:
    rows, steps, tokens = p["compactions"], p["seen"].size, p["token_ids"].size
    if rows.shape[1] != COMPACTION_COLUMNS or not _within(rows, 0, max(steps, tokens) + 1):
        return False
    step, _, _, width, kept, _, restart = rows.T
    in_order = bool((np.diff(step) >= 0).all()) and _within(step, 0, steps)
    return in_order and bool((kept <= width).all()) and _within(restart, 0, 2)


def _frame_steps_fit(p: Parts) -> bool:
    steps = p["frame_steps"]
    right = steps.shape == p["frame_widths"].shape and _within(steps, 0, p["seen"].size)
    return right and bool((np.diff(steps) > 0).all())


def _frame_widths_fit(p: Parts) -> bool:
    """A frame is as wide as what its step saw: what was held before, and what joined in it."""
    widths, at = p["frame_widths"], p["frame_steps"]
    if not p["evicted_at"].shape[0]:
        return not widths.size
    gone = np.cumsum(_drops(p["evicted_at"][0], p["seen"].size))
    before = np.concatenate([[0], gone])[at]
    return bool(np.array_equal(widths, p["seen"][at] - before))


def _frame_values_fit(p: Parts) -> bool:
    values, layers = p["frame_values"], p["evicted_at"].shape[0]
    right = int(p["frame_widths"].astype(np.int64).sum()) * layers == values.size
    return right and bool(((values >= 0) & (values <= 1.01)).all())


def _within(values: npt.NDArray[Any], low: int, high: int) -> bool:
    return values.size == 0 or bool(values.min() >= low and values.max() < high)


def _assemble(parts: Parts, manifest: dict[str, Any]) -> Trace:
    rows = parts["evicted_at"].shape[0]
    heads = manifest.pop(HEADS, None)
    if heads is not None and (type(heads) is not int or not 1 <= heads <= rows or rows % heads):
        raise DamagedTraceError(f"The trace's {HEADS!r} does not fit its other parts.")
    shape = (rows,) if heads is None else (rows // heads, heads)
    ends = np.cumsum(parts["frame_widths"].astype(np.int64) * rows)
    values = np.split(parts["frame_values"], ends[:-1]) if ends.size else []
    frames = tuple(
        MassFrame(int(step), flat.reshape(*shape, -1))
        for step, flat in zip(parts["frame_steps"], values, strict=True)
    )
    columns = {name: parts[name] for name in _COLUMNS}
    by_head = None
    if heads is not None:
        by_head = columns["evicted_at"].reshape(*shape, -1)
        columns["evicted_at"] = last_of_heads(by_head)
    return Trace(**columns, frames=frames, manifest=manifest, evicted_by_head=by_head)
