"""What a measurement costs, said before it begins."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.evaluation.estimate import ANY, estimate, in_words, keep_speed
from app.evaluation.requests import Request, Text
from lacache_core.errors import InvalidSettingError
from lacache_core.evaluation.tasks import Grid
from lacache_core.store import Store

READ = Request("perplexity", ("full", "streaming_llm", "lacache"), (128,), tokens=511)
ASK = Request("needle", ("full", "lacache"), (0.5,), grid=Grid((256, 512), (0.0, 1.0), 3))


def test_it_counts_tokens():
    assert estimate(READ).tokens == 3 * 512
    assert estimate(ASK).tokens == 2 * 2 * 3 * (256 + 512)
    assert estimate(replace(READ, kind="endless", tokens=20_000)).tokens == 2 * 20_000 + 8192


def test_cost_grows_with_the_settings():
    cheap = estimate(READ).seconds
    assert estimate(replace(READ, tokens=1023)).seconds == pytest.approx(2 * cheap)
    assert estimate(replace(READ, budgets=(128, 256))).seconds > 1.5 * cheap
    assert estimate(replace(READ, read_chunk=64)).seconds < cheap / 5


def test_defaults_of_the_page_take_about_a_minute_on_the_reference():
    assert 20 < estimate(replace(READ, tokens=512)).seconds < 90


def test_a_short_text_costs_less():
    short = replace(READ, text=Text("own", own="a few words only"))
    assert estimate(short).tokens < 30


def test_what_cannot_take_part_is_said_and_not_counted():
    found = estimate(replace(READ, policies=("full", "lacache"), tokens=9000))
    assert found.tokens == 9001 and len(found.refused) == 1
    assert "Full cache is left out" in found.refused[0] and "8,191" in found.refused[0]
    found = estimate(replace(READ, policies=("full", "lacache:span=40")))
    assert "span" in found.refused[0] and found.tokens == 512
    with pytest.raises(InvalidSettingError, match="span = 40"):
        estimate(replace(READ, policies=("lacache:span=40",)))
    long = replace(ASK, grid=Grid((256, 9000), (0.5,), 1))
    assert "at 9,000 tokens is left out" in estimate(long).refused[0]


@pytest.mark.parametrize("request_", [READ, ASK], ids=["read", "ask"])
def test_what_this_machine_did_before_corrects_the_reference(tmp_path, request_):
    store = Store(tmp_path)
    before = estimate(request_, store)
    keep_speed(request_, ANY, 3 * before.seconds / before.tokens, store)
    assert estimate(request_, store).seconds == pytest.approx(3 * before.seconds, rel=0.02)


def test_a_policy_that_was_slower_is_expected_to_be_slower_again(tmp_path):
    store = Store(tmp_path)
    alone = replace(READ, policies=("full",))
    before, both = estimate(alone, store).seconds, estimate(READ, store).seconds
    keep_speed(READ, "full", 5 * before / 512, store)
    assert estimate(alone, store).seconds == pytest.approx(5 * before, rel=0.02)
    assert estimate(READ, store).seconds == pytest.approx(both + 4 * before, rel=0.02)


def test_what_was_read_token_by_token_says_nothing_of_what_is_read_in_chunks(tmp_path):
    store = Store(tmp_path)
    before = estimate(ASK, store).seconds
    keep_speed(READ, ANY, 1.0, store)
    assert estimate(ASK, store).seconds == before
    chunks = replace(READ, read_chunk=64)
    assert estimate(chunks, store) == estimate(chunks)
    assert estimate(READ, store).seconds > 9 * estimate(READ).seconds


@pytest.mark.parametrize(
    "seconds, said",
    [(0.2, "1 s"), (7.4, "7 s"), (52, "50 s"), (100, "2 min"), (5000, "83 min"), (9000, "2.5 h")],
)
def test_durations_in_words(seconds, said):
    assert in_words(seconds) == said
