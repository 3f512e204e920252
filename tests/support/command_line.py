"""What tests of the command line give to it."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


LADDER = ["--budget", "32", "--span", "3", "--overlap", "1"]


TEXT = "The ladder keeps different tokens in different layers, again and again. " * 3
