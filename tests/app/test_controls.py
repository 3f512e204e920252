"""Controls as the schema says, with what a page wants otherwise."""

from __future__ import annotations

import gradio as gr
import pytest

from app.components.controls import FIELDS, control
from lacache_core.settings import limits


@pytest.mark.parametrize("name", sorted(set(FIELDS) - {"policy"}))
def test_every_setting_has_a_control(name):
    made = control(name, "a_")
    assert made.elem_id == f"a_{name}" and made.label == FIELDS[name].title
    assert made.value == FIELDS[name].default or isinstance(made, gr.Slider)


def test_a_page_may_word_the_choices_itself():
    ways = [("Continue the text", "generate"), ("Only read it", "read")]
    assert control("mode", choices=ways).choices == ways
    assert [value for _, value in control("mode").choices] == ["generate", "read"]


def test_a_slider_that_ends_before_the_setting_does_says_so():
    budget, share = control("budget"), control("recent_share")
    assert budget.maximum == 1024 and limits("budget")[1] == 8192
    assert budget.info.endswith("The slider ends at 1,024; up to 8,192 can be typed.")
    assert share.maximum == limits("recent_share")[1]
    assert share.info == FIELDS["recent_share"].description
