"""The loop: events, chunks, losses, cancelling, two engines on one model."""

import io
import threading

import numpy as np
import pytest
import torch
from matrix import SMALL
from tiny import LAYERS, random_ids, tiny_model
from transformers import DynamicCache

from lacache_core.cache import LadderCache
from lacache_core.engine import Engine
from lacache_core.errors import InvalidSettingError, UnsupportedOperationError
from lacache_core.ladder import LadderConfig, retained
from lacache_core.policies import Full, LaCache, SnapKV, StreamingLLM
from lacache_core.trace import Trace

CONFIG = LadderConfig(budget=24, span=3, overlap=1, num_sink=2)
TEXT = random_ids(80)[0].tolist()


@pytest.fixture(scope="module")
def llama():
    return tiny_model()


@pytest.mark.parametrize("chunk", [1, 9, 64])
@pytest.mark.parametrize("policy", SMALL, ids=lambda p: p.name)
def test_events_and_trace_tell_what_the_cache_held(llama, policy, chunk):
    engine = Engine(llama, None, policy, chunk=chunk, observe_every=1)
    rows_of = engine.planner.row_of_layer  # [L], or [L, H] where heads differ
    held, masses, rows_before = [], [], np.empty((*rows_of.shape, 0), int)
    for event in engine.generate(TEXT, max_new_tokens=30):
        rows = engine.cache.text_positions
        held.append(rows)
        masses.append(event.mass)
        assert event.seen == engine.cache.seen
        assert event.held == rows.shape[-1]
        assert event.mass.shape == (*rows_of.shape, rows_before.shape[-1] + event.token_ids.size)
        assert np.allclose(event.mass.sum(-1), 1, atol=1e-5)
        new = set(range(event.seen - event.token_ids.size, event.seen))
        for place in np.ndindex(rows_of.shape):
            gone = set(event.dropped[rows_of[place]].tolist())
            assert gone == (set(rows_before[place].tolist()) | new) - set(rows[place].tolist())
        rows_before = rows
    trace = engine.trace(note="x")
    assert trace.num_steps == len(held)
    assert trace.token_ids[: len(TEXT)].tolist() == TEXT
    assert trace.manifest["note"] == "x"
    assert trace.manifest["policy"] == policy.name
    assert trace.manifest["settings"].get("budget") == getattr(policy, "budget", None)
    assert set(trace.manifest["versions"]) == {"lacache_core", "torch", "transformers"}
    for step, rows in enumerate(held):
        assert (trace.positions_at(step) == rows).all()
    assert len(trace.frames) == len(masses)
    again = Trace.load(io.BytesIO(trace.to_bytes()))
    last = trace.num_steps - 1
    assert (again.positions_at(last) == rows).all()
    assert (again.share_at(last).sum(1) == rows.shape[-1]).all()
    assert (again.held_at(last) == (again.share_at(last) > 0)).all()
    assert all((a.mass == b.mass).all() for a, b in zip(again.frames, trace.frames, strict=True))
    if isinstance(policy, LaCache):
        assert (held[-1] == retained(policy, LAYERS, engine.cache.seen)).all()
        listed = trace.compaction_list()
        assert [c.seen for c in listed] == sorted(c.seen for c in listed)
        per_token = Engine(llama, None, policy)
        for _ in per_token.read(trace.token_ids.tolist()):
            pass
        # The same compactions, whether the tokens came in chunks or one by one.
        again = [
            (c.seen, c.start, c.cursor, c.restart) for c in per_token.trace().compaction_list()
        ]
        assert [(c.seen, c.start, c.cursor, c.restart) for c in listed] == again


def test_read_losses_equal_the_model_itself(llama):
    with torch.no_grad():
        logits = llama(torch.tensor([TEXT])).logits[0]
    expected = torch.nn.functional.cross_entropy(
        logits[:-1], torch.tensor(TEXT[1:]), reduction="none"
    ).numpy()
    for chunk in (1, 7, 80):
        engine = Engine(llama, None, Full())
        events = list(engine.read(TEXT, chunk=chunk))
        nll = np.concatenate([e.nll for e in events])
        assert np.isnan(nll[0])
        assert np.allclose(nll[1:], expected, atol=1e-4)
        assert engine.stop_reason == "end of text"
        assert engine.trace().perplexity() == pytest.approx(np.exp(expected.mean()), rel=1e-4)
        assert engine.trace().perplexity(40) == pytest.approx(
            np.exp(expected[39:].mean()), rel=1e-4
        )


