"""What a trace's manifest must say so that the run can be shown without its model or tokenizer.

One schema for runs that go on, recorded ones and files from anywhere. A manifest may say more than
this; what is not named here is kept and not interpreted. Knows nothing of how a run is shown.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lacache_core.errors import DamagedTraceError
from lacache_core.trace import Trace

Word = Annotated[str, Field(max_length=200)]
Sentence = Annotated[str, Field(max_length=1000)]
Count = Annotated[int, Field(ge=0, le=2**53)]


class Needle(BaseModel):
    """Of a run that was asked for something hidden in its text.

    Attributes
    ----------
    start, stop
        The text positions ``start <= t < stop`` say it.
    key, answer, correct
        What was hidden, what the model wrote, and whether the one occurs in the other.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="allow")

    start: Count
    stop: Annotated[int, Field(ge=1, le=2**53)]
    key: Word
    answer: Sentence
    correct: bool


class Manifest(BaseModel):
    """A run in words and numbers.

    Attributes
    ----------
    policy, label
        The policy's name in the registry, and its name for people.
    settings
        All settings of the run but its text.
    mode
        Whether the model continued the text or read it.
    prompt_tokens
        Tokens of the given text.
    tokens
        What is shown of each token, in order; as many as the trace has tokens.
    text
        The generated text.
    budget, effective_budget
        Entries per layer that were asked for, and that are held at most; None: no limit.
    num_sink, reserve
        First tokens that are never dropped, and how many of the newest never are.
    bytes_per_entry, full_bytes_per_entry
        Bytes of one entry in all layers: as this cache stores it, and as a plain one would.
    stop_reason
        Why the run ended; "" when it was going on: what is kept is then a part of it.
    seconds_by_part
        Where the time went, by the names of ``lacache_core.stopwatch``; empty: not known.
    created, versions
        When it ran (ISO 8601), and with which versions of what.
    title, about
        For recorded runs: a name and a sentence.
    fact
        ``(first, last)`` text positions of something said early and needed late, if there is such.
    needle
        What was asked for at the end, if anything was; its positions are then the fact.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="allow")

    policy: Word
    label: Word
    model: Word
    mode: Literal["generate", "read"]
    settings: dict[Word, bool | int | float | Sentence | None] = Field(max_length=100)
    prompt_tokens: Count
    tokens: list[Sentence]
    text: str = ""
    budget: Count | None
    effective_budget: Count | None
    num_sink: Count
    reserve: Count
    bytes_per_entry: Count
    full_bytes_per_entry: Count
    stop_reason: Word = ""
    seconds_by_part: dict[Word, float] = Field(default_factory=dict, max_length=100)
    created: Word = ""
    versions: dict[Word, Word] = Field(default_factory=dict, max_length=100)
    title: Word = ""
    about: Sentence = ""
    fact: Annotated[list[Count], Field(min_length=2, max_length=2)] | None = None
    needle: Needle | None = None

    @property
    def marked(self) -> list[int] | None:
        """``[first, last]`` of the fact or the needle; None where there is neither."""
        if self.fact is None and self.needle is not None:
            return [self.needle.start, self.needle.stop - 1]
        return self.fact

    @classmethod
    def of(cls, trace: Trace) -> Manifest:
        """The manifest of a trace.

        Raises
        ------
        DamagedTraceError
            Naming what is missing or wrong.
        """
        try:
            found = cls.model_validate(dict(trace.manifest))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part)[:80] for part in first["loc"])
            raise DamagedTraceError(
                f"The trace's manifest is not right at {where!r}: {first['msg'].lower()}."
            ) from None
        found._fits(trace)
        return found

    def _fits(self, trace: Trace) -> None:
        tokens = trace.num_tokens
        span, needle = self.marked, self.needle
        for name, value, right in (
            ("tokens", f"{len(self.tokens)} strings", len(self.tokens) == tokens),
            ("fact", self.fact, span is None or span[0] <= span[1] < tokens),
            ("needle", needle, needle is None or needle.start < needle.stop <= tokens),
        ):
            if not right:
                raise DamagedTraceError(
                    f"The trace's manifest is not right at {name!r}: {value} for {tokens} tokens."
                )
