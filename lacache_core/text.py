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
        ids = np.asarray(text, dtype=np.int32).reshape(-1)
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


class TextStream:
    """Turns generated tokens into text as they come, holding back incomplete characters."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase | None) -> None:
        self._tokenizer = tokenizer
        self._backend = getattr(tokenizer, "backend_tokenizer", None)
        self._stream = DecodeStream(skip_special_tokens=True)

    def add(self, token: int) -> str:
        """What the token adds to the text; "" while a character is incomplete."""
        if self._backend is not None:
            return self._stream.step(self._backend, token) or ""
        if self._tokenizer is None:
            return ""
        return str(self._tokenizer.decode([token], skip_special_tokens=True))


def token_strings(tokenizer: PreTrainedTokenizerBase | None, ids: Sequence[int]) -> list[str]:
    """Each token decoded alone, for showing; special tokens keep their names."""
    if tokenizer is None:
        return [f"<{i}>" for i in ids]
    return [str(text) for text in tokenizer.batch_decode([[int(i)] for i in ids])]
