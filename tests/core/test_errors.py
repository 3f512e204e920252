"""An error names every setting as its reader knows it: here the library's own names."""

from __future__ import annotations

import pickle

import pytest

from lacache_core.cli.options import in_option_words
from lacache_core.errors import InvalidSettingError
from lacache_core.ladder import LadderConfig

WRONG = InvalidSettingError("budget", 3, "5 or more for `num_sink` 4, not `this one`")


def test_the_text_spells_settings_as_the_library_does():
    assert str(WRONG) == (
        "budget = 3 is not possible: it must be 5 or more for num_sink 4, not `this one`."
    )
    assert WRONG.allowed == "5 or more for num_sink 4, not `this one`"


def test_told_spells_them_otherwise_also_after_a_journey():
    for error in (WRONG, pickle.loads(pickle.dumps(WRONG))):
        assert error.told(str.upper).startswith(
            "BUDGET = 3 is not possible: it must be 5 or more for"
        )
        assert "NUM_SINK 4" in error.told(str.upper) and str(error) == str(WRONG)


def test_a_value_is_never_taken_for_a_name():
    error = InvalidSettingError("prompt", "`budget`", "something else")
    assert "'`budget`'" in error.told(str.upper)


@pytest.mark.parametrize(
    "make",
    [
        lambda: LadderConfig(20, 15).ladder(30),
        lambda: LadderConfig(200, 15, 15),
        lambda: LadderConfig(200, 29, 28).ladder(30),
    ],
)
def test_a_ladder_names_its_other_settings_as_options(make):
    with pytest.raises(InvalidSettingError) as caught:
        make()
    assert "--span " in in_option_words(caught.value) and "`" not in str(caught.value)


def test_a_command_may_spell_a_setting_in_its_own_way():
    error = InvalidSettingError("prompt", "", "a text")
    assert in_option_words(error).startswith("--prompt is empty")
    assert in_option_words(error, {"prompt": "--text"}).startswith("--text is empty")


@pytest.mark.parametrize("value", [None, "", " \n"])
def test_what_was_left_empty_is_called_empty(value):
    error = InvalidSettingError("budget", value, "a whole number from 16 to 8192")
    assert str(error) == "budget is empty: it must be a whole number from 16 to 8192."
    assert "is not possible" in str(InvalidSettingError("seed", 0, "1 or more"))
