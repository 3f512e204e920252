"""Needle in a haystack: does the model still know a fact that it read long ago?

Every prompt is read in chunks through the policy, so the question is asked of what the cache then
holds, and answered greedily. (The published LaCache code reads the whole prompt with full attention
first and compacts it before the second token of the answer; a ``chunk`` as long as the prompt does
that here.) Scored as there: right when the key occurs in the answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from threading import Event
from typing import Any

import numpy as np

from lacache_core.engine import Engine
from lacache_core.errors import InvalidSettingError
from lacache_core.evaluation.contenders import Contender, describe
from lacache_core.evaluation.identity import identity, text_digest
from lacache_core.evaluation.kept import Keeper
from lacache_core.evaluation.needle_prompt import NeedlePrompt, build_prompt, least_length
from lacache_core.evaluation.progress import Meter, Report
from lacache_core.evaluation.tasks import Grid, Task
from lacache_core.models import LoadedModel
from lacache_core.policies import Policy
from lacache_core.trace import Trace

KIND = "needle"
_FORMAT = 1  # of a stored trial; raise it when what is measured changes
CHUNK = 64


@dataclass(frozen=True)
class Trial:
    """One prompt, asked once.

    Attributes
    ----------
    seed
        Of the prompt.
    key, answer, correct
        What was hidden, what the model wrote, and whether the key occurs in it.
    start, stop
        The needle's tokens are ``start <= t < stop``.
    needle_layers
        Share of layers that still held the needle when the question had been read, mean over its
        tokens (and over heads, where they differ).
    held
        Entries per layer then.
    record
        Where the run lies in the store (``Store.trace(record)``); "" when it was not kept.
    """

    seed: int
    key: str
    answer: str
    correct: bool
    start: int
    stop: int
    needle_layers: float
    held: int
    record: str = ""


@dataclass(frozen=True)
class Cell:
    """All trials of one policy at one length and depth.

    Attributes
    ----------
    policy, label, settings, budget
        Its name in the registry, in words, its settings, its entries per layer (None: no limit).
    refused
        Why the policy is impossible here, in a sentence; "" otherwise.
    asked
        How many trials were asked for; a cell that was stopped has fewer.
    """

    policy: str
    label: str
    settings: dict[str, Any]
    budget: int | None
    length: int
    depth: float
    task: str
    trials: tuple[Trial, ...] = ()
    refused: str = ""
    asked: int = 0

    @property
    def correct(self) -> int:
        """How many trials were answered rightly."""
        return sum(trial.correct for trial in self.trials)

    @property
    def needle_layers(self) -> float:
        """Mean over the trials; NaN when there are none."""
        shares = [trial.needle_layers for trial in self.trials]
        return float(np.mean(shares)) if shares else float("nan")

    def row(self) -> dict[str, Any]:
        """The cell as a row of a table, without its trials."""
        return {
            "policy": self.policy,
            "label": self.label,
            "budget": self.budget,
            "settings": dict(self.settings),
            "task": self.task,
            "length": self.length,
            "depth": self.depth,
            "correct": self.correct,
            "trials": len(self.trials),
            "asked": self.asked,
            "needle_layers": self.needle_layers,
            "refused": self.refused,
        }


def needle(
    loaded: LoadedModel,
    competing: Sequence[Contender],
    grid: Grid | None = None,
    *,
    chunk: int = CHUNK,
    keeper: Keeper | None = None,
    progress: Report | None = None,
    cancel: Event | None = None,
) -> Iterator[Cell]:
    """Ask every prompt of a grid under every policy.

    Parameters
    ----------
    competing
        Policies and budgets; see ``contenders``. All are asked the same prompts.
    chunk
        Tokens of the prompt per step.
    keeper
        Where trials and their runs are found and kept.
    progress, cancel
        Told how far it is; once set, the measurement ends after the step under way.

    Yields
    ------
    Cell
        One after the other, short prompts first. When cancelled, the last may have fewer trials.

    Raises
    ------
    InvalidSettingError
        When a length leaves no room for needle and question, before anything is asked.
    """
    grid, keeper = grid or Grid(), keeper or Keeper()
    least = least_length(loaded.tokenizer, grid.task, grid.seeds)
    if min(grid.lengths) < least:
        raise InvalidSettingError(
            "lengths",
            min(grid.lengths),
            f"{least} tokens or more: needle, question and some text around them",
        )
    places = [(n, d) for n in grid.lengths for d in grid.depths]
    meter = Meter(sum(n for n, _ in places) * grid.seeds * len(competing), progress)
    for length, depth in places:
        prompts: dict[int, NeedlePrompt] = {}
        for one in competing:
            if cancel is not None and cancel.is_set():
                return
            # 1. The policy, on this model and this length.
            try:
                policy = one.at(length)
                engine = Engine(loaded.model, loaded.tokenizer, policy, chunk=min(chunk, length))
                cell = _cell(grid, policy, length, depth)
                meter.begin(f"{cell.label}, {length:,} tokens, depth {depth:g}")
                # 2. Its trials.
                trials: list[Trial] = []
                for seed in range(grid.seeds):
                    prompt = prompts.get(seed) or build_prompt(
                        loaded.tokenizer, grid.task, length=length, depth=depth, seed=seed
                    )
                    prompts[seed] = prompt
                    trial = _trial(engine, prompt, grid.task, seed, depth, keeper, meter, cancel)
                    if trial is None:
                        break
                    trials.append(trial)
            except InvalidSettingError as error:
                meter.skip(length * grid.seeds)
                yield _refused(grid, one, length, depth, error)
                continue
            if trials:
                yield _cell(grid, policy, length, depth, tuple(trials))


def ask(
    engine: Engine,
    prompt: NeedlePrompt,
    *,
    seed: int = 0,
    cancel: Event | None = None,
    meter: Meter | None = None,
    **about: Any,
) -> tuple[Trial, Trace] | None:
    """One trial and its run; None when it was cancelled.

    The trace's manifest says under ``needle`` where the needle's tokens are, what the key was and
    what was answered, beside what ``about`` adds. Used again on the same prompt it gives the same
    run, so any cell of a grid can be looked at, with attention if the engine observes it.
    """
    held, share, answer = 0, 0.0, ""
    ids: Any = prompt.ids  # an array of ids is a sequence of ids
    for event in engine.generate(ids, max_new_tokens=prompt.max_new_tokens, cancel=cancel):
        if meter is not None and event.phase == "prefill":
            meter.read(event.token_ids.size)
        if event.seen == len(ids):  # the question has been read, the answer begins
            held = event.held
            rows = engine.cache.text_positions  # [L, held], or [L, H, held] where heads differ
            of_needle = ((rows >= prompt.start) & (rows < prompt.stop)).sum(axis=-1)
            share = float(of_needle.mean()) / (prompt.stop - prompt.start)
        answer += event.text
    if engine.stop_reason == "cancelled":
        return None
    trial = Trial(
        seed=seed,
        key=prompt.key,
        answer=answer,
        correct=prompt.answered(answer),
        start=prompt.start,
        stop=prompt.stop,
        needle_layers=share,
        held=held,
    )
    marked = {**asdict(trial), "question_start": prompt.question_start, **about}
    marked.pop("record")
    return trial, engine.trace(needle=marked)


def _trial(
    engine: Engine,
    prompt: NeedlePrompt,
    task: Task,
    seed: int,
    depth: float,
    keeper: Keeper,
    meter: Meter,
    cancel: Event | None,
) -> Trial | None:
    """Found in the store, or asked and kept there; None when it was cancelled."""
    key = {
        "format": _FORMAT,
        **identity(engine.model, engine.description),
        "text": text_digest(prompt.ids),
        "needle": [prompt.start, prompt.stop],
        "key": prompt.key,
        "max_new_tokens": prompt.max_new_tokens,
    }
    if record := keeper.found(KIND, key):
        meter.skip(len(prompt.ids))
        return Trial(**{**record.result, "seed": seed, "record": record.id})
    asked = ask(
        engine,
        prompt,
        seed=seed,
        cancel=cancel,
        meter=meter,
        task=task.name,
        length=len(prompt.ids),
        depth=depth,
    )
    if asked is None:
        return None
    trial, trace = asked
    values = asdict(trial)
    values.pop("record")
    return Trial(**values, record=keeper.keep(KIND, key, values, trace))


def _cell(
    grid: Grid, policy: Policy, length: int, depth: float, trials: tuple[Trial, ...] = ()
) -> Cell:
    mine: Any = policy
    settings = asdict(mine)
    return Cell(
        policy=policy.name,
        label=describe(policy),
        settings=settings,
        budget=settings.get("budget"),
        length=length,
        depth=depth,
        task=grid.task.name,
        trials=trials,
        asked=grid.seeds,
    )


def _refused(
    grid: Grid, one: Contender, length: int, depth: float, error: InvalidSettingError
) -> Cell:
    return Cell(
        policy=one.policy,
        label=one.label,
        settings=dict(one.settings),
        budget=one.entries(length),
        length=length,
        depth=depth,
        task=grid.task.name,
        refused=str(error),
        asked=grid.seeds,
    )
