"""Tokens as text: whole characters, whatever the tokens cut."""

from __future__ import annotations

import pytest

from lacache_core.text import TextStream, encode, token_strings

MANY = "The quick fox. 敏捷的棕色狐狸 Привет, мир 😀🚀 naïve\n\tcode"


@pytest.mark.model
def test_what_the_tokens_of_any_script_add_is_the_text(smollm2):
    ids = encode(smollm2.tokenizer, MANY)
    strings = token_strings(smollm2.tokenizer, ids.tolist())
    assert len(strings) == len(ids)
    assert "".join(strings) == MANY
    assert not any("\N{REPLACEMENT CHARACTER}" in text for text in strings)
    assert "" in strings and "狐" in strings  # cut characters are told where they are complete


@pytest.mark.model
def test_special_tokens_are_named_where_asked_for(smollm2):
    end = smollm2.tokenizer.eos_token_id
    assert token_strings(smollm2.tokenizer, [end]) == [smollm2.tokenizer.eos_token]
    assert TextStream(smollm2.tokenizer).add(end) == ""


@pytest.mark.model
def test_bytes_that_become_no_character_break_nothing(smollm2):
    cut = encode(smollm2.tokenizer, "狐").tolist()[:1]
    plain = encode(smollm2.tokenizer, " plain words").tolist()
    strings = token_strings(smollm2.tokenizer, [*cut * 7, *plain, *cut, *plain])
    assert "".join(strings).endswith(" words")


def test_without_a_tokenizer_a_token_reads_as_its_id():
    assert token_strings(None, [3, 5]) == ["<3>", "<5>"]
