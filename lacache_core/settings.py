"""The one schema of a run's settings, shared by page, API, command line and sweeps.

Ranges, defaults and help texts stand here and nowhere else: sliders read them, validation enforces
them, messages quote them. What depends on the model (a span below its number of layers) is checked
by the policy that the settings build.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lacache_core.errors import InvalidSettingError

MAX_PROMPT_CHARS = 400_000
EMBEDDED_ID = "smollm2-135m"


def default_model_id() -> str:
    """The model that runs when none is named: ``$LACACHE_MODEL``, else the embedded one."""
    return os.environ.get("LACACHE_MODEL", "").strip() or EMBEDDED_ID


class RunSettings(BaseModel):
    """Everything that decides what a run does. Frozen; build it with ``validate``."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)

    model: str = Field(
        default_model_id(),
        min_length=1,
        max_length=200,
        title="Model",
        description="Which model runs: the embedded one, a local folder, or a Hub id.",
    )
    mode: Literal["generate", "read"] = Field(
        "generate",
        title="Mode",
        description="generate: the model continues the text. "
        "read: it reads the text token by token, which gives a loss for every token.",
    )
    prompt: str = Field(
        "", max_length=MAX_PROMPT_CHARS, title="Text", description="The text to continue or read."
    )
    chat: bool = Field(
        False,
        title="Ask as a chat message",
        description="Put the text into the model's chat template; it then answers, not continues.",
    )
    policy: Literal[
        "full", "sliding_window", "streaming_llm", "lacache", "h2o", "tova", "snapkv", "random"
    ] = Field(
        "lacache", title="Policy", description="What each layer keeps once its budget is full."
    )
    budget: int = Field(
        256,
        ge=16,
        le=8192,
        title="Budget",
        description="How many tokens each layer may hold, as keys and values. A ladder with a wide "
        "group exceeds it by a few between two compactions.",
    )
    span: int = Field(
        15,
        ge=1,
        le=127,
        title="Span",
        description="In how many layers an old token survives. Fewer: the cache reaches further "
        "back, but each token is in fewer layers.",
    )
    overlap: int = Field(
        0,
        ge=0,
        le=126,
        title="Overlap",
        description="How many layers two neighbouring old tokens share; less than the span.",
    )
    num_sink: int = Field(
        4,
        ge=0,
        le=512,
        title="Sinks",
        description="How many tokens at the beginning are never dropped.",
    )
    arrangement: Literal["interleaved", "staircase"] = Field(
        "interleaved",
        title="Arrangement",
        description="Which layers keep which token. interleaved: neighbouring layers differ, as in "
        "the published code; staircase: shallow layers keep earlier tokens of a group, deep layers "
        "later ones, as in the paper's figure.",
    )
    slack: int = Field(
        0,
        ge=0,
        le=1024,
        title="Slack",
        description="Further entries freed by each compaction, so that the next tokens need none.",
    )
    recent_share: float = Field(
        0.5,
        ge=0,
        le=1,
        title="Recent share",
        description="H2O and Random: share of the budget for the newest tokens.",
    )
    window: int = Field(
        32,
        ge=1,
        le=512,
        title="Window",
        description="SnapKV: the prompt's last tokens, whose attention says what is kept of it.",
    )
    kernel: int = Field(
        5,
        ge=1,
        le=63,
        title="Pooling width",
        description="SnapKV: over how many neighbours attention is pooled; an odd number.",
    )
    pooling: Literal["avg", "max"] = Field(
        "avg",
        title="Pooling",
        description="SnapKV: whether neighbours count by their mean or by the greatest of them.",
    )
    max_new_tokens: int = Field(
        256, ge=1, le=8192, title="New tokens", description="How many tokens to generate at most."
    )
    temperature: float = Field(
        0.7, ge=0, le=2, title="Temperature", description="0 always takes the likeliest token."
    )
    top_p: float = Field(
        0.95,
        gt=0,
        le=1,
        title="Top-p",
        description="Choose among the likeliest tokens that add up to this probability.",
    )
    seed: int = Field(
        0, ge=0, le=2**31 - 1, title="Seed", description="Equal seeds give equal results."
    )
    chunk: int = Field(
        512,
        ge=1,
        le=1024,
        title="Prefill chunk",
        description="Tokens of a prompt that are read in one step before writing begins.",
    )
    read_chunk: int = Field(
        1,
        ge=1,
        le=1024,
        title="Reading chunk",
        description="Tokens per step when a text is only read. 1 is what writing does; more is "
        "faster and a little different, since a chunk sees all that was held before it.",
    )
    observe: bool = Field(
        True, title="Observe attention", description="Record where the last query looks."
    )

    @classmethod
    def validate_values(cls, values: Mapping[str, Any]) -> RunSettings:
        """Settings from loose values, as a page or an API client sends them.

        A whole number given as ``8.0`` is taken as 8, since JSON and sliders do not tell the two
        apart; nothing else is converted.

        Raises
        ------
        InvalidSettingError
            Naming the first field that is wrong, its value and what is allowed.
        """
        loose = dict(values)
        for name, info in cls.model_fields.items():
            given = loose.get(name)
            whole = info.annotation is int and isinstance(given, float) and given.is_integer()
            if whole:
                loose[name] = int(given)  # type: ignore[arg-type]
            elif info.annotation is float and type(given) is int and abs(given) < 2**63:
                loose[name] = float(given)
        try:
            return cls(**loose)
        except ValidationError as error:
            first = error.errors()[0]
            name = str(first["loc"][0]) if first["loc"] else "settings"
            raise InvalidSettingError(name, loose.get(name), allowed(name)) from None


def limits(name: str) -> tuple[float | None, float | None]:
    """Least and greatest value of a numeric field, None where there is no limit."""
    low = high = None
    for item in RunSettings.model_fields[name].metadata:
        low = getattr(item, "ge", getattr(item, "gt", low))
        high = getattr(item, "le", getattr(item, "lt", high))
    return low, high


@lru_cache
def allowed(name: str) -> str:
    """What a field may be, in words."""
    info = RunSettings.model_fields.get(name)
    if info is None:
        return (
            "left out: there is no such setting (there are "
            + ", ".join(RunSettings.model_fields)
            + ")"
        )
    if get_origin(info.annotation) is Literal:
        return "one of " + ", ".join(get_args(info.annotation))
    if info.annotation is bool:
        return "true or false"
    if info.annotation is str:
        longest = next(m.max_length for m in info.metadata if hasattr(m, "max_length"))
        return f"text of at most {longest:,} characters"
    low, high = limits(name)
    kind = "a whole number" if info.annotation is int else "a number"
    above = any(hasattr(m, "gt") for m in info.metadata)
    return f"{kind} {'above' if above else 'from'} {low} {'up ' if above else ''}to {high}"
