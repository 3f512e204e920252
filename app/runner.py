"""From settings to a stream of messages: load, run, batch, stop.

One generator does it for the page and for the API alike. The boundary to a GPU worker lies around
``_steps``: what it yields is CPU data only, so that it may run in another process (ZeroGPU).
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import Any

from app.feed import Message, RunFeed, RunInfo, notice
from app.places import PLACES, Place
from app.runs import RUNS, Run, Runs
from lacache_core.errors import InvalidSettingError, LaCacheError
from lacache_core.models import known_layers
from lacache_core.policies import Planner, Policy, make_policy
from lacache_core.settings import EMBEDDED_ID, RunSettings, default_model_id
from lacache_core.trace import StepEvent

try:  # on ZeroGPU, and nowhere else
    from spaces import GPU
except ImportError:
    GPU = None

BORROWS_GPU = GPU is not None
"""Whether runs happen in a process of their own, which sees no event of this one."""
MESSAGES_PER_SECOND = 10.5
DEADLINE_SECONDS = 600.0
"""How long a run may take on a public Space; on one's own machine there is Stop."""
_POLL_SECONDS = 0.25
_STILL = "What is there can still be looked at."

ENDED = {
    "stop token": "Done: the model ended its text.",
    "length": "Done: all the tokens asked for were written.",
    "positions": "Done: the model has no more positions. A policy with a budget never runs out.",
    "end of text": "Done: the whole text was read.",
}


def offered_models() -> list[str]:
    """The default model and the embedded one: all that a public Space runs."""
    return list(dict.fromkeys([default_model_id(), EMBEDDED_ID]))


def check(values: Mapping[str, Any]) -> tuple[RunSettings, Policy, Planner | None]:
    """Settings, and the policy that they build, checked as far as possible without the model.

    Raises
    ------
    InvalidSettingError
        Naming the field, the value and what is allowed.
    """
    settings = RunSettings.validate_values(values)
    if os.environ.get("SPACE_ID") and settings.model not in (offered := offered_models()):
        names = " or ".join(map(repr, offered))
        raise InvalidSettingError("model", settings.model, f"{names} on a public Space")
    policy = make_policy(settings.policy, **settings.model_dump())
    layers = known_layers(settings.model)
    return settings, policy, None if layers is None else policy.bind(layers)


def run_messages(
    values: Mapping[str, Any], session: str | None = None, runs: Runs = RUNS
) -> Generator[Message, None, None]:
    """Check, wait for a place, load, run; yields messages for the browser (docs/live-map.md).

    Closing the generator, ``runs.stop`` and the deadline all end the run within a step.

    Raises
    ------
    LaCacheError
        When the settings or the model do not allow the run, or too many wait already; its text is
        for the user.
    """
    settings, policy = check_with_text(values)
    with PLACES.ask(runs.place_of(session)) as place:
        yield from going(settings, policy, runs.start(session, place), place)


def check_with_text(values: Mapping[str, Any]) -> tuple[RunSettings, Policy]:
    """Settings and policy of a run that is about to begin, so there must be a text.

    Raises
    ------
    InvalidSettingError
        As ``check`` does, and where the text is empty.
    """
    settings, policy, _ = check(values)
    if not settings.prompt.strip():
        raise InvalidSettingError("prompt", settings.prompt, "a text of at least one word")
    return settings, policy


def going(
    settings: RunSettings, policy: Policy, run: Run, place: Place
) -> Generator[Message, None, None]:
    """A run that was started, from its turn on; yields messages for the browser."""
    try:
        yield from _waiting(place, run)
        yield from loading(settings.model, run.cancel, run=run.id)
        if run.cancel.is_set():
            yield notice("stopped", "Stopped before it began.", run.id)
            return
        yield from _running(settings, policy, run)
    finally:
        run.active = False


def _waiting(place: Place, run: Run) -> Iterator[Message]:
    """Wait for the turn of a run, saying how many come first."""
    said = 0
    while (ahead := place.ahead) and not run.cancel.is_set():
        if ahead != said:
            said = ahead
            first = "one of them has" if ahead == 1 else f"{ahead} of those before it have"
            text = f"Other runs go on, as many as can at once. Yours starts when {first} ended."
            yield notice("loading", text, run.id)
        run.cancel.wait(_POLL_SECONDS)


def loading(
    model_id: str, cancel: threading.Event, what: str = "run", run: str | None = None
) -> Iterator[Message]:
    """Wait for the model, saying how it goes; ``what`` starts when it is there.

    ``run`` is the id of the run that it is said of, where there is one.
    """
    from lacache_core.models import is_loaded, load, load_in_background, loading_state

    if not is_loaded(model_id):
        thread = load_in_background(model_id)
        said = ""
        while thread.is_alive() and not cancel.is_set():
            if (state := loading_state(model_id)) != said:
                said = state
                text = f"{state}. The {what} starts when the model is there."
                yield notice("loading", text, run)
            thread.join(_POLL_SECONDS)
    if not cancel.is_set():
        load(model_id)  # at once by now; raises what went wrong


