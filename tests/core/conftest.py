"""What tests of several modules share."""

from __future__ import annotations

import pytest

from lacache_core import models


@pytest.fixture
def fresh(monkeypatch):
    """No model loaded yet, and nothing chosen by the environment."""
    monkeypatch.setattr(models, "_loaded", {})
    monkeypatch.setattr(models, "_states", {})
    for name in ("LACACHE_MODEL", "LACACHE_DEVICE", "LACACHE_DTYPE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