def test_read_equals_calling_the_model_with_the_cache(llama):
    cache = LadderCache(llama, CONFIG)
    with torch.no_grad():
        logits = torch.cat(
            [llama(torch.tensor([[t]]), past_key_values=cache).logits[0] for t in TEXT]
        )
    expected = torch.nn.functional.cross_entropy(
        logits[:-1], torch.tensor(TEXT[1:]), reduction="none"
    )
    events = list(Engine(llama, None, CONFIG).read(TEXT))
    nll = np.concatenate([e.nll for e in events])
    assert np.allclose(nll[1:], expected.numpy(), atol=1e-4)


def test_generated_losses_are_those_of_the_chosen_tokens(llama):
    events = list(Engine(llama, None, Full(), chunk=80).generate(TEXT, max_new_tokens=10))
    ids = torch.tensor([TEXT + [e.next_token for e in events]])
    with torch.no_grad():
        logits = llama(ids, past_key_values=DynamicCache()).logits[0]
    for n, event in enumerate(events[1:], start=len(TEXT)):
        expected = -logits[n - 1].log_softmax(-1)[ids[0, n]]
        assert event.token_ids.tolist() == [ids[0, n].item()]
        assert event.nll[0] == pytest.approx(expected.item(), abs=1e-4)


def test_seed_and_temperature(llama):
    def text(**options):
        engine = Engine(llama, None, CONFIG)
        return [e.next_token for e in engine.generate(TEXT, max_new_tokens=20, **options)]

    assert text() == text()
    assert text(temperature=1.0, seed=1) == text(temperature=1.0, seed=1)
    assert text(temperature=1.0, seed=1) != text(temperature=1.0, seed=2)
    # So little probability that only the likeliest token is left.
    assert text(temperature=1.0, top_p=1e-6, seed=3) == text()
    with pytest.raises(InvalidSettingError, match="top_p"):
        text(temperature=1.0, top_p=0)
    with pytest.raises(InvalidSettingError, match="temperature"):
        text(temperature=-1)


def test_stop_tokens_end_the_text(llama):
    engine = Engine(llama, None, CONFIG)
    tokens = [e.next_token for e in engine.generate(TEXT, max_new_tokens=20)]
    assert engine.stop_reason == "length"
    assert len([t for t in tokens if t is not None]) == 20
    chosen = [t for t in tokens if t is not None]
    stop = chosen[4]
    again = [e.next_token for e in engine.generate(TEXT, max_new_tokens=20, stops=[stop])]
    again = [t for t in again if t is not None]
    assert engine.stop_reason == "stop token"
    assert again == chosen[: chosen.index(stop) + 1]


@pytest.mark.parametrize("mode", ["generate", "read"])
def test_cancel_is_looked_at_before_every_step(llama, mode):
    engine, cancel = Engine(llama, None, CONFIG, chunk=8), threading.Event()
    run = engine.generate if mode == "generate" else engine.read
    events = run(TEXT, cancel=cancel)
    for _ in range(3):
        next(events)
    cancel.set()
    assert list(events) == []
    assert engine.stop_reason == "cancelled"
    assert engine.trace().num_steps == 3
    engine.generate(TEXT)  # and it can start again
    assert len(list(engine.read(TEXT))) == len(TEXT)


