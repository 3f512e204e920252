"""Settings as the query of a link, and back. Knows the schema; knows nothing of Gradio.

A link carries what differs from the defaults. The text is left out unless it is asked for: a link
is easily passed on, and a text may be private. A sample is named instead of copied. Two runs that
are compared share a text; what each has of its own bears the prefix of its side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, get_args, get_origin
from urllib.parse import urlencode

from app.samples import samples
from lacache_core.errors import InvalidSettingError
from lacache_core.policies import SETTINGS
from lacache_core.settings import RunSettings, allowed

MOST_TEXT_IN_LINK = 4000
_SAMPLE = "sample"
LINK_PROBLEM = "Left out of the link: {}"

SIDES = ("a", "b")
"""Two runs that are compared."""
SIDED = ("policy", *SETTINGS)
"""The settings that each of them has for itself; the others they share."""
PAIR_DEFAULTS: dict[str, dict[str, Any]] = {
    "": {"mode": "read"},
    "a": {"policy": "streaming_llm"},
    "b": {"policy": "lacache"},
}
"""Where a comparison begins otherwise than a single run: what is shared (""), and each side."""


def to_query(values: Mapping[str, Any], *, with_text: bool = False) -> str:
    """The query string of a link that restores these settings; "" when all are the defaults.

    Raises
    ------
    InvalidSettingError
        When a value is impossible, or the text is too long for a link.
    """
    settings = RunSettings.validate_values(values).model_dump()
    return urlencode(_differing(settings, {}) | _text(settings["prompt"], with_text))


def from_query(query: Mapping[str, str]) -> dict[str, Any]:
    """Values of the settings that a link names, checked; names that are no setting are ignored.

    Raises
    ------
    InvalidSettingError
        Naming the first value that is impossible.
    """
    found = _named(query)
    RunSettings.validate_values(found)
    return found


def pair_to_query(values: Mapping[str, Mapping[str, Any]], *, with_text: bool = False) -> str:
    """The query string of a link that restores a comparison.

    Parameters
    ----------
    values
        What the runs share under "", and what each has of its own under "a" and "b".
    with_text
        Whether a text that is no sample goes along.

    Raises
    ------
    InvalidSettingError
        When a value is impossible, or the text is too long for a link.
    """
    query: dict[str, str] = {}
    for side in SIDES:
        settings = RunSettings.validate_values({**values[""], **values[side]}).model_dump()
        if not query:
            shared = {name: value for name, value in settings.items() if name not in SIDED}
            query = _differing(shared, PAIR_DEFAULTS[""]) | _text(shared["prompt"], with_text)
        own = {name: settings[name] for name in SIDED}
        found = _differing(own, PAIR_DEFAULTS[side])
        query |= {f"{side}_{name}": text for name, text in found.items()}
    return urlencode(query)


def pair_from_query(query: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The other way: values under "", "a" and "b", checked; an empty query gives none.

    Raises
    ------
    InvalidSettingError
        Naming the first value that is impossible.
    """
    shared = {name: value for name, value in query.items() if name not in SIDED}
    found = {"": _named(shared)}
    for side in SIDES:
        own = {n: query[f"{side}_{n}"] for n in SIDED if f"{side}_{n}" in query}
        found[side] = _named(own)
    for side in SIDES:
        RunSettings.validate_values({**found[""], **found[side]})
    return found


def understood(
    query: Mapping[str, str], read: Callable[[Mapping[str, str]], dict[str, Any]]
) -> tuple[dict[str, Any], list[str]]:
    """What can be read of a query, and what is wrong with the rest of it, one sentence each.

    ``read`` is ``from_query`` or ``pair_from_query``.
    """
    good, wrong = dict(query), []
    for name, text in query.items():
        try:
            read({name: text})
        except InvalidSettingError as error:
            wrong.append(_told_of(name, error))
            del good[name]
    try:
        return read(good), wrong
    except InvalidSettingError as error:  # values that do not go together
        return read({}), [*wrong, str(error)]


def _told_of(name: str, error: InvalidSettingError) -> str:
    """An error, naming what the link calls the setting."""
    return error.told(lambda field: name if field == error.field else field)


def _differing(settings: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, str]:
    """Settings other than the defaults, as texts; not the prompt."""
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in settings.items()
        if name != "prompt" and value != defaults.get(name, RunSettings.model_fields[name].default)
    }


def _text(prompt: str, with_text: bool) -> dict[str, str]:
    sample = next((s.name for s in samples() if s.text == prompt), None)
    if sample is not None:
        return {_SAMPLE: sample}
    if not (with_text and prompt):
        return {}
    if len(prompt) > MOST_TEXT_IN_LINK:
        raise InvalidSettingError(
            "prompt",
            f"{len(prompt):,} characters",
            f"at most {MOST_TEXT_IN_LINK:,} characters to fit into a link; share the settings "
            "alone, or save the run as a file",
        )
    return {"prompt": prompt}


def _named(query: Mapping[str, str]) -> dict[str, Any]:
    """The settings that a query names, each of its type."""
    found: dict[str, Any] = {}
    for name, text in query.items():
        if name == _SAMPLE:
            texts = {s.name: s.text for s in samples()}
            if text not in texts:
                raise InvalidSettingError(_SAMPLE, text, "one of " + ", ".join(texts))
            found["prompt"] = texts[text]
        elif name in RunSettings.model_fields:
            found[name] = _value(name, text)
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
