"""The one schema: what loose values become, and what is refused with which words."""

from typing import get_args

import pytest

from lacache_core.errors import InvalidSettingError
from lacache_core.ladder import ARRANGEMENTS
from lacache_core.policies import POLICIES, policy_settings
from lacache_core.policies.snapkv import Pooling
from lacache_core.settings import RunSettings, allowed, limits


def test_defaults_are_valid_and_frozen():
    settings = RunSettings.validate_values({})
    assert (settings.policy, settings.budget, settings.span) == ("lacache", 256, 15)
    with pytest.raises(ValueError, match="frozen"):
        settings.budget = 3


def test_choices_are_those_of_the_code_that_carries_them_out():
    fields = RunSettings.model_fields
    assert get_args(fields["arrangement"].annotation) == ARRANGEMENTS
    assert get_args(fields["policy"].annotation) == tuple(POLICIES)
    assert get_args(fields["pooling"].annotation) == get_args(Pooling)


@pytest.mark.parametrize("policy", POLICIES)
def test_every_setting_of_every_policy_is_in_the_schema(policy):
    assert set(policy_settings(policy)) <= set(RunSettings.model_fields)


def test_whole_floats_are_taken_as_numbers_and_nothing_else_is_converted():
    settings = RunSettings.validate_values({"budget": 128.0, "temperature": 1})
    assert settings.budget == 128 and type(settings.budget) is int
    assert settings.temperature == 1.0 and type(settings.temperature) is float


BAD = [
    ("budget", 3.7, "a whole number from 16 to 8192"),
    ("budget", float("nan"), "a whole number from 16 to 8192"),
    ("budget", float("inf"), "a whole number from 16 to 8192"),
    ("budget", True, "a whole number from 16 to 8192"),
    ("budget", "256", "a whole number from 16 to 8192"),
    ("budget", None, "a whole number from 16 to 8192"),
    ("budget", 10**400, "a whole number from 16 to 8192"),
    ("budget", [256], "a whole number from 16 to 8192"),
    ("span", 0, "a whole number from 1 to 127"),
    ("temperature", float("nan"), "a number from 0 to 2"),
    ("temperature", -0.1, "a number from 0 to 2"),
    ("temperature", False, "a number from 0 to 2"),
    ("top_p", 0, "a number above 0 up to 1"),
    ("policy", "h3o", "one of full, sliding_window, streaming_llm, lacache, h2o, tova, snapkv"),
    ("policy", ["full"], "one of full, sliding_window, streaming_llm, lacache, h2o, tova, snapkv"),
    ("recent_share", 1.5, "a number from 0 to 1"),
    ("pooling", "mean", "one of avg, max"),
    ("arrangement", None, "one of interleaved, staircase"),
    ("prompt", 5, "text of at most 400,000 characters"),
    ("prompt", "x" * 400_001, "text of at most 400,000 characters"),
    ("chat", 1, "true or false"),
    ("chat", "yes", "true or false"),
    ("colour", "red", "there is no such setting"),
]


@pytest.mark.parametrize("name, value, words", BAD, ids=lambda v: str(v)[:20])
def test_bad_values_name_field_value_and_range(name, value, words):
    with pytest.raises(InvalidSettingError) as caught:
        RunSettings.validate_values({name: value})
    assert caught.value.field == name
    text = str(caught.value)
    assert text.startswith(f"{name} is empty: " if value is None else f"{name} = ")
    assert words in text
    assert len(text) < 500


def test_every_field_says_what_it_is_and_what_it_may_be():
    for name, info in RunSettings.model_fields.items():
        assert info.title and info.description, name
        assert allowed(name)
    assert limits("budget") == (16, 8192)
    assert limits("prompt") == (None, None)
