"""Sample texts for the page: two written for this project, one from Python's own manual."""

from __future__ import annotations

from dataclasses import dataclass

from app.theme import ASSETS

_LONG_CHARACTERS = 11_000
_CODE_WORD = "marigold"


@dataclass(frozen=True)
class Sample:
    """A text to try, and what to do with it."""

    name: str
    text: str


def essay() -> str:
    """A few hundred tokens on memory, written for this project."""
    return (ASSETS / "samples" / "ladder.txt").read_text(encoding="utf-8")


def samples() -> list[Sample]:
    """Short, middling, and a few thousand tokens long with a fact planted at its beginning."""
    folder = ASSETS / "samples"
    return [
        Sample("A story to continue", (folder / "story.txt").read_text(encoding="utf-8").strip()),
        Sample("An essay on memory", essay().strip()),
        Sample("A long manual, one early fact", _manual()),
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
