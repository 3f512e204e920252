"""What all measurements share: the machine in words, tables, bars, and results as JSON."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

RESULTS = Path(__file__).resolve().parent / "results"


class Row(NamedTuple):
    """A measured figure and its bar, if it has one."""

    what: str
    value: float
    unit: str
    bar: float | None = None
    at_least: bool = False
    more: str = ""

    @property
    def met(self) -> bool | None:
        if self.bar is None:
            return None
        return self.value >= self.bar if self.at_least else self.value <= self.bar

    def __str__(self) -> str:
        told = f"{self.what:58} {self.value:>10.3g} {self.unit:8}"
        if self.bar is not None:
            sign = "at least" if self.at_least else "at most"
            told += f" {sign} {self.bar:g}  {'met' if self.met else 'MISSED'}"
        return f"{told}  {self.more}".rstrip()


def machine() -> dict[str, Any]:
    """Where and with what this was measured."""
    import torch

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else _processor()
    return {
        "date": date.today().isoformat(),
        "device": device,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        **{name: _version(name) for name in ("torch", "transformers", "gradio")},
    }


def _version(name: str) -> str | None:
    """None where it is not installed, as gradio is not where models alone are measured."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    """The processor's name where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line for line in lines if line.startswith("model name")).split(": ")[1]
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def write(out: Path | None, rows: Iterable[Row], **more: Any) -> None:
    """The numbers as JSON, for those who want to see them again."""
    if out is None:
        return
    told = {**machine(), **more, "rows": [{**row._asdict(), "met": row.met} for row in rows]}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(told, indent=1) + "\n")


def status(rows: Iterable[Row]) -> int:
    """0 when every bar is met, otherwise 1."""
    return int(any(row.met is False for row in rows))


def p95(values: list[float]) -> float:
    return sorted(values)[max(0, round(0.95 * len(values)) - 1)]
