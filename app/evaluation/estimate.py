"""How long a measurement will take, and what of it is impossible: said before anybody presses Run.

By counting tokens, without a model. What this machine did before corrects the reference.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.evaluation.requests import Request
from lacache_core.checkpoint import max_positions
from lacache_core.errors import InvalidSettingError, LaCacheError, StoreUnavailableError
from lacache_core.evaluation.contenders import Contender
from lacache_core.models import known_layers
from lacache_core.settings import default_model_id
from lacache_core.store import Store

# Seconds of a step and of each token in it: the embedded model in float32 on two CPU cores.
STEP_SECONDS = 0.034
TOKEN_SECONDS = 0.0027
_ANSWER_TOKENS = 11
_CHARACTERS_PER_TOKEN = 3.0
_SPEED = "speed"
ANY = ""
"""Whose speed it is where that of a policy is not known."""


@dataclass(frozen=True)
class Estimate:
    """What a measurement costs.

    Attributes
    ----------
    seconds
        How long it takes when nothing of it was measured before.
    tokens
        Tokens that are read in all.
    refused
        Why some of the contenders cannot take part, a sentence each.
    """

    seconds: float
    tokens: int
    refused: tuple[str, ...] = ()


def reference_seconds(request: Request, tokens: int, runs: int) -> float:
    """How long it takes where the reference was measured."""
    answers = runs * _ANSWER_TOKENS if request.kind == "needle" else 0
    step = STEP_SECONDS / _chunk(request) + TOKEN_SECONDS
    return tokens * step + answers * (STEP_SECONDS + TOKEN_SECONDS)


def estimate(request: Request, store: Store | None = None) -> Estimate:
    """What a measurement costs.

    Raises
    ------
    InvalidSettingError
        When none of the contenders can take part; the first reason.
    """
    competing = request.competing()
    factors = {one.policy: speed_factor(request, one.policy, store) for one in competing}
    if request.kind == "needle":
        lengths = [n for n in request.grid.lengths for _ in request.grid.depths]
        places = [n for n in lengths for _ in range(request.grid.seeds)]
    else:
        length = request.tokens + (request.kind == "perplexity")
        if request.kind == "perplexity" and request.text.private:
            length = min(length, 1 + int(len(request.text.own) / _CHARACTERS_PER_TOKEN))
        places = [length]
    seconds, tokens, runs = 0.0, 0, 0
    refused: list[str] = []
    errors: list[InvalidSettingError] = []
    for one in competing:
        for length in places:
            try:
                due = _due(one, length, request)
            except InvalidSettingError as error:
                where = f" at {length:,} tokens" if request.kind == "needle" else ""
                refused.append(f"{one.label}{where} is left out: {error}")
                errors.append(error)
                continue
            tokens, runs = tokens + due, runs + 1
            seconds += reference_seconds(request, due, 1) * factors[one.policy]
    if not runs:
        raise errors[0]
    return Estimate(seconds, tokens, tuple(dict.fromkeys(refused)))


def _due(one: Contender, length: int, request: Request) -> int:
    """How many tokens a contender will read of a text of that length."""
    policy, model = one.at(length), default_model_id()
    layers, positions = known_layers(model), max_positions(model)
    planner = None if layers is None else policy.bind(layers)
    if one.budget is not None or positions is None or length <= positions:
        return length
    if request.kind == "endless":
        return positions  # where it stops
    if planner is not None and planner.capacity is not None:
        return length
    why = "the model's positions"
    if request.kind == "needle":
        raise InvalidSettingError("lengths", length, f"at most {positions:,}, {why}")
    most = f"at most {positions - 1:,}, {why} less the first token's"  # which nothing predicts
    raise InvalidSettingError("tokens", request.tokens, most)


def speed_factor(request: Request, policy: str, store: Store | None) -> float:
    """How much longer than the reference this machine took the last time it did the like.

    Best with this policy; what was read token by token says nothing of what is read in chunks.
    """
    for whose in (policy, ANY):
        try:
            record = None if store is None else store.get(_SPEED, _key(request, whose))
        except StoreUnavailableError:
            return 1.0
        factor = record.result.get("factor") if record else None
        if isinstance(factor, float) and 0.001 < factor < 1000:
            return factor
    return 1.0


def keep_speed(request: Request, policy: str, seconds_per_token: float, store: Store) -> None:
    """Remember how fast this machine was with a policy, or with ``ANY``."""
    mean = sum(request.grid.lengths) / len(request.grid.lengths)
    runs = 1 if request.kind == "needle" else 0
    tokens = int(mean) if request.kind == "needle" else 1
    expected = reference_seconds(request, tokens, runs) / tokens
    try:
        factor = float(seconds_per_token / expected)
        store.put(_SPEED, _key(request, policy), {"factor": factor})
    except LaCacheError:
        return  # only the next estimate is poorer for it


def _chunk(request: Request) -> int:
    return request.chunk if request.kind == "needle" else request.read_chunk


def _key(request: Request, policy: str) -> dict[str, str]:
    steps = "token by token" if _chunk(request) == 1 else "in chunks"
    return {"model": default_model_id(), "policy": policy, "steps": steps}


def in_words(seconds: float) -> str:
    """A duration as one says it: "30 s", "4 min", "2 h"."""
    if seconds < 10:
        return f"{max(1, round(seconds))} s"
    if seconds < 90:
        return f"{round(seconds / 5) * 5} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    hours = seconds / 3600
    return f"{hours:.0f} h" if hours >= 10 else f"{hours:.1f} h"
