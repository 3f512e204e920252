"""What became of a fact: told by the run alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.outcome import offer, outcome
from app.recorded import recordings
from lacache_core.manifest import Manifest


def of(trace, **manifest):
    changed = replace(trace, manifest={**trace.manifest, **manifest})
    return outcome(changed, Manifest.of(changed))


@pytest.mark.parametrize("which", [0, 1])
def test_it_says_what_the_trace_holds_when_the_fact_is_asked_for(which):
    trace = recordings()[which][1]
    first, last = trace.manifest["fact"]
    asked = trace.joined_at[trace.manifest["prompt_tokens"] - 1]
    held = trace.held_at(int(asked))[:, first : last + 1].sum(axis=0)
    found = of(trace)
    assert found["holders"] == [held.min(), held.max()]
    assert found["layers"] == trace.num_layers and found["said"] == "under the blue barrel"


def test_the_ladder_recalls_what_the_window_does_not():
    ladder, window = (of(trace) for _, trace in recordings()[:2])
    assert ladder["recalled"] and ladder["holders"][0] > 0
    assert not window["recalled"] and window["holders"] == [0, 0]


@pytest.mark.parametrize(
    "text, wrote, recalled",
    [
        (" Barrel! And more", "Barrel", True),
        ("barrels are round.", "barrels are round", False),
        ("", "", False),
        ("\n", "", False),
        ("word " * 30, " ".join(["word"] * 12) + " …", False),
    ],
)
def test_the_answer_is_how_the_text_begins(text, wrote, recalled):
    found = of(recordings()[0][1], text=text)
    assert (found["wrote"], found["recalled"]) == (wrote, recalled)


def test_without_a_fact_or_an_answer_there_is_none():
    trace = recordings()[0][1]
    assert of(trace, fact=None) is None
    assert of(trace, mode="read") is None
    assert of(trace, prompt_tokens=trace.num_tokens) is None


def test_offers_tell_which_recordings_share_a_text():
    ladder, window, staircase = (offer(name, trace) for name, trace in recordings())
    assert ladder["text"] == window["text"] != staircase["text"]
    assert [o["short"] for o in (ladder, window)] == ["Ladder", "Window"]
    assert staircase["outcome"] is None