def _running(settings: RunSettings, policy: Policy, run: Run) -> Iterator[Message]:
    from lacache_core.models import load
    from lacache_core.text import TextStream, encode

    loaded = load(settings.model)
    ids = encode(
        loaded.tokenizer, settings.prompt, chat=settings.chat and settings.mode == "generate"
    )
    stream = TextStream(loaded.tokenizer, special=True)
    yield notice("loading", _reading(len(ids), settings), run.id)
    started = due = time.perf_counter()
    ended = reason = ""
    feed: RunFeed | None = None
    # An event cannot cross to a worker process; there the check between the steps below suffices.
    cancel = run.cancel if GPU is None else None
    steps = _steps(settings, policy, ids.tolist(), cancel)
    deadline = DEADLINE_SECONDS if os.environ.get("SPACE_ID") else float("inf")
    try:
        for item in steps:
            if isinstance(item, RunInfo):

                def strings(ids: Sequence[int]) -> list[str]:
                    return [stream.add(int(i)) for i in ids]

                feed = RunFeed(run.id, settings, item, policy.label, strings, started)
                run.source = feed
            elif isinstance(item, StepEvent):
                assert feed is not None  # RunInfo comes before the first event
                feed.add(item)
                if run.cancel.is_set():
                    break
                now = time.perf_counter()
                if now - started > deadline:
                    reason = "deadline"
                    ended = f"Stopped: a run may take {DEADLINE_SECONDS / 60:.0f} minutes here."
                    break
                if now >= due:
                    yield feed.message()
                    feed.sent(time.perf_counter() - now)
                    due = max(due + 1 / MESSAGES_PER_SECOND, now)
            else:
                reason, ended = item, ENDED.get(item, "")
    except GeneratorExit:
        if feed is not None:  # whoever asks for it later does not wait for more
            feed.message("stopped", f"Stopped, since the page was left. {_STILL}", "cancelled")
        raise
    finally:
        steps.close()
    if run.cancel.is_set():
        name, text, reason = (
            "stopped",
            f"Stopped. {_STILL}",
            "cancelled",
        )
    else:
        name, text = ("stopped" if ended.startswith("Stopped") else "done"), ended
    yield notice(name, text, run.id) if feed is None else feed.message(name, text, reason)


def _reading(tokens: int, settings: RunSettings) -> str:
    """What is said until the first step is over."""
    step = settings.chunk if settings.mode == "generate" else settings.read_chunk
    said = f"Reading the text: {tokens:,} token{'' if tokens == 1 else 's'}"
    return said + (f", {'one' if step == 1 else f'{step:,}'} at a time." if step < tokens else ".")


def on_gpu(function: Callable[..., Iterator[Any]]) -> Callable[..., Any]:
    """Where Spaces lend a GPU by the call, borrow it for this function; elsewhere nothing."""
    return function if GPU is None else GPU(duration=120)(function)


@on_gpu
def _steps(
    settings: RunSettings, policy: Policy, ids: list[int], cancel: threading.Event | None
) -> Iterator[RunInfo | StepEvent | str]:
    """The run itself: its info, its events, and at the end why it ended."""
    from lacache_core.engine import Engine
    from lacache_core.models import load

    loaded = load(settings.model)
    engine = Engine(
        loaded.model,
        loaded.tokenizer,
        policy,
        observe_every=1 if settings.observe else 0,
        chunk=settings.chunk,
    )
    if settings.mode == "read":
        events = engine.read(ids, chunk=settings.read_chunk, cancel=cancel)
    else:
        events = engine.generate(
            ids,
            max_new_tokens=settings.max_new_tokens,
            temperature=settings.temperature,
            top_p=settings.top_p,
            seed=settings.seed,
            cancel=cancel,
        )
    for event in events:
        if event.step == 0:
            yield RunInfo(
                row_of_layer=engine.planner.row_of_layer,
                capacity=engine.planner.capacity,
                reserve=engine.planner.reserve,
                bytes_per_entry=engine.cache.bytes_per_entry,
                full_bytes_per_entry=engine.cache.plain_bytes_per_entry,
                prompt_tokens=len(ids),
                about=engine.description,
            )
        yield event
    yield engine.stop_reason


def describe_problem(error: Exception) -> str:
    """What to tell a user of an error: its own words if it has any for them."""
    if isinstance(error, LaCacheError):
        return str(error)
    return "Something went wrong on the server; the log there says what. Please try again."
