"""Perplexity of a text under a set of policies and budgets.

Each is one reading of the text, token by token, through the engine's own loop; all read the same
tokens, so they compare on equal terms. Knows nothing of where the text comes from.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from threading import Event

from lacache_core.engine import Engine
from lacache_core.errors import InvalidSettingError
from lacache_core.evaluation.contenders import Contender
from lacache_core.evaluation.identity import identity, text_digest
from lacache_core.evaluation.kept import Keeper
from lacache_core.evaluation.progress import Meter, Report
from lacache_core.evaluation.reading import (
    Reading,
    Stretch,
    check_stretch,
    new_reading,
    read_on,
)
from lacache_core.models import LoadedModel
from lacache_core.plan import IntArray

KIND = "reading"
_FORMAT = 1  # of a stored reading; raise it when what is measured changes
_STRETCHES = 32  # when nobody says how long they are to be


def perplexity(
    loaded: LoadedModel,
    ids: IntArray,
    competing: Sequence[Contender],
    *,
    stretch: int | None = None,
    chunk: int = 1,
    to_the_last_position: bool = False,
    keeper: Keeper | None = None,
    progress: Report | None = None,
    cancel: Event | None = None,
) -> Iterator[Reading]:
    """Read the text under each policy in turn.

    Parameters
    ----------
    ids
        ``int32[T]``, at least two tokens.
    competing
        Policies and budgets; see ``contenders``.
    stretch
        Tokens per stretch; None: a 32nd of the text.
    chunk
        Tokens per step; 1 is what writing does.
    to_the_last_position
        What a policy without a budget does with a text longer than the model has positions: read
        as far as they go and say so (True), or refuse (False).
    keeper
        Where finished readings are found and kept.
    progress, cancel
        Told how far it is; once set, the measurement ends after the step under way.

    Yields
    ------
    Reading
        After every stretch, one longer than before; the next policy's begin with ``stretches`` of
        one again. A policy that is impossible here yields one without stretches that says why.
    """
    stretch = max(1, -(-(len(ids) - 1) // _STRETCHES)) if stretch is None else stretch
    check_stretch(stretch, chunk)
    if len(ids) < 2:
        raise InvalidSettingError("text", f"{len(ids)} tokens", "at least two tokens long")
    keeper = keeper or Keeper()
    meter = Meter(len(ids) * len(competing), progress)
    for one in competing:
        if cancel is not None and cancel.is_set():
            return
        # 1. The policy, on this model and this text.
        due = len(ids)
        try:
            engine = Engine(loaded.model, loaded.tokenizer, one.at(len(ids)))
            if engine.planner.capacity is None and due > engine.max_positions:
                if not to_the_last_position:
                    raise InvalidSettingError(
                        "text",
                        f"{due:,} tokens",
                        f"at most {engine.max_positions:,} tokens for a policy without a budget: "
                        "the model has no more positions",
                    )
                due = engine.max_positions
        except InvalidSettingError as error:
            meter.skip(len(ids))
            yield _refused(one, len(ids), error)
            continue
        fresh = new_reading(engine, len(ids))
        meter.begin(f"{fresh.label}{'' if fresh.budget is None else f', budget {fresh.budget}'}")
        # 2. Measured before?
        key = {
            "format": _FORMAT,
            **identity(loaded.model, engine.description),
            "text": text_digest(ids[:due]),
            "tokens": due,
            "stretch": stretch,
            "read_chunk": chunk,
        }
        if record := keeper.found(KIND, key):
            meter.skip(len(ids))
            stretches = tuple(Stretch(**values) for values in record.result["stretches"])
            yield _closed(replace(fresh, stretches=stretches, complete=True), due)
            continue
        # 3. Read.
        reading = fresh
        for reading in read_on(
            engine, ids[:due], stretch=stretch, chunk=chunk, cancel=cancel, meter=meter
        ):
            reading = replace(reading, length=len(ids))
            yield _closed(reading, due)
        meter.skip(len(ids) - due)
        if reading.complete:
            stretches_kept = {"stretches": [asdict(s) for s in reading.stretches]}
            keeper.keep(KIND, key, stretches_kept, engine.trace())


def _refused(one: Contender, length: int, error: InvalidSettingError) -> Reading:
    budget = one.entries(length)
    return Reading(one.policy, one.label, one.settings, budget, length, ended=str(error))


def _closed(reading: Reading, due: int) -> Reading:
    """Say it where a reading ended because the positions did."""
    if due == reading.length or reading.tokens < due:
        return reading
    return replace(
        reading,
        ended=f"It stops after {due:,} of {reading.length:,} tokens: the model has no position "
        f"left. Each layer holds {reading.held:,} entries by then ({reading.kv_bytes / 1e6:,.0f} "
        "MB in all) and would need one more for every further token.",
    )
