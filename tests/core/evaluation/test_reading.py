"""Perplexity and endless reading: equal to the trace, stopped, resumed, honest about positions."""

import threading

import numpy as np
import pytest
from tiny import random_ids

from lacache_core.engine import Engine
from lacache_core.errors import InvalidSettingError, StoreUnavailableError
from lacache_core.evaluation.contenders import Contender, contenders
from lacache_core.evaluation.endless import endless, long_text
from lacache_core.evaluation.kept import Keeper
from lacache_core.evaluation.perplexity import KIND, perplexity
from lacache_core.evaluation.reading import latest
from lacache_core.evaluation.tables import in_common, reading_cells
from lacache_core.store import Store

IDS = random_ids(101)[0].numpy().astype(np.int32)
SETTINGS = {"span": 3, "overlap": 1, "num_sink": 2}


def competing(*policies, budgets=(24,)):
    return contenders(policies or ["full", "streaming_llm", "lacache"], budgets, SETTINGS)


def final(readings):
    """The last word on each policy."""
    *_, last = latest(readings)
    return last


def test_latest_has_every_policy_once_and_every_refusal(tiny):
    who = [*competing("full"), *competing("lacache", budgets=(0.1, 0.2, 0.3, 24))]
    found = final(perplexity(tiny, IDS, who, stretch=50))
    assert [(r.policy, r.budget, bool(r.ended)) for r in found] == [
        ("full", None, False),
        ("lacache", 10, True),  # a tenth of 101 tokens, below the least budget
        ("lacache", 20, False),
        ("lacache", 30, False),
        ("lacache", 24, False),
    ]


def test_readings_of_different_lengths_are_put_on_equal_terms(tiny):
    long = random_ids(2100)[0].numpy().astype(np.int32)  # of which the model has 2,048 positions
    text = long_text(tiny.tokenizer, long, 2100)
    read = final(endless(tiny, text, competing(), stretch=300, chunk=100))
    at, shares = in_common(reading_cells(read))
    assert at == 1900 and [r.tokens for r in read] == [2048, 2100, 2100]
    for reading, share in zip(read, shares, strict=True):
        (there,) = [s.accumulated for s in reading.stretches if s.stop == 1900]
        assert share == there != reading.perplexity
    # Nothing to put right, nothing in common, one that never began.
    assert in_common(reading_cells(read[1:])) == (0, [None] * 2)
    short = final(perplexity(tiny, IDS, competing("full"), stretch=25))
    assert in_common(reading_cells([*short, read[0]]))[0] == 0
    never = final(perplexity(tiny, IDS, [Contender("lacache", 1)]))
    assert in_common(reading_cells([*read, *never])) == (1900, [*shares, None])


@pytest.mark.parametrize("chunk", [1, 7])
@pytest.mark.parametrize("one", competing(), ids=lambda c: c.policy)
def test_stretches_equal_the_trace(tiny, one, chunk):
    *_, reading = perplexity(tiny, IDS, [one], stretch=25, chunk=chunk)
    engine = Engine(tiny.model, None, one.at(0))
    events = list(engine.read(IDS, chunk=chunk))
    trace, by_seen = engine.trace(), {e.seen: e for e in events}
    assert reading.complete and not reading.ended
    assert reading.tokens == reading.length == len(IDS)
    assert reading.perplexity == pytest.approx(trace.perplexity(), rel=1e-6)
    assert reading.settings == trace.manifest["settings"]
    start = 1
    for stretch in reading.stretches:
        assert stretch.start == start
        assert stretch.perplexity == pytest.approx(trace.perplexity(start, stretch.stop), rel=1e-6)
        assert stretch.accumulated == pytest.approx(trace.perplexity(0, stretch.stop), rel=1e-6)
        event = by_seen[stretch.stop]
        assert stretch.held == event.held
        assert stretch.union == trace.held_at(event.step).any(axis=0).sum()
        assert stretch.kv_bytes == event.held * engine.cache.bytes_per_entry
        assert stretch.seconds > 0
        start = stretch.stop
    assert start == len(IDS)
    assert sum(s.tokens for s in reading.stretches) == len(IDS)
    if chunk == 1:
        assert [s.stop for s in reading.stretches] == [26, 51, 76, 101]


def test_a_budget_as_long_as_the_text_equals_the_full_cache(tiny):
    full, window = final(perplexity(tiny, IDS, competing("full", "streaming_llm", budgets=(1.0,))))
    assert window.budget == len(IDS) and full.budget is None
    assert window.perplexity == pytest.approx(full.perplexity, rel=1e-5)
    assert window.union == full.union == len(IDS)
    assert len(full.stretches) == 25  # a 32nd of the text, rounded up to 4 tokens


def test_progress_ends_at_all_of_it_and_tells_the_time_remaining(tiny):
    told = []
    list(perplexity(tiny, IDS, competing(), stretch=25, progress=told.append))
    assert [p.fraction for p in told] == sorted(p.fraction for p in told)
    assert told[0].done == 0 and told[0].remaining is None
    assert told[-1].fraction == 1 and told[-1].remaining == 0
    assert {p.what for p in told} >= {"Full cache", "StreamingLLM, num_sink 2, budget 24"}


