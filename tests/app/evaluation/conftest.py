"""What these tests share: a tiny random model as the app's default, and a store of its own."""

from __future__ import annotations

import time

import pytest
from tiny import tiny_folder

from app.evaluation.jobs import Measurements
from app.runs import Runs
from lacache_core.models import load


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    return load(str(tiny_folder(tmp_path_factory.mktemp("tiny"))), device="cpu")


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "results"


@pytest.fixture
def measurements(tiny, folder, monkeypatch):
    monkeypatch.setenv("LACACHE_MODEL", tiny.id)
    monkeypatch.setenv("LACACHE_DEVICE", "cpu")
    monkeypatch.setenv("LACACHE_RESULTS", str(folder))
    monkeypatch.delenv("SPACE_ID", raising=False)
    return Measurements(folder, Runs([]))


@pytest.fixture
def finish(measurements):
    """Waits until a measurement is over; gives all of it as the page sees it."""

    def finish(started, seconds=120):
        until = time.monotonic() + seconds
        while not started.over and time.monotonic() < until:
            time.sleep(0.02)
        assert started.over
        return measurements.look(started.id)

    return finish
