"""What these tests share: a tiny random model with a tokenizer of one token a byte."""

from __future__ import annotations

import pytest
from tiny import tiny_folder

from lacache_core.models import load


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    return load(str(tiny_folder(tmp_path_factory.mktemp("tiny"))), device="cpu")
