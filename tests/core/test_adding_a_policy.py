"""The document on adding a policy, built and run from its own code blocks."""

import importlib.util
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import test_cache
import test_engine
import test_policies
from hypothesis import given, settings
from hypothesis import strategies as st
from test_policies import Held
from tiny import random_ids, tiny_model

from lacache_core.errors import InvalidSettingError
from lacache_core.policies import POLICIES

DOCUMENT = Path(__file__).parents[2] / "docs" / "adding-a-policy.md"
BLOCKS = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)


@pytest.fixture(scope="module")
def every_kth(tmp_path_factory):
    """The blocks of steps 1 to 4 as the file that they make."""
    file = tmp_path_factory.mktemp("policies") / "every_kth.py"
    file.write_text("\n\n".join(BLOCKS[:4]))
    spec = importlib.util.spec_from_file_location("every_kth", file)
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "every_kth", module)  # dataclasses look it up
        spec.loader.exec_module(module)
        yield module


def test_there_are_six_steps():
    steps = re.findall(r"^## (\d)\. ", DOCUMENT.read_text(), re.MULTILINE)
    assert steps == list("123456")
    assert len(BLOCKS) == 5


@given(cuts=st.lists(st.integers(1, 90), min_size=1, max_size=10), every=st.integers(2, 5))
@settings(max_examples=30, deadline=None)
def test_the_policy_keeps_what_it_promises(every_kth, cuts, every):
    held = Held(every_kth.EveryKth(16, every))
    for count in cuts:
        held.arrive(count)
        (row,) = held.rows
        assert row.size <= 16
        newest = min(8, held.seen)
        assert row[-newest:].tolist() == list(range(held.seen - newest, held.seen))
        assert row[0] == 0 and (np.diff(row) > 0).all()


@pytest.mark.parametrize(
    "check", [test_policies.test_invariants, test_policies.test_the_same_again_is_the_same]
)
def test_the_policy_passes_the_matrix(every_kth, check):
    """Step 6, without a file being changed."""
    check(policy=every_kth.EveryKth(40))
    check(policy=every_kth.EveryKth(40, 3))


@pytest.mark.parametrize(
    "check, more",
    [
        (test_policies.test_a_budget_as_long_as_the_text_equals_the_full_cache, {}),
        (test_policies.test_a_small_budget_does_not, {}),
        (test_policies.test_memory_comes_down_to_the_budget, {}),
        (test_cache.test_positions_are_true_to_the_tensors, {"index": False}),
        (test_cache.test_positions_are_true_to_the_tensors, {"index": True}),
        (test_engine.test_events_and_trace_tell_what_the_cache_held, {"chunk": 9}),
    ],
)
def test_the_policy_passes_the_matrix_with_a_real_model(every_kth, monkeypatch, check, more):
    monkeypatch.setitem(POLICIES, "every_kth", every_kth.EveryKth)  # step 5
    check(tiny_model(), policy=every_kth.EveryKth(24), **more)


def test_every_kth_is_what_stays(every_kth):
    held = Held(every_kth.EveryKth(16, 3))
    held.arrive(17)
    assert held.rows.tolist() == [[0, 3, 6, *range(9, 17)]]
    with pytest.raises(InvalidSettingError, match="every = 1"):
        every_kth.EveryKth(16, 1)


def test_the_example_runs_as_it_stands(every_kth, capsys):
    names = {
        "EveryKth": every_kth.EveryKth,
        "model": tiny_model(),
        "tokenizer": None,
        "text": random_ids(80)[0].tolist(),
    }
    exec(compile(BLOCKS[4], str(DOCUMENT), "exec"), names)
    assert names["engine"].cache.seen == 80 + 99
    assert "entries per layer" in capsys.readouterr().out