def test_two_engines_on_one_model_do_not_disturb_each_other(llama):
    def run(policy, observe, out):
        engine = Engine(llama, None, policy, chunk=8, observe_every=observe)
        out += [(e.next_token, e.held) for e in engine.generate(TEXT, max_new_tokens=25)]

    jobs = [(CONFIG, 1), (StreamingLLM(24, 3), 0), (Full(), 2)]
    alone = [[] for _ in jobs]
    for (policy, observe), out in zip(jobs, alone, strict=True):
        run(policy, observe, out)
    together = [[] for _ in jobs]
    threads = [
        threading.Thread(target=run, args=(policy, observe, out))
        for (policy, observe), out in zip(jobs, together, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone


def test_prefill_memory_is_budget_plus_chunk(llama):
    engine = Engine(llama, None, CONFIG, chunk=8)
    longest = 0
    appended = engine.cache._contents.update

    def update(layer, keys, values):
        nonlocal longest
        out = appended(layer, keys, values)
        longest = max(longest, out[0].shape[-2])
        return out

    engine.cache._contents.update = update
    list(engine.read(random_ids(500)[0].tolist(), chunk=8))
    assert longest <= engine.planner.capacity + 8
    buffers = engine.cache._contents.buffers
    assert buffers.capacity <= engine.planner.capacity + 1 + buffers.spare


def test_impossible_inputs_are_named(llama):
    with pytest.raises(InvalidSettingError, match="prompt.*at least one token"):
        list(Engine(llama, None, CONFIG).generate([]))
    with pytest.raises(InvalidSettingError, match="prompt.*2,048 tokens"):
        list(Engine(llama, None, Full()).read([1] * 3000))
    with pytest.raises(InvalidSettingError, match="budget.*2048 positions"):
        Engine(llama, None, StreamingLLM(2040), chunk=64)
    with pytest.raises(InvalidSettingError, match="prompt.*holds the prompt whole"):
        list(Engine(llama, None, SnapKV(64)).generate([1] * 3000))
    with pytest.raises(InvalidSettingError, match="chunk"):
        Engine(llama, None, CONFIG, chunk=0)
    with pytest.raises(InvalidSettingError, match="chunk"):
        list(Engine(llama, None, CONFIG).read(TEXT, chunk=0))
    with pytest.raises(InvalidSettingError, match="tokenizer"):
        list(Engine(llama, None, CONFIG).read("words"))


def test_a_policy_without_budget_stops_where_positions_end():
    model = tiny_model(max_position_embeddings=90)
    engine = Engine(model, None, Full(), chunk=8)
    assert len(list(engine.generate(TEXT, max_new_tokens=50))) > 0
    assert engine.stop_reason == "positions"
    assert engine.cache.seen == 90


def test_a_budget_reads_past_the_model_s_positions():
    model = tiny_model(max_position_embeddings=64)
    engine = Engine(model, None, CONFIG, chunk=8)
    assert len(list(engine.read(random_ids(300)[0].tolist()))) == 300
    assert engine.cache.next_position <= 64


@pytest.mark.parametrize(
    "given, field",
    [
        ({"max_new_tokens": float("nan")}, "max_new_tokens"),
        ({"max_new_tokens": 0}, "max_new_tokens"),
        ({"max_new_tokens": True}, "max_new_tokens"),
        ({"seed": -1}, "seed"),
        ({"seed": 3.7}, "seed"),
        ({"temperature": "a"}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"chat": True}, "chat"),
        ({"prompt": [1.5]}, "prompt"),
        ({"prompt": [True]}, "prompt"),
        ({"prompt": [[1, 2]]}, "prompt"),
        ({"prompt": [-1]}, "prompt"),
        ({"prompt": [10**6]}, "prompt"),
        ({"prompt": [10**12]}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"prompt": []}, "prompt"),
    ],
)
def test_what_cannot_be_generated_is_refused_by_name(given, field):
    engine = Engine(tiny_model(), None, LadderConfig(24, 3, 1, num_sink=2))
    with pytest.raises(InvalidSettingError) as caught:
        next(engine.generate(**{"prompt": [1, 2, 3], **given}))
    assert caught.value.field == field


@pytest.mark.parametrize("chunk", [0, 3.7, float("nan"), True, "3"])
def test_a_chunk_is_a_whole_number(chunk):
    config = LadderConfig(24, 3, 1, num_sink=2)
    with pytest.raises(InvalidSettingError, match="chunk"):
        Engine(tiny_model(), None, config, chunk=chunk)
    with pytest.raises(InvalidSettingError, match="chunk"):
        next(Engine(tiny_model(), None, config).read([1, 2, 3], chunk=chunk))


def test_a_text_that_another_one_overtook_ends_in_words():
    engine = Engine(tiny_model(), None, LadderConfig(24, 3, 1, num_sink=2))
    first = engine.generate([1, 2, 3], max_new_tokens=9)
    next(first)
    alone = [e.next_token for e in engine.generate([4, 5, 6], max_new_tokens=5)]
    assert len(alone) == 5
    with pytest.raises(UnsupportedOperationError, match="one text at a time"):
        next(first)
