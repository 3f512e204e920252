"""Prose to hide something in: as long as wanted, without digits, the same for the same seed.

Sentences are put together from the word lists below, written for this project, so a haystack needs
no download, repeats no sentence soon, and reads the same under every version of Python. Knows
nothing of needles, tokenizers or models.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

WHO = (
    "The baker",
    "A young teacher",
    "The old sailor",
    "My neighbour",
    "The carpenter",
    "An elderly painter",
    "The gardener",
    "A tired postman",
    "The miller's daughter",
    "The librarian",
    "A travelling musician",
    "The shepherd",
    "The tailor",
    "A quiet student",
    "The fisherman",
    "The innkeeper",
    "A curious child",
    "The night watchman",
    "The beekeeper",
    "The glassmaker",
)
DID = (
    "carried a basket of apples",
    "mended an old wooden chair",
    "looked for a lost umbrella",
    "wrote a long letter to a cousin",
    "fed the ducks with stale bread",
    "painted the fence in pale green",
    "told a story about a stubborn donkey",
    "waited for the evening boat",
    "bought a jar of honey",
    "hung the washing out to dry",
    "played a slow tune on the flute",
    "watched the clouds drift by",
    "repaired the roof of the barn",
    "picked mushrooms for a soup",
    "swept the leaves into a heap",
    "read a book about distant islands",
    "counted the sheep and lost count",
    "sharpened a pair of scissors",
    "boiled water for a pot of tea",
    "listened to the rain on the tiles",
)
WHERE = (
    "near the stone bridge",
    "behind the church",
    "at the edge of the forest",
    "in the narrow lane",
    "by the harbour",
    "on the hill above the village",
    "in the kitchen",
    "under the chestnut tree",
    "at the market square",
    "beside the mill",
    "in the orchard",
    "along the river",
    "in front of the town hall",
    "at the railway station",
    "on the wooden bench",
    "in the small garden",
)
WHEN = (
    "before breakfast",
    "late in the afternoon",
    "while the bells were ringing",
    "just after the rain had stopped",
    "on a cold morning",
    "as the sun went down",
    "during the harvest",
    "when nobody was looking",
    "until it grew dark",
    "on the first warm day of spring",
    "as in every other year",
    "without saying a word",
)


def sentences(seed: int) -> Iterator[str]:
    """Sentences for ever; equal seeds give equal ones.

    Only ``random.Random.random`` is drawn from: it alone is promised to stay the same between
    versions of Python.
    """
    draw = random.Random(seed).random
    before: tuple[str, ...] = ()
    while True:
        parts = tuple(words[int(draw() * len(words))] for words in (WHO, DID, WHERE, WHEN))
        if not set(parts) & set(before):  # neighbours share no part
            yield " ".join(parts) + "."
            before = parts
