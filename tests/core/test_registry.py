"""The registry of policies: names, settings, refusals."""

import pytest

from lacache_core.errors import InvalidSettingError
from lacache_core.ladder import LadderConfig
from lacache_core.policies import (
    H2O,
    POLICIES,
    TOVA,
    Full,
    LaCache,
    Random,
    SlidingWindow,
    SnapKV,
    StreamingLLM,
    as_policy,
    make_policy,
    policy_settings,
)


@pytest.mark.parametrize(
    "make, field",
    [
        (lambda: StreamingLLM(4, 4), "budget"),
        (lambda: StreamingLLM(64.5, 4), "budget"),
        (lambda: StreamingLLM(True, 0), "budget"),
        (lambda: StreamingLLM(64, -1), "num_sink"),
        (lambda: SlidingWindow(0), "budget"),
        (lambda: H2O(0), "budget"),
        (lambda: H2O(24, recent_share=1.1), "recent_share"),
        (lambda: H2O(24, recent_share=float("nan")), "recent_share"),
        (lambda: TOVA(0), "budget"),
        (lambda: SnapKV(24, window=24), "window"),
        (lambda: SnapKV(24, window=6, kernel=4), "kernel"),
        (lambda: SnapKV(24, window=6, pooling="mean"), "pooling"),
        (lambda: Random(4, 4), "budget"),
        (lambda: Random(24, seed=-1), "seed"),
    ],
)
def test_impossible_settings_are_refused_by_name(make, field):
    with pytest.raises(InvalidSettingError, match=f"^{field} = "):
        make()


def test_registry_names_every_policy_and_its_settings():
    assert [POLICIES[name].name for name in POLICIES] == list(POLICIES)
    assert policy_settings("full") == ()
    assert policy_settings("streaming_llm") == ("budget", "num_sink")
    assert policy_settings("snapkv") == ("budget", "window", "kernel", "pooling")
    everything = dict(
        budget=64, span=4, overlap=1, num_sink=2, arrangement="staircase", slack=3, seed=9,
        recent_share=0.25, window=16, kernel=7, pooling="max",
    )  # fmt: skip
    assert make_policy("full", **everything) == Full()
    assert make_policy("streaming_llm", **everything) == StreamingLLM(64, 2)
    assert make_policy("lacache", **everything) == LaCache(64, 4, 1, 2, "staircase", 3)
    assert make_policy("h2o", **everything) == H2O(64, 0.25)
    assert make_policy("snapkv", **everything) == SnapKV(64, 16, 7, "max")
    assert make_policy("random", **everything) == Random(64, 2, 0.25, 9)
    with pytest.raises(InvalidSettingError, match="policy = 'h3o'.*full, .*lacache, .*random"):
        make_policy("h3o")


def test_a_plain_configuration_means_lacache():
    assert as_policy(LadderConfig(64, 4)) == LaCache(64, 4)
    assert as_policy(StreamingLLM(64)) == StreamingLLM(64)
