"""Prompts with a needle in them: exact in length, with the needle where it is wanted.

A fact is hidden in a haystack of prose and asked for at the end. Knows tokenizers and tasks; knows
nothing of models and policies.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from transformers import PreTrainedTokenizerBase

from lacache_core.errors import InvalidSettingError
from lacache_core.evaluation.haystack import sentences
from lacache_core.evaluation.tasks import NAMES, WORDS, Task, check_place
from lacache_core.plan import IntArray
from lacache_core.text import encode

LEAST_HAYSTACK = 32
_MARK = "\N{REFERENCE MARK}"


@dataclass(frozen=True, eq=False)
class NeedlePrompt:
    """A prompt, and where in it the needle stands.

    Attributes
    ----------
    ids
        ``int32[length]``.
    start, stop
        The needle's tokens are ``start <= t < stop``.
    question_start
        Where the question begins.
    key
        What must occur in the answer.
    max_new_tokens
        How long the answer may be.
    """

    ids: IntArray
    start: int
    stop: int
    question_start: int
    key: str
    max_new_tokens: int

    def answered(self, answer: str) -> bool:
        """Whether the key occurs in the answer, which is how the LaCache repository scores."""
        return self.key.casefold() in answer.casefold()


def build_prompt(
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    *,
    length: int,
    depth: float,
    seed: int,
) -> NeedlePrompt:
    """A prompt of exactly ``length`` tokens.

    Key, names and haystack depend on the seed alone, so that along a row of a grid nothing changes
    but where the needle stands.

    Parameters
    ----------
    length
        Tokens of the whole prompt, question included.
    depth
        Where in the haystack the needle stands: 0 at its beginning, 1 at its end, right before the
        question; at the nearest end of a sentence.

    Raises
    ------
    InvalidSettingError
        When the length leaves no room for a haystack, or a value is impossible.
    """
    check_place(length, depth)
    # 1. The fixed parts.
    parts = _parts(tokenizer, task, seed)
    before, after, needle, others = parts.before, parts.after, parts.needle, parts.others
    room = length - parts.tokens
    if room < LEAST_HAYSTACK:
        least = parts.tokens + LEAST_HAYSTACK
        raise InvalidSettingError("length", length, f"{least} or more for this task and model")
    # 2. The haystack; what is too much is cut from its beginning, as an excerpt would be.
    hay: list[list[int]] = []
    missing = room
    for sentence in sentences(seed):
        hay.append(_tokens(tokenizer, f" {sentence}"))
        missing -= len(hay[-1])
        if missing <= 0:
            break
    excess = -missing
    while excess >= len(hay[0]):
        excess -= len(hay.pop(0))
    hay[0] = hay[0][excess:]
    # 3. Needles between sentences: ours at its depth, the others evenly spread.
    ends = [0, *accumulate(map(len, hay))]
    spread = [room * (i + 1) / (task.others + 1) for i in range(task.others)]
    placed = [(_nearest(ends, depth * room), needle)]
    placed += [(_nearest(ends, at), other) for at, other in zip(spread, others, strict=True)]
    ids, start = list(before), 0
    for place, sentence_ids in enumerate([*hay, []]):
        for where, tokens in placed:
            if where == place:
                if tokens is needle:
                    start = len(ids)
                ids += tokens
        ids += sentence_ids
    question_start = len(ids)
    ids += after
    return NeedlePrompt(
        ids=np.array(ids, dtype=np.int32),
        start=start,
        stop=start + len(needle),
        question_start=question_start,
        key=parts.key,
        max_new_tokens=len(_tokens(tokenizer, f" {parts.key}")) + task.answer_tokens,
    )


def least_length(tokenizer: PreTrainedTokenizerBase, task: Task, seeds: int) -> int:
    """Tokens of the shortest prompt that leaves room for a haystack with every one of the seeds."""
    return LEAST_HAYSTACK + max(_parts(tokenizer, task, seed).tokens for seed in range(seeds))


@dataclass(frozen=True)
class _Parts:
    """What of a prompt does not depend on its length, as token ids."""

    before: list[int]
    after: list[int]
    needle: list[int]
    others: list[list[int]]
    key: str

    @property
    def tokens(self) -> int:
        return sum(map(len, (self.before, self.after, self.needle, *self.others)))


def _parts(tokenizer: PreTrainedTokenizerBase, task: Task, seed: int) -> _Parts:
    draw = random.Random(seed).random  # alone promised to stay the same between Pythons
    names, words = _shuffled(NAMES, draw), _shuffled(WORDS, draw)
    numbers = [str(int(10_000 + draw() * 90_000)) for _ in range(1 + task.others)]
    keys = words if task.words else numbers
    needles = [
        _tokens(tokenizer, task.needle.format(key=keys[i], name=names[i]))
        for i in range(1 + task.others)
    ]
    before, after = _frame(tokenizer, task, names[0])
    return _Parts(before, after, needles[0], needles[1:], keys[0])


def _frame(
    tokenizer: PreTrainedTokenizerBase, task: Task, name: str
) -> tuple[list[int], list[int]]:
    """What stands before and after the haystack, start tokens and chat template included."""
    question = task.question.format(name=name)
    if not task.chat:
        return encode(tokenizer, task.intro or " ").tolist(), _tokens(tokenizer, question)
    if not tokenizer.chat_template:
        raise InvalidSettingError("chat", True, "false: this model has no chat template")
    turns = [{"role": "user", "content": f"{task.intro}{_MARK}{question}"}]
    text = str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))
    before, _, after = text.partition(_MARK)
    return _tokens(tokenizer, before), _tokens(tokenizer, after)


def _tokens(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    found: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return found


def _nearest(ends: list[int], place: float) -> int:
    """Index of the end of a sentence that is nearest to ``place``."""
    right = min(bisect_left(ends, place), len(ends) - 1)
    left = max(right - 1, 0)
    return left if place - ends[left] <= ends[right] - place else right


def _shuffled(values: tuple[str, ...], draw: Callable[[], float]) -> list[str]:
    return [value for _, value in sorted((draw(), value) for value in values)]
