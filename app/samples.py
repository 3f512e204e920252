"""Sample texts for the pages: written for this project, and one from Python's own manual."""

from __future__ import annotations

from dataclasses import dataclass

from app.theme import ASSETS

_LONG_CHARACTERS = 11_000
_CODE_WORD = "marigold"
INSTRUCTIONS = "A keeper's instructions, said twice"
"""The sample that the Compare page opens with."""


@dataclass(frozen=True)
class Sample:
    """A text to try, and what to do with it."""

    name: str
    text: str


def essay() -> str:
    """A few hundred tokens on memory, written for this project."""
    return (ASSETS / "samples" / "ladder.txt").read_text(encoding="utf-8")


def samples() -> list[Sample]:
    """Short and long ones, with facts at their beginnings; the recorded runs' texts among them."""
    folder, recorded = ASSETS / "samples", ASSETS / "recordings"
    pair = (recorded / "pair" / "lighthouse.txt").read_text(encoding="utf-8")
    key = (recorded / "harbour.txt").read_text(encoding="utf-8")
    return [
        Sample("A story to continue", (folder / "story.txt").read_text(encoding="utf-8").strip()),
        Sample("An essay on memory", essay().strip()),
        Sample("A long manual, one early fact", _manual()),
        Sample(INSTRUCTIONS, pair.strip()),
        Sample("Where the key lies, asked at the end", key.strip()),
    ]


def _manual() -> str:
    """A long stretch of Python's language manual, which every Python brings along."""
    from pydoc_data.topics import topics

    names = ["compound", "typesseq", "classes", "exceptions", "execmodel"]
    body = "\n\n".join(topics[name] for name in names if name in topics)[:_LONG_CHARACTERS]
    body = body[: body.rindex("\n")]
    return (
        f"Note to the reader: the code word of this manual is {_CODE_WORD}. Keep it in mind.\n\n"
        f"{body}\n\nEnd of the manual. The code word of this manual is"
    )