def test_a_stop_keeps_what_is_finished_and_the_part_of_a_stretch(tiny):
    cancel, found = threading.Event(), []
    meter = []

    def stop_late(progress):
        meter.append(progress)
        if progress.done > 160:
            cancel.set()

    from lacache_core.evaluation import progress as module

    every, module._EVERY_SECONDS = module._EVERY_SECONDS, 0.0
    try:
        for reading in perplexity(
            tiny, IDS, competing(), stretch=25, cancel=cancel, progress=stop_late
        ):
            found.append(reading)
    finally:
        module._EVERY_SECONDS = every
    full, window = final(found)
    assert full.complete and full.tokens == len(IDS)
    assert not window.complete and window.tokens == 60
    assert [s.stop for s in window.stretches] == [26, 51, 60]


def test_a_stopped_grid_goes_on_where_it_was(tiny, tmp_path, monkeypatch):
    keeper = Keeper(Store(tmp_path))
    cancel = threading.Event()
    for reading in perplexity(tiny, IDS, competing(), stretch=50, keeper=keeper, cancel=cancel):
        if reading.policy == "streaming_llm":
            cancel.set()
    assert len(Store(tmp_path).list(KIND)) == 1
    read = []
    real = Engine.read
    monkeypatch.setattr(
        Engine, "read", lambda self, *a, **k: read.append(self) or real(self, *a, **k)
    )
    again = final(perplexity(tiny, IDS, competing(), stretch=50, keeper=keeper))
    assert [e.cache.policy.name for e in read] == ["streaming_llm", "lacache"]
    assert all(r.complete for r in again)
    third = final(perplexity(tiny, IDS, competing(), stretch=50, keeper=keeper))
    assert len(read) == 2 and third == again
    # Kept with the run behind it, and not mistaken for anything else.
    (record,) = [r for r in Store(tmp_path).list() if r.key["policy"] == "lacache"]
    trace = Store(tmp_path).trace(record.id)
    assert trace.perplexity() == pytest.approx(again[2].perplexity, rel=1e-6)
    list(perplexity(tiny, IDS[:-1], competing("full"), stretch=50, keeper=keeper))
    list(perplexity(tiny, IDS, competing("full"), stretch=50, chunk=2, keeper=keeper))
    assert len(read) == 4
    fresh = Keeper(Store(tmp_path), fresh=True)
    list(perplexity(tiny, IDS, competing("full"), stretch=50, keeper=fresh))
    assert len(read) == 5


def test_a_store_that_fails_costs_the_keeping_alone(tiny, tmp_path):
    (tmp_path / "file").write_text("")
    said = []
    keeper = Keeper(Store(tmp_path / "file"), say=said.append)
    readings = final(perplexity(tiny, IDS, competing(), keeper=keeper))
    assert all(r.complete for r in readings)
    assert len(said) == 1
    with pytest.raises(StoreUnavailableError):
        Store(tmp_path / "file").list()


def test_a_policy_that_is_impossible_here_says_why_and_the_others_go_on(tiny):
    grid = [Contender("lacache", 24, {"span": 99}), *competing("full")]
    refused, full = final(perplexity(tiny, IDS, grid))
    assert "span = 99" in refused.ended and not refused.complete and not refused.stretches
    assert refused.row()["tokens"] == 0 and full.complete


def test_a_text_longer_than_the_positions(tiny):
    ids = np.tile(IDS, 21)[:2100]
    assert tiny.model.config.max_position_embeddings == 2048
    (refused,) = final(perplexity(tiny, ids, competing("full"), chunk=700))
    assert "2,048" in refused.ended and not refused.stretches
    text = long_text(tiny.tokenizer, ids, 2100)
    full, window = final(
        endless(tiny, text, competing("full", "streaming_llm"), stretch=700, chunk=100)
    )
    assert full.tokens == 2048 and full.length == 2100
    assert "stops after 2,048 of 2,100 tokens" in full.ended
    assert window.tokens == 2100 and window.complete and not window.ended
    assert {s.held for s in window.stretches} == {24}
    assert len({s.kv_bytes for s in window.stretches}) == 1


def test_long_text_is_exact_and_says_how_it_was_made(tiny):
    text = long_text(tiny.tokenizer, IDS, 50)
    assert (text.ids == IDS[:50]).all() and "first 50 tokens" in text.made
    text = long_text(tiny.tokenizer, IDS, 1000)
    assert (text.ids[:101] == IDS).all() and len(text.ids) == 1000
    assert "101 tokens" in text.made and "manual" in text.made and "times" not in text.made
    text = long_text(tiny.tokenizer, None, 900_000)  # a token a byte: the manual is shorter
    assert len(text.ids) == 900_000 and "2 times over" in text.made
    for wrong in (1, 0, -5, True, 3.5, 10**9):
        with pytest.raises(InvalidSettingError, match="tokens"):
            long_text(tiny.tokenizer, IDS, wrong)


@pytest.mark.parametrize(
    "arguments, named",
    [({"stretch": 0}, "stretch"), ({"chunk": 0}, "chunk"), ({"stretch": True}, "stretch")],
)
def test_impossible_sizes_are_named(tiny, arguments, named):
    with pytest.raises(InvalidSettingError, match=named):
        list(perplexity(tiny, IDS, competing("full"), **arguments))
    with pytest.raises(InvalidSettingError, match="text"):
        list(perplexity(tiny, IDS[:1], competing("full")))
