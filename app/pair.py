"""Two runs of one text, told together: whichever has seen fewer tokens goes on.

Each keeps its own feed and its own numbering, so the browser can ask for each what it missed. The
times that are compared are those of the steps themselves: what the other run took does not count.
Where a GPU is lent by the call, the runs go one after the other, since two loans may wait for each
other. Knows nothing of Gradio.
"""

from __future__ import annotations

import uuid
from collections.abc import Generator, Iterator, Mapping
from typing import Any

from app import runner
from app.feed import Message, notice
from app.places import PLACES
from app.preview import in_page_words
from app.runs import RUNS, Runs
from app.session import SIDED, SIDES
from lacache_core.errors import InvalidSettingError, LaCacheError
from lacache_core.policies import Policy
from lacache_core.settings import RunSettings

Values = Mapping[str, Mapping[str, Any]]


class SideError(LaCacheError):
    """What is wrong with the settings of one side, in words."""


def pair_messages(
    values: Values, session: str | None = None, runs: Runs = RUNS
) -> Iterator[Message]:
    """Check both sides, then run them; yields ``{pair, side, message}``.

    Parameters
    ----------
    values
        What the runs share under "", and what each has of its own under "a" and "b".
    session
        Whose runs they are: a session's new pair stops its old one.

    Raises
    ------
    LaCacheError
        When a setting or the model does not allow the runs; its text is for the user.
    """
    checked = {side: _check(side, {**values[""], **values[side]}) for side in SIDES}
    with PLACES.ask(runs.place_of(session_of(session, SIDES[0]))) as place:
        # Both are there from the beginning, so that Stop reaches the one that comes later too.
        started = {side: runs.start(session_of(session, side), place) for side in SIDES}
        going = {side: runner.going(*checked[side], started[side], place) for side in SIDES}
        try:
            yield from _in_turn(going)
        finally:
            for run in started.values():
                run.active = False  # though it may never have begun


def _in_turn(going: dict[str, Generator[Message, None, None]]) -> Iterator[Message]:
    """Messages of two runs, of whichever has seen fewer tokens."""
    pair = uuid.uuid4().hex
    started = list(going.values())
    seen = dict.fromkeys(SIDES, 0)
    try:
        while going:
            side = next(iter(going)) if runner.BORROWS_GPU else min(going, key=seen.__getitem__)
            message = next(going[side], None)
            if message is None:
                del going[side]
                continue
            seen[side] = message.get("figures", {}).get("seen", seen[side])
            yield {"pair": pair, "side": side, "message": message}
    except InvalidSettingError as error:  # known once the text was read, as its length is
        text = _in_words(side, error)
        yield {"pair": pair, "side": side, "message": notice("failed", text)}
        raise SideError(text) from error
    finally:
        for run in started:
            run.close()


def impossible(values: Values) -> list[str]:
    """What is wrong with settings that are not about to run, a sentence for each side."""
    found = []
    for side in SIDES:
        try:
            runner.check({**values[""], **values[side], "prompt": ""})
        except InvalidSettingError as error:
            found.append(_in_words(side, error))
    return found


def stop_pair(session: str | None, runs: Runs = RUNS) -> None:
    """Stop both runs of a session."""
    for side in SIDES:
        runs.stop(session_of(session, side))


def forget_pair(session: str | None, runs: Runs = RUNS) -> None:
    """A session is gone: stop its runs."""
    for side in SIDES:
        runs.forget(session_of(session, side))


def session_of(session: str | None, side: str) -> str | None:
    """The name under which a session keeps the run of a side."""
    return None if session is None else f"{session}/{side}"


def _check(side: str, values: Mapping[str, Any]) -> tuple[RunSettings, Policy]:
    try:
        return runner.check_with_text(values)
    except InvalidSettingError as error:
        raise SideError(_in_words(side, error)) from error


def _in_words(side: str, error: InvalidSettingError) -> str:
    """What is wrong, with the side where the setting is one of its own or its policy minds it."""
    too_long = error.field == "prompt" and str(error.value).strip()  # for the policy of that side
    own = error.field in SIDED or too_long
    return f"{side.upper()}: {in_page_words(error)}" if own else in_page_words(error)
