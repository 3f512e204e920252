"""The named endpoints: what a script can ask of a running app, documented by their signatures.

Everything goes through the same schema and the same runner as the page.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr
from gradio.events import api

from app.feed import as_text
from app.places import CALLS_AT_ONCE
from app.preview import DEFAULT_TOKENS, MOST_TOKENS, preview_facts
from app.runner import describe_problem, offered_models, run_messages
from app.runs import RUNS
from lacache_core import __version__
from lacache_core.errors import InvalidSettingError
from lacache_core.policies import POLICIES
from lacache_core.settings import RunSettings

LOG = logging.getLogger(__name__)
_D = {name: info.default for name, info in RunSettings.model_fields.items()}


def endpoints() -> None:
    """Register the endpoints on the surrounding Blocks."""
    api(run, api_name="run", concurrency_limit=CALLS_AT_ONCE, concurrency_id="runs")
    api(stop, api_name="stop", queue=False)
    api(preview, api_name="preview", queue=False)
    api(describe, api_name="describe", queue=False)


def run(
    prompt: str,
    policy: str = _D["policy"],
    budget: float = _D["budget"],
    span: float = _D["span"],
    overlap: float = _D["overlap"],
    num_sink: float = _D["num_sink"],
    arrangement: str = _D["arrangement"],
    slack: float = _D["slack"],
    recent_share: float = _D["recent_share"],
    window: float = _D["window"],
    kernel: float = _D["kernel"],
    pooling: str = _D["pooling"],
    mode: str = _D["mode"],
    max_new_tokens: float = _D["max_new_tokens"],
    temperature: float = _D["temperature"],
    top_p: float = _D["top_p"],
    seed: float = _D["seed"],
    chat: bool = _D["chat"],
    chunk: float = _D["chunk"],
    read_chunk: float = _D["read_chunk"],
    observe: bool = _D["observe"],
    model: str = _D["model"],
) -> Iterator[str]:
    """Run a text under a policy; streams the messages that the page's map is drawn from.

    Each is a JSON text as described in docs/live-map.md. They carry the run's id, which ``/stop``
    takes, also while the run waits for its turn.
    """
    values = dict(locals())
    try:
        for message in run_messages(values):
            yield as_text(message)
    except Exception as error:
        raise _told(error) from None


def stop(run: str) -> bool:
    """Stop the run with this id; false when it is not going."""
    return RUNS.stop(run) if isinstance(run, str) else False


def preview(
    tokens_seen: float = DEFAULT_TOKENS,
    policy: str = _D["policy"],
    budget: float = _D["budget"],
    span: float = _D["span"],
    overlap: float = _D["overlap"],
    num_sink: float = _D["num_sink"],
    arrangement: str = _D["arrangement"],
    slack: float = _D["slack"],
    recent_share: float = _D["recent_share"],
    window: float = _D["window"],
    kernel: float = _D["kernel"],
    pooling: str = _D["pooling"],
    model: str = _D["model"],
) -> dict:  # type: ignore[type-arg]
    """What a policy would hold after so many tokens, by its rule alone; runs no model."""
    values = dict(locals())
    return _answer(lambda: preview_facts(values, _token_count(values.pop("tokens_seen"))))


def describe() -> dict:  # type: ignore[type-arg]
    """Version, models, policies, and the settings with their types, ranges and defaults."""
    return {
        "version": __version__,
        "models": offered_models(),
        "policies": {name: policy.label for name, policy in POLICIES.items()},
        "settings": RunSettings.model_json_schema()["properties"],
    }


def _token_count(value: Any) -> int:
    whole = isinstance(value, (int, float)) and not isinstance(value, bool) and value == value // 1
    if not whole or not 0 <= value <= MOST_TOKENS:
        raise InvalidSettingError("tokens_seen", value, f"a whole number from 0 to {MOST_TOKENS}")
    return int(value)


def _answer(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return work()
    except Exception as error:
        raise _told(error) from None


def _told(error: Exception) -> gr.Error:
    """The error as a client sees it: one sentence; what was not foreseen is logged in full."""
    text = describe_problem(error)
    if text != str(error):
        LOG.error("a request failed", exc_info=error)
    return gr.Error(text, print_exception=False)
