"""Recorded and opened runs: what a trace says is what the browser is shown."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from messages import messages
from synthetic_feed import RUNS as KINDS
from synthetic_feed import made

from app import recorded, runs
from app.feed import as_text
from app.recorded import MAX_BYTES, recordings
from app.runs import Kept, Runs
from app.snapshot import figures_of, kept_snapshot, patterns_of, snapshot
from lacache_core.errors import DamagedTraceError
from lacache_core.manifest import Manifest
from lacache_core.trace import MassFrame, Trace

ARRAYS = ("joinedAt", "evictedAt", "nll", "compactions")


def as_base64(trace):
    return base64.b64encode(trace.to_bytes()).decode()


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_kept_run_shows_what_the_live_one_showed(kind):
    run, _ = made(**KINDS[kind])
    live = run.feed.snapshot()
    saved = Trace.load(io.BytesIO(run.feed.trace().to_bytes()))
    kept = kept_snapshot(saved, run="x", origin="opened")
    for name in ("layers", "steps", "tokens", "ids", "text", *ARRAYS):
        if name != "evictedAt":
            assert kept[name] == live[name], name
    unpacked = [
        np.frombuffer(base64.b64decode(m["evictedAt"]), "<i4").reshape(-1, len(m["tokens"]))[
            m["rowOfLayer"]
        ]
        for m in (kept, live)
    ]
    assert (unpacked[0] == unpacked[1]).all()
    changed = {"origin", "expected"}
    assert {k: v for k, v in kept["setup"].items() if k not in changed} == {
        k: v for k, v in live["setup"].items() if k not in changed
    }
    for name in ("seen", "held", "union", "kvBytes", "fullBytes"):
        assert kept["figures"][name] == live["figures"][name], name
    assert "prompt" not in kept["setup"]["settings"]
    as_text(kept)


def test_figures_of_a_trace_are_those_of_the_run():
    found, feed, _ = messages(batch=1, tokens=60, new=30)
    figures, trace = found[-1]["figures"], feed.trace()
    again = figures_of(trace)
    for name in ("seen", "held", "union", "kvBytes", "fullBytes", "perplexity"):
        assert again[name] == pytest.approx(figures[name], rel=1e-3), name
    # The prompt came in four steps; the 29 tokens after it in one each.
    assert again["firstTokenSeconds"] == pytest.approx(trace.seconds[:4].sum(), abs=1e-3)
    assert again["tokensPerSecond"] == pytest.approx(29 / trace.seconds[4:].sum(), rel=1e-2)


def test_frames_travel_thinned_to_what_a_browser_keeps(monkeypatch):
    _, feed, _ = messages(batch=1)
    trace = feed.trace()
    frames = kept_snapshot(trace, run="x", origin="opened")["frames"]
    assert [f["step"] for f in frames] == [f.step for f in trace.frames]
    assert all(set(f) == {"step", "length", "values"} for f in frames)
    monkeypatch.setattr("app.snapshot.MAX_FRAME_BYTES", 600)
    few = kept_snapshot(trace, run="x", origin="opened")["frames"]
    assert 1 <= len(few) < len(frames) and few[-1] == frames[-1]
    monkeypatch.setattr("app.snapshot.MAX_FRAME_BYTES", 1)
    assert kept_snapshot(trace, run="x", origin="opened")["frames"] == []


def test_patterns_are_found_in_the_trace():
    run, _ = made(**KINDS["overlapping"])
    rows = patterns_of(run.trace)
    assert rows[0] == 0 and rows.max() + 1 == len(np.unique(run.trace.evicted_at, axis=0))
    for row in range(rows.max() + 1):
        assert len(np.unique(run.trace.evicted_at[rows == row], axis=0)) == 1


# The recordings that come with the app


def test_three_small_recordings_of_three_configurations():
    found = recordings()
    assert len(found) == 3
    manifests = [Manifest.of(trace) for _, trace in found]
    assert len({(m.policy, m.mode, json.dumps(m.settings)) for m in manifests}) == 3
    assert [m.policy for m in manifests] == ["lacache", "streaming_llm", "lacache"]
    for path in recorded.FOLDER.glob("*.npz"):
        assert path.stat().st_size < MAX_BYTES
    for manifest, (_, trace) in zip(manifests, found, strict=True):
        assert manifest.title and manifest.about.endswith(".")
        assert manifest.created and {"lacache_core", "torch", "transformers"} <= set(
            manifest.versions
        )
        assert manifest.stop_reason in ("length", "end of text")
        assert len(trace.frames) >= 16


def test_the_first_two_recordings_are_the_same_text_under_two_policies():
    (_, ladder), (_, window) = recordings()[:2]
    one, two = Manifest.of(ladder), Manifest.of(window)
    assert one.prompt_tokens == two.prompt_tokens and one.budget == two.budget
    given = one.prompt_tokens
    assert one.tokens[:given] == two.tokens[:given]
    assert any(c.restart for c in ladder.compaction_list())
    # What is asked for at the end is gone from the window and still in the ladder.
    first, last = one.fact
    asked = int(ladder.joined_at[given - 1])
    assert "".join(one.tokens[first : last + 1]).strip() == "under the blue barrel"
    assert not window.held_at(asked)[:, first : last + 1].any()
    assert ladder.held_at(asked)[:, first : last + 1].any(axis=0).all()


def test_recordings_follow_the_rule_of_their_settings():
    """Real runs and the rule must agree, or the recording is older than the rule."""
    from lacache_core import retained
    from lacache_core.ladder import LadderConfig

    for _, trace in recordings():
        settings = Manifest.of(trace).settings
        held = trace.positions_at(trace.num_steps - 1)
        if settings["policy"] == "streaming_llm":
            newest = settings["budget"] - settings["num_sink"]
            expected = [
                *range(settings["num_sink"]),
                *range(trace.num_tokens - newest, trace.num_tokens),
            ]
            assert (held == np.array(expected)).all()
            continue
        names = ("budget", "span", "overlap", "num_sink", "arrangement", "slack")
        config = LadderConfig(**{name: settings[name] for name in names})
        assert (held == retained(config, trace.num_layers, trace.num_tokens)).all()


def test_a_damaged_recording_is_left_out(monkeypatch, tmp_path, caplog):
    good = next(recorded.FOLDER.glob("*.npz"))
    (tmp_path / good.name).write_bytes(good.read_bytes())
    (tmp_path / "9-bad.npz").write_bytes(good.read_bytes()[:-40])
    monkeypatch.setattr(recorded, "FOLDER", tmp_path)
    recordings.cache_clear()
    try:
        assert len(recordings()) == 1
    finally:
        recordings.cache_clear()
    assert "9-bad.npz" in caplog.text


# Opening a file


@pytest.fixture
def saved():
    return messages(batch=5)[1].trace()


def test_an_opened_trace_is_a_run_like_any_other(saved):
    known = Runs(recorded=[])
    found = known.open("my run.npz", as_base64(saved))
    assert found["setup"]["origin"] == "opened" and found["setup"]["title"] == "my run.npz"
    assert found["seq"] == 0 and found["run"] != "run-1"
    assert known.snapshot(found["run"]) == found
    again = known.trace(found["run"])
    assert (again.evicted_at == saved.evicted_at).all()
    assert known.open("b.npz", as_base64(saved))["run"] != found["run"]


def test_what_the_engine_itself_saves_can_be_opened():
    _, _, engine = messages(batch=5)
    found = Runs(recorded=[]).open("engine.npz", as_base64(engine.trace(note="mine")))
    assert found["setup"]["label"] == "LaCache" and found["setup"]["promptTokens"] == 60
    assert found["tokens"][0].startswith("<")


@pytest.mark.parametrize(
    "data, words",
    [
        ("not base64 !", "did not arrive whole"),
        ("AAAA", "cannot be read as a trace"),
        ("", "cannot be read as a trace"),
    ],
)
def test_rubbish_is_refused(data, words):
    known = Runs(recorded=[])
    with pytest.raises(DamagedTraceError, match=words):
        known.open("x.npz", data)
    assert not known._by_id


def test_a_file_that_is_too_large_is_refused_before_it_is_looked_at(monkeypatch, saved):
    monkeypatch.setattr(runs, "MAX_OPEN_BYTES", 1 << 20)
    with pytest.raises(DamagedTraceError, match="larger than the 1 MiB"):
        Runs(recorded=[]).open("x.npz", "!" * (2 << 20))
    monkeypatch.setattr(runs, "MAX_UNPACKED_BYTES", 1000)
    with pytest.raises(DamagedTraceError, match="Unpacked"):
        Runs(recorded=[]).open("x.npz", as_base64(saved))


@pytest.mark.parametrize(
    "change, where",
    [
        ({"policy": None}, "policy"),
        ({"mode": "sing"}, "mode"),
        ({"prompt_tokens": -1}, "prompt_tokens"),
        ({"prompt_tokens": True}, "prompt_tokens"),
        ({"bytes_per_entry": 1.5}, "bytes_per_entry"),
        ({"tokens": ["a"]}, "tokens"),
        ({"tokens": [1] * 89}, "tokens"),
        ({"settings": {"x": {"deep": 1}}}, "settings"),
        ({"settings": []}, "settings"),
        ({"title": "x" * 500}, "title"),
        ({"fact": [5, 100000]}, "fact"),
        ({"fact": [5]}, "fact"),
    ],
    ids=str,
)
def test_a_manifest_that_cannot_be_shown_is_refused_by_name(saved, change, where):
    bad = replace(saved, manifest={**saved.manifest, **change})
    known = Runs(recorded=[])
    with pytest.raises(DamagedTraceError, match=f"manifest.*'{where}"):
        known.open("x.npz", as_base64(bad))
    assert not known._by_id


def test_a_manifest_that_says_too_little_is_refused_by_name(saved):
    for name in ("policy", "mode", "tokens", "effective_budget"):
        less = {k: v for k, v in saved.manifest.items() if k != name}
        with pytest.raises(DamagedTraceError, match=f"'{name}'"):
            Runs(recorded=[]).open("x.npz", as_base64(replace(saved, manifest=less)))


# Memory


def test_old_runs_are_let_go_by_number():
    known = Runs(recorded=[])
    for _ in range(runs.KEPT_RUNS + 10):
        known.start("me").active = False
    assert len(known._by_id) <= runs.KEPT_RUNS + 1


def test_old_runs_are_let_go_by_size(monkeypatch, saved):
    data = as_base64(saved)
    monkeypatch.setattr(runs, "KEPT_BYTES", int(2.5 * saved.nbytes))
    known = Runs(recorded=[])
    ids = [known.open("x.npz", data)["run"] for _ in range(5)]
    assert [known.snapshot(i) is not None for i in ids] == [False, False, False, True, True]
    monkeypatch.setattr(runs, "KEPT_BYTES", 1)
    newest = known.open("x.npz", data)["run"]
    assert list(known._by_id) == [newest]


def test_a_long_live_run_keeps_a_bounded_number_of_frames(monkeypatch):
    monkeypatch.setattr("app.feed.MAX_FRAME_BYTES", 4000)
    _, feed, _ = messages(batch=5)
    frames = feed.trace().frames
    assert 1 <= len(frames) and sum(f.mass.nbytes for f in frames) <= 4000
    assert feed.nbytes > 4000


def test_recorded_runs_are_known_by_their_ids():
    known = Runs()
    for kept in known.recordings():
        assert isinstance(kept, Kept)
        assert known.snapshot(kept.id)["setup"]["origin"] == "recorded"
    assert known.snapshot("recorded-nothing") is None
    assert known.snapshot(["recorded-ladder"]) is None


def test_a_snapshot_needs_a_manifest(saved):
    with pytest.raises(DamagedTraceError, match="manifest"):
        snapshot(replace(saved, manifest={}), run="x", seq=0, state={}, figures={})


def test_the_newest_frame_is_the_last(saved):
    assert isinstance(saved.frames[-1], MassFrame)
    assert saved.frames[-1].step <= saved.num_steps - 1
