"""The tasks of the needle measurement: what is hidden in a haystack and how it is asked for.

The passkey task is that of Mohtashami and Jaggi, *Landmark Attention* (arXiv 2305.16300), in the
wording of the published LaCache code (``niah/pred.py``). The wordings were chosen by measuring what
the embedded model can do with a full cache: docs/results/needle-wording.md. Words only; what
becomes of them stands in ``needle_prompt``.
"""

from __future__ import annotations

from dataclasses import dataclass

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
    others=3,
    words=True,
)
TASKS = {task.name: task for task in (PASSKEY, WORD)}
