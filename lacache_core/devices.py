"""Where a model runs and in which number format; how much memory is free there.

Chosen by what the machine has, unless an argument or ``LACACHE_DEVICE`` / ``LACACHE_DTYPE`` says
otherwise. Nothing here knows which model it is for.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from lacache_core.errors import InvalidSettingError

if TYPE_CHECKING:
    import torch

DTYPES = {
    "float32": "float32",
    "fp32": "float32",
    "float16": "float16",
    "fp16": "float16",
    "bfloat16": "bfloat16",
    "bf16": "bfloat16",
}
_CGROUP = Path("/sys/fs/cgroup")


def choose_device(asked: Any = None) -> torch.device:
    """The device to run on.

    Parameters
    ----------
    asked
        A name ("cpu", "cuda", "cuda:1", "mps"), a ``torch.device``, or None or "auto": then
        ``$LACACHE_DEVICE``, else CUDA, MPS or the CPU, the first that is there.

    Raises
    ------
    InvalidSettingError
        When this machine has no such device.
    """
    import torch

    field, asked = _asked("device", asked, "LACACHE_DEVICE")
    cuda = torch.cuda.device_count() if torch.cuda.is_available() else 0
    mps = torch.backends.mps.is_available()
    if asked is None:
        return torch.device("cuda" if cuda else "mps" if mps else "cpu")
    there = ["auto", "cpu"] + ["cuda", *(f"cuda:{i}" for i in range(cuda))] * bool(cuda)
    there += ["mps"] * mps
    if str(asked) not in there:
        raise InvalidSettingError(
            field, str(asked), f"a device that this machine has: {', '.join(there)}"
        )
    return torch.device(asked)


def choose_dtype(asked: Any, device: torch.device) -> torch.dtype:
    """The number format to run in: on a GPU 16 bits (bfloat16 where it can), on the CPU float32.

    Parameters
    ----------
    asked
        A name from ``DTYPES``, a ``torch.dtype``, or None or "auto": then ``$LACACHE_DTYPE``, else
        what suits the device.

    Raises
    ------
    InvalidSettingError
        When there is no such format, or the device cannot compute in it.
    """
    import torch

    field, asked = _asked("dtype", asked, "LACACHE_DTYPE")
    if asked is None:
        if device.type == "cpu":
            return torch.float32
        return torch.bfloat16 if _has_bfloat16(device) else torch.float16
    name = DTYPES.get(str(asked).removeprefix("torch.").lower())
    if name is None:
        raise InvalidSettingError(field, str(asked), f"one of auto, {', '.join(DTYPES)}")
    if name == "bfloat16" and not _has_bfloat16(device):
        raise InvalidSettingError(
            field, str(asked), f"float16 or float32: {device} cannot compute in bfloat16"
        )
    dtype: torch.dtype = getattr(torch, name)
    return dtype


def _asked(field: str, value: Any, variable: str) -> tuple[str, Any]:
    """What was asked for and under which name; None when nothing was."""
    if value is None or value == "auto":
        field, value = variable, os.environ.get(variable, "").strip() or "auto"
    return field, None if value == "auto" else value


def _has_bfloat16(device: torch.device) -> bool:
    import torch

    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "mps":  # depends on chip and system; trying is the way to know
        try:
            torch.zeros(1, dtype=torch.bfloat16, device=device)
        except (TypeError, RuntimeError):
            return False
    return True


def free_memory(device: torch.device) -> int | None:
    """Bytes that are free where models for this device lie; None when it cannot be told."""
    import torch

    if device.type == "cuda":
        if os.environ.get("SPACES_ZERO_GPU"):  # no GPU is there before a call borrows one
            return None
        return int(torch.cuda.mem_get_info(device)[0])
    return _free_in_main_memory()


def _free_in_main_memory() -> int:
    """What the machine has, or, inside a container, what the container may still take."""
    free = int(psutil.virtual_memory().available)
    try:
        most = int((_CGROUP / "memory.max").read_text())  # "max" where there is no limit
        used = int((_CGROUP / "memory.current").read_text())
        lines = (line.split() for line in (_CGROUP / "memory.stat").read_text().splitlines())
        reclaimable = next(int(value) for name, value in lines if name == "inactive_file")
    except (OSError, ValueError, StopIteration):
        return free
    return min(free, max(0, most - used + reclaimable))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether this is what torch or Python raise when memory runs out."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and ("out of memory" in text or "can't alloc" in text)
