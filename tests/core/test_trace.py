"""Trace: what was held at any step, and what is saved is what comes back."""

from __future__ import annotations

import numpy as np
import pytest
from recorded_rule import CONFIG, LAYERS, record, reload

from lacache_core.errors import InvalidSettingError
from lacache_core.trace_builder import TraceBuilder


@pytest.fixture(scope="module")
def run():
    return record()


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
    assert again.held_at(-1).shape == (LAYERS, 0)
    assert np.isnan(again.perplexity())


def test_perplexity_of_a_stretch(run):
    trace, _ = run
    assert trace.perplexity() == pytest.approx(np.exp(np.mean(np.arange(1, 90) / 10)), rel=1e-5)
    assert trace.perplexity(10, 20) == pytest.approx(np.exp(np.mean(np.arange(10, 20) / 10)))


def test_compactions_carry_names(run):
    trace, _ = run
    first = trace.compaction_list()[0]
    ladder = CONFIG.ladder(LAYERS)
    assert first.seen == ladder.effective_budget + 1
    assert (first.start, first.width, first.kept) == (2, ladder.group_width, ladder.kept_width)
    assert any(c.restart for c in trace.compaction_list())


def test_until_an_earlier_step(run):
    trace, held = run
    early = trace.until(60)
    assert early.num_steps == 60 and early.num_tokens == 60
    assert (early.positions_at(59) == held[59]).all()
    assert early.compactions[:, 0].max() < 60 and early.frames[-1].step == 59
    assert (early.evicted_at < 60).all()
    assert trace.until(0).num_tokens == 0
    assert reload(early).num_steps == 60


@pytest.mark.parametrize("step", [-2, 90, 10**30, 1.0, True, None, "3"])
def test_a_step_that_the_run_does_not_have_is_refused(run, step):
    trace, _ = run
    for ask in (trace.held_at, trace.positions_at, trace.entries_at, trace.share_at):
        with pytest.raises(InvalidSettingError, match="step .* a whole number from -1 to 89"):
            ask(step)
    if step != 90:
        with pytest.raises(InvalidSettingError, match="from 0 to 90"):
            trace.until(step)


def test_before_the_first_step_nothing_is_held(run):
    trace, _ = run
    assert not trace.held_at(-1).any() and trace.entries_at(np.int64(-1)) == 0
