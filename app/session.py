"""Settings as the query of a link, and back. Knows the schema; knows nothing of Gradio.

A link carries what differs from the defaults. The text is left out unless it is asked for: a link
is easily passed on, and a text may be private. A sample is named instead of copied.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args, get_origin
from urllib.parse import urlencode

from app.samples import samples
from lacache_core.errors import InvalidSettingError
from lacache_core.settings import RunSettings, allowed

MOST_TEXT_IN_LINK = 4000
_SAMPLE = "sample"


def to_query(values: Mapping[str, Any], *, with_text: bool = False) -> str:
    """The query string of a link that restores these settings; "" when all are the defaults.

    Raises
    ------
    InvalidSettingError
        When a value is impossible, or the text is too long for a link.
    """
    settings = RunSettings.validate_values(values).model_dump()
    prompt = settings.pop("prompt")
    query = {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in settings.items()
        if value != RunSettings.model_fields[name].default
    }
    sample = next((s.name for s in samples() if s.text == prompt), None)
    if sample is not None:
        query[_SAMPLE] = sample
    elif with_text and prompt:
        if len(prompt) > MOST_TEXT_IN_LINK:
            raise InvalidSettingError(
                "prompt",
                f"{len(prompt):,} characters",
                f"at most {MOST_TEXT_IN_LINK:,} characters to fit into a link; share the settings "
                "alone, or save the run as a file",
            )
        query["prompt"] = prompt
    return urlencode(query)


def from_query(query: Mapping[str, str]) -> dict[str, Any]:
    """Values of the settings that a link names, checked; names that are no setting are ignored.

    Raises
    ------
    InvalidSettingError
        Naming the first value that is impossible.
    """
    found: dict[str, Any] = {}
    for name, text in query.items():
        if name == _SAMPLE:
            texts = {s.name: s.text for s in samples()}
            if text not in texts:
                raise InvalidSettingError(_SAMPLE, text, "one of " + ", ".join(texts))
            found["prompt"] = texts[text]
        elif name in RunSettings.model_fields:
            found[name] = _value(name, text)
    RunSettings.validate_values(found)
    return found


def _value(name: str, text: str) -> Any:
    """A text of a link as the type of its setting."""
    kind = RunSettings.model_fields[name].annotation
    try:
        if get_origin(kind) is None and kind is not bool:
            return kind(text)  # type: ignore[misc]
    except ValueError:
        raise InvalidSettingError(name, text, allowed(name)) from None
    if kind is bool:
        if text not in ("true", "false"):
            raise InvalidSettingError(name, text, allowed(name))
        return text == "true"
    if text not in get_args(kind):
        raise InvalidSettingError(name, text, allowed(name))
    return text
