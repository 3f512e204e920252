"""Text to token ids and back: a chat template going in, whole characters coming out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from tokenizers.decoders import DecodeStream
from transformers import PreTrainedTokenizerBase

from lacache_core.errors import InvalidSettingError
from lacache_core.plan import IntArray


def encode(
    tokenizer: PreTrainedTokenizerBase | None, text: str | Sequence[int], *, chat: bool = False
) -> IntArray:
    """Token ids of a text, ``int32[T]``; ids are taken as they are.

    Raises
    ------
    InvalidSettingError
        When there is no token, or no chat template though one was asked for.
    """
    if not isinstance(text, str):
        if chat:
            raise InvalidSettingError("chat", chat, "false: a prompt of token ids has no template")
        ids = _checked_ids(text)
    elif tokenizer is None:
        raise InvalidSettingError("prompt", text, "token ids: this engine has no tokenizer")
    elif chat:
        if not text.strip():
            raise InvalidSettingError("prompt", text, "a message of at least one word")
        if not tokenizer.chat_template:
            raise InvalidSettingError("chat", chat, "false: this model has no chat template")
        turns = [{"role": "user", "content": text}]
        found: Any = tokenizer.apply_chat_template(
            turns, add_generation_prompt=True, return_dict=True
        )
        ids = np.array(found["input_ids"], dtype=np.int32)
    else:
        # Long texts are what this is for; the tokenizer's warning about length does not apply.
        ids = np.array(tokenizer(text, verbose=False)["input_ids"], dtype=np.int32)
    if not ids.size:
        raise InvalidSettingError("prompt", text, "a text of at least one token")
    return ids


def _checked_ids(given: Sequence[int]) -> IntArray:
    found = np.asarray(given)
    whole = found.ndim == 1 and (found.dtype.kind in "iu" or not found.size)
    if not whole or (found.size and (found.min() < 0 or found.max() > np.iinfo(np.int32).max)):
        raise InvalidSettingError("prompt", given, "a text, or a list of token ids (0 or more)")
    ids: IntArray = found.astype(np.int32)
    return ids


class TextStream:
    """Turns tokens into text as they come, holding back incomplete characters.

    What all tokens give together is the text; a token that only begins a character gives "", and
    the one that completes it the whole character.

    Parameters
    ----------
    tokenizer
        None: a token reads as its id.
    special
        Show special tokens by their names instead of leaving them out.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase | None, *, special: bool = False) -> None:
        self._tokenizer, self._special = tokenizer, special
        self._backend = getattr(tokenizer, "backend_tokenizer", None)
        self._begin()

    def _begin(self) -> None:
        self._stream = DecodeStream(skip_special_tokens=not self._special)

    def add(self, token: int) -> str:
        """What the token adds to the text; "" while a character is incomplete."""
        if self._tokenizer is None:
            return f"<{token}>" if self._special else ""
        if self._backend is not None:
            try:
                return self._stream.step(self._backend, token) or ""
            except Exception:  # the library's own: bytes that can never become a character
                self._begin()
        return str(self._tokenizer.decode([token], skip_special_tokens=not self._special))


def token_strings(tokenizer: PreTrainedTokenizerBase | None, ids: Sequence[int]) -> list[str]:
    """What each token of a text adds to it, for showing; special tokens keep their names."""
    stream = TextStream(tokenizer, special=True)
    return [stream.add(int(i)) for i in ids]
