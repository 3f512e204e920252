"""The feed against docs/live-map.md: what the messages say is what the trace knows."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import pytest
from messages import CONFIG, info_of, messages, numbered
from tiny import random_ids, tiny_model

from app.feed import RunFeed, as_text, mass_bytes, notice
from lacache_core.engine import Engine
from lacache_core.ladder import LadderConfig
from lacache_core.policies import H2O, Full, StreamingLLM
from lacache_core.settings import RunSettings
from lacache_core.trace import HELD

DOCUMENT = Path(__file__).parents[2] / "docs" / "live-map.md"


def unpack(text, dtype):
    return np.frombuffer(base64.b64decode(text), dtype=dtype)


def replay(found):
    """What a browser makes of the messages, in the plainest way."""
    first, *rest = (json.loads(as_text(m)) for m in found)
    tokens, joined = list(first["tokens"]), unpack(first["joinedAt"], "<i4").tolist()
    rows = np.max(first["rowOfLayer"]) + 1  # of lists, where heads differ
    evicted = unpack(first["evictedAt"], "<i4").reshape(rows, -1).tolist()
    groups = unpack(first["compactions"], "<i4").reshape(-1, 7).tolist()
    text, ids, nll = first["text"], list(first["ids"]), unpack(first["nll"], "<f4").tolist()
    for message in rest:
        for step in message["steps"]:
            before = len(tokens)
            tokens += step["t"]
            ids += step["i"]
            nll += [float("nan") if x is None else x for x in step["l"]]
            joined += [step["n"]] * len(step["t"])
            for row, dropped in zip(evicted, step["d"], strict=True):
                row += [HELD] * len(step["t"])
                for position in dropped:
                    row[position] = step["n"]
            groups += [[step["n"], before + g[0], *g[1:]] for g in step["g"]]
        text += message["text"]
    return tokens, ids, nll, joined, evicted, groups, text


@pytest.mark.parametrize("batch", [1, 3, 1000])
@pytest.mark.parametrize("policy", [CONFIG, StreamingLLM(24, 3), Full(), H2O(24)], ids=str)
def test_messages_add_up_to_the_trace(policy, batch):
    found, feed, engine = messages(policy, batch)
    tokens, ids, nll, joined, evicted, groups, _ = replay(found)
    trace = engine.trace()
    assert tokens == [f"<{i}>" for i in trace.token_ids]
    assert ids == trace.token_ids.tolist()
    assert np.allclose(nll, trace.nll, atol=1e-3, equal_nan=True)
    assert joined == trace.joined_at.tolist()
    told = np.array(evicted)[engine.planner.row_of_layer]
    known = trace.evicted_at if trace.evicted_by_head is None else trace.evicted_by_head
    assert told.tolist() == known.tolist()
    assert groups == trace.compactions.tolist()
    assert [m["seq"] for m in found] == list(range(len(found)))
    again = replay([feed.snapshot()])
    assert again[0] == tokens and again[3] == joined and again[4] == evicted and again[5] == groups


def test_a_snapshot_in_between_tells_what_the_messages_told():
    engine = Engine(tiny_model(), None, CONFIG, chunk=16)
    feed, told = None, []
    for n, event in enumerate(engine.generate(random_ids(60)[0].tolist(), max_new_tokens=20)):
        if feed is None:
            feed = RunFeed("r", RunSettings(), info_of(engine, 60), "LaCache", numbered, 0.0)
        feed.add(event)
        if n in (0, 4, 9):
            told.append(feed.message())
    snapshot = feed.snapshot()
    assert snapshot["seq"] == 2
    assert snapshot["steps"] == 10
    assert replay([snapshot])[4] == replay(told)[4]
    assert replay([snapshot])[5] == replay(told)[5]


def test_figures_are_those_of_the_trace():
    found, _, engine = messages()
    figures, trace = found[-1]["figures"], engine.trace()
    held = trace.held_at(trace.num_steps - 1)
    assert figures["seen"] == trace.num_tokens
    assert figures["held"] == held[0].sum()
    assert figures["union"] == held.any(axis=0).sum()
    assert figures["kvBytes"] == held[0].sum() * engine.cache.bytes_per_entry
    assert figures["fullBytes"] == trace.num_tokens * engine.cache.plain_bytes_per_entry
    assert figures["perplexity"] == pytest.approx(trace.perplexity(), rel=1e-3)
    assert figures["tokensPerSecond"] > 0


def test_where_the_time_went_is_told_once_the_run_is_over():
    found, engine, _ = messages()
    assert all("parts" not in m["figures"] for m in found[:-1])
    told = dict(found[-1]["figures"]["parts"])
    spent = engine.trace().manifest["seconds_by_part"]
    assert told["Model"] == pytest.approx(spent["model"], abs=1e-3)
    assert "Sending" in told
    json.dumps(told)


def test_mass_bytes_mean_what_the_document_says():
    shares = np.array([[1.0, 0.1, 0.01, 1e-5, 0.0]], np.float32)
    assert mass_bytes(shares).tolist() == [[255, 204, 153, 0, 0]]
    found, _, _ = messages()
    mass = found[-1]["mass"]
    values = unpack(mass["values"], np.uint8).reshape(6, mass["length"]).astype(float)
    shares = np.where(values > 0, 10 ** ((values - 255) / 51), 0)
    assert np.allclose(shares.sum(axis=1), 1, atol=0.05)


def test_where_heads_differ_rows_and_mass_are_told_by_head():
    found, _, engine = messages(H2O(24))
    rows = np.array(found[0]["rowOfLayer"])
    assert rows.shape == (6, 2)
    mass, last = found[-1]["mass"], engine.trace().frames[-1].mass
    values = unpack(mass["values"], np.uint8).reshape(*rows.shape, mass["length"])
    assert (values == mass_bytes(last)).mean() > 0.95  # the trace keeps sixteen bits of it
    figures, trace = found[-1]["figures"], engine.trace()
    assert figures["held"] == 24
    assert figures["union"] == trace.held_at(trace.num_steps - 1).any(axis=0).sum()


def test_sizes():
    """A step of one token is small; its mass is a byte a cell."""
    config = LadderConfig(budget=256, span=3, num_sink=4)
    found, _, _ = messages(config, batch=1, tokens=300)
    delta = found[-2]
    with_mass = len(as_text(delta).encode())
    without = len(as_text({**delta, "mass": None}).encode())
    assert without < 1000
    assert with_mass < 12_000


def test_every_field_is_documented():
    text = DOCUMENT.read_text()
    found, _, _ = messages()
    names = set()
    for message in (*found[:2], notice("failed", "x")):
        names |= set(message) | set(message.get("setup", {})) | set(message.get("figures", {}))
    step = found[1]["steps"][0]
    missing = [name for name in names | set(step) if f"`{name}`" not in text]
    assert not missing


def test_text_is_one_json_text_whatever_was_written():
    message = notice("failed", 'a "quote" \u2028 </script> ${x} {{y}} ä')
    assert json.loads(as_text(message)) == message
    assert "\n" not in as_text(message)
