"""Reading on for ever: a long text under a budget, beside what the full cache does with it.

Perplexity, memory and time per token by stretch. Under a budget all three should be flat lines;
the full cache slows down and grows, and stops where the model's positions run out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from threading import Event

import numpy as np
from transformers import PreTrainedTokenizerBase

from lacache_core.errors import InvalidSettingError
from lacache_core.evaluation.contenders import Contender
from lacache_core.evaluation.kept import Keeper
from lacache_core.evaluation.perplexity import perplexity
from lacache_core.evaluation.progress import Report
from lacache_core.evaluation.reading import Reading
from lacache_core.evaluation.texts import manual
from lacache_core.models import LoadedModel
from lacache_core.plan import IntArray
from lacache_core.text import encode

TOKENS = 20_000
MAX_TOKENS = 1_000_000
STRETCH = 512


@dataclass(frozen=True, eq=False)
class LongText:
    """A text of the length that was asked for.

    Attributes
    ----------
    ids
        ``int32[T]``.
    made
        How it came to that length, in a sentence.
    """

    ids: IntArray
    made: str


def long_text(
    tokenizer: PreTrainedTokenizerBase | None, ids: IntArray | None = None, tokens: int = TOKENS
) -> LongText:
    """A text of exactly ``tokens`` tokens: the given one, Python's manual after it, both again.

    Raises
    ------
    InvalidSettingError
        When the number is impossible.
    """
    if isinstance(tokens, bool) or not isinstance(tokens, int) or not 2 <= tokens <= MAX_TOKENS:
        raise InvalidSettingError("tokens", tokens, f"a whole number from 2 to {MAX_TOKENS:,}")
    if ids is not None and len(ids) >= tokens:
        return LongText(ids[:tokens], f"The first {tokens:,} tokens of the text.")
    prose = encode(tokenizer, manual())
    whole = prose if ids is None else np.concatenate([ids, prose])
    rounds = -(-tokens // len(whole))
    made = "Python's manual" if ids is None else f"The text ({len(ids):,} tokens), Python's manual"
    again = f", all of it {rounds} times over" if rounds > 1 else ""
    return LongText(np.tile(whole, rounds)[:tokens], f"{made}{again}; {tokens:,} tokens in all.")


def endless(
    loaded: LoadedModel,
    text: LongText,
    competing: Sequence[Contender],
    *,
    stretch: int = STRETCH,
    chunk: int = 1,
    keeper: Keeper | None = None,
    progress: Report | None = None,
    cancel: Event | None = None,
) -> Iterator[Reading]:
    """Read a long text under each policy in turn; arguments and order are those of ``perplexity``.

    Yields
    ------
    Reading
        After every stretch, one longer than before. Of a policy without a budget the last one says
        in ``ended`` where its positions ran out.
    """
    return perplexity(
        loaded,
        text.ids,
        competing,
        stretch=stretch,
        chunk=chunk,
        to_the_last_position=True,
        keeper=keeper,
        progress=progress,
        cancel=cancel,
    )
