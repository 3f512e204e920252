"""The needle measurement in words: what is hidden, how it is asked for, in which prompts.

The passkey task is that of Mohtashami and Jaggi, *Landmark Attention* (arXiv 2305.16300), in the
wording of the published LaCache code (``niah/pred.py``). The wordings were chosen by measuring what
the embedded model can do with a full cache: docs/results/needle-wording.md. Words only; what
becomes of them stands in ``needle_prompt``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lacache_core.errors import InvalidSettingError

MAX_LENGTH = 131_072
MAX_SEEDS = 1000
NAMES = ("Clara", "Oscar", "Helen", "Victor", "Marta", "Simon", "Julia", "Peter")
WORDS = (
    "marigold",
    "lantern",
    "walnut",
    "blossom",
    "velvet",
    "copper",
    "meadow",
    "thistle",
    "pepper",
    "ribbon",
    "candle",
    "saffron",
    "pebble",
    "willow",
    "anchor",
    "ginger",
)


@dataclass(frozen=True)
class Task:
    """What is hidden and how it is asked for; ``{key}`` and ``{name}`` are filled in.

    Attributes
    ----------
    intro, needle, question
        What stands before the haystack, in it, and after it.
    others
        How many further needles, with other names and keys, stand in the haystack.
    words
        The key is a word and not a number of five digits.
    chat
        Ask in the model's chat template.
    answer_tokens
        How many tokens the answer may have beyond those of the key.
    """

    name: str
    intro: str
    needle: str
    question: str
    others: int = 0
    words: bool = False
    chat: bool = False
    answer_tokens: int = 4


PASSKEY = Task(
    "passkey",
    intro="There is important information hidden in a lot of irrelevant text. Find it and "
    "memorize it. You will be quizzed on this hidden information.\n",
    needle=" The pass key is {key}. Remember it. {key} is the pass key.",
    question="\nWhat is the pass key? The pass key is",
)
WORD = Task(
    "word",
    intro="There is important information hidden in a lot of irrelevant text. Find it and "
    "memorize it. You will be quizzed on this hidden information.\n",
    needle=" {name}'s secret word is {key}. Remember it: {name}'s secret word is {key}.",
    question="\nWhat is {name}'s secret word? {name}'s secret word is",
    words=True,
)
TASKS = {task.name: task for task in (PASSKEY, WORD)}


@dataclass(frozen=True)
class Grid:
    """Which prompts are asked.

    Attributes
    ----------
    lengths
        Tokens of a whole prompt.
    depths
        Where the needle stands: 0 at the beginning of the haystack, 1 at its end.
    seeds
        How many prompts of each kind, with the seeds 0, 1, 2, ...
    task
        What is hidden and asked for.
    """

    lengths: Sequence[int] = (512, 1024)
    depths: Sequence[float] = (0.0, 0.5, 1.0)
    seeds: int = 3
    task: Task = PASSKEY

    def __post_init__(self) -> None:
        for name in ("lengths", "depths"):
            if not getattr(self, name):
                raise InvalidSettingError(name, "", "at least one")
        for length in self.lengths:
            check_place(length, 0)
        for depth in self.depths:
            check_place(1, depth)
        whole = isinstance(self.seeds, int) and not isinstance(self.seeds, bool)
        if not whole or not 1 <= self.seeds <= MAX_SEEDS:
            raise InvalidSettingError("seeds", self.seeds, f"a whole number from 1 to {MAX_SEEDS}")


def check_place(length: object, depth: object) -> None:
    """Refuse what can be no length or no depth.

    Raises
    ------
    InvalidSettingError
        Naming the one that is wrong.
    """
    if isinstance(length, bool) or not isinstance(length, int) or not 1 <= length <= MAX_LENGTH:
        raise InvalidSettingError("length", length, f"a whole number from 1 to {MAX_LENGTH:,}")
    if isinstance(depth, bool) or not isinstance(depth, (int, float)) or not 0 <= depth <= 1:
        raise InvalidSettingError("depth", depth, "a number from 0 to 1")
