"""The Explore page: settings on the left, the live map on the right."""

from __future__ import annotations

import html
import logging
from collections.abc import Iterator
from typing import Any

import gradio as gr
import numpy as np

from app.components.live_map import live_map
from app.feed import Message, as_text, notice
from app.runner import RUNS, check, describe_problem, run_messages
from app.samples import samples
from lacache_core.errors import LaCacheError, ModelUnavailableError
from lacache_core.models import known_layers
from lacache_core.policies import POLICIES, Arrival, Planner, policy_settings
from lacache_core.settings import RunSettings, limits

LOG = logging.getLogger(__name__)
PREVIEW_TOKENS = 2048
_FIELDS = RunSettings.model_fields
_LADDER = ("span", "overlap", "arrangement", "slack")


def explore(demo: gr.Blocks) -> None:
    """Lay the page out inside ``demo`` and wire it."""
    gr.HTML(
        "<header class='lx-head'><h1>LaCache explorer</h1><p>A language model remembers a text as "
        "<b>keys and values in every layer</b>. Here it may keep only a few. Watch which layer "
        "still holds which word, and how a ladder of layers remembers further back than a window "
        "of the same size.</p></header>"
    )
    with gr.Row(elem_classes="lx-page"):
        with gr.Column(scale=0, min_width=330, elem_classes="lx-controls"):
            inputs = _text_controls()
            with gr.Row(elem_classes="lx-actions"):
                run = gr.Button("Run", variant="primary", elem_id="run")
                stop = gr.Button("Stop", elem_id="stop")
            inputs |= _policy_controls()
            geometry = gr.HTML(elem_classes="lx-geometry", value=_geometry_of({}))
            inputs |= _advanced_controls()
        with gr.Column(scale=1, min_width=320, elem_classes="lx-instrument"):
            view = live_map(RUNS.snapshot, elem_id="live-map")

    names, components = list(inputs), list(inputs.values())

    def start(request: gr.Request, *given: Any) -> Iterator[str]:
        values = dict(zip(names, given, strict=True))
        for message in _run_for_page(values, request.session_hash):
            yield as_text(message)

    run.click(
        start,
        components,
        view,
        show_progress="hidden",
        concurrency_limit=4,
        concurrency_id="runs",
        api_visibility="private",
    )
    stop.click(_stop_session, None, None, queue=False, api_visibility="private")
    demo.unload(_leave)

    def show_geometry(*given: Any) -> tuple[Any, ...]:
        return _preview(dict(zip(names, given, strict=True)))

    changing = ["policy", "budget", "span", "overlap", "num_sink", "arrangement", "slack"]
    gr.on(
        [inputs[name].change for name in changing],
        show_geometry,
        components,
        [geometry, *(inputs[name] for name in ("span", "overlap", "arrangement", "slack"))],
        show_progress="hidden",
        trigger_mode="always_last",
        queue=False,
        api_visibility="private",
    )


def _text_controls() -> dict[str, Any]:
    """The text and what to do with it, by name of the setting."""
    inputs: dict[str, Any] = {}
    found = samples()
    pick = gr.Dropdown(
        [s.name for s in found], value=found[1].name, label="Sample text", elem_id="sample"
    )
    inputs["prompt"] = gr.Textbox(
        found[1].text,
        label="Text",
        lines=7,
        max_lines=7,
        elem_id="prompt",
        placeholder="Paste a long text, or pick a sample",
    )
    texts = {s.name: s.text for s in found}
    pick.input(lambda name: texts.get(name, ""), pick, inputs["prompt"], api_visibility="private")
    inputs["mode"] = gr.Radio(
        [("Continue the text", "generate"), ("Only read it", "read")],
        value="generate",
        label="What to do",
    )
    return inputs


def _policy_controls() -> dict[str, Any]:
    """The policy and its main settings, by name."""
    inputs: dict[str, Any] = {}
    names = [(policy.label, name) for name, policy in POLICIES.items()]
    inputs["policy"] = gr.Dropdown(names, value="lacache", label="Policy", elem_id="policy")
    inputs["budget"] = _slider("budget", step=1, maximum=1024, minimum=40)
    layers = known_layers(_FIELDS["model"].default)
    inputs["span"] = _slider("span", maximum=None if layers is None else layers - 1)
    inputs["overlap"] = _slider("overlap", maximum=_FIELDS["span"].default - 1)
    inputs["max_new_tokens"] = _slider("max_new_tokens", maximum=2048)
    return inputs


def _advanced_controls() -> dict[str, Any]:
    """The other settings, by name."""
    inputs: dict[str, Any] = {}
    with gr.Accordion("More settings", open=False):
        inputs["num_sink"] = _slider("num_sink", maximum=128)
        inputs["arrangement"] = gr.Radio(
            ["interleaved", "staircase"],
            value="interleaved",
            label=_FIELDS["arrangement"].title,
            info=_FIELDS["arrangement"].description,
        )
        inputs["slack"] = _slider("slack", maximum=128)
        inputs["temperature"] = _slider("temperature", step=0.05)
        inputs["top_p"] = _slider("top_p", step=0.01, minimum=0.01)
        inputs["seed"] = gr.Number(
            0, label="Seed", precision=0, info=_FIELDS["seed"].description, elem_id="seed"
        )
        inputs["chunk"] = _slider("chunk", maximum=256)
        inputs["read_chunk"] = _slider("read_chunk", maximum=256)
        inputs["chat"] = gr.Checkbox(
            False, label=_FIELDS["chat"].title, info=_FIELDS["chat"].description
        )
        inputs["observe"] = gr.Checkbox(
            True, label=_FIELDS["observe"].title, info=_FIELDS["observe"].description
        )
    return inputs


def _slider(
    name: str, *, step: float = 1, minimum: float | None = None, maximum: float | None = None
) -> gr.Slider:
    """A slider whose label, help, default and outer limits come from the schema."""
    info = _FIELDS[name]
    low, high = limits(name)
    most = (high or 1) if maximum is None else maximum
    return gr.Slider(
        (low or 0) if minimum is None else minimum,
        most,
        value=min(info.default, most),
        step=step,
        label=info.title,
        info=info.description,
        elem_id=name,
    )


def _run_for_page(values: dict[str, Any], session: str | None) -> Iterator[Message]:
    """Messages of a run; whatever goes wrong is said in the page, and nothing in it is lost."""
    try:
        yield from run_messages(values, session)
    except LaCacheError as error:
        yield notice("failed", describe_problem(error))
    except Exception as error:  # the user gets one sentence, the log the rest
        LOG.exception("a run failed")
        yield notice("failed", describe_problem(error))


def _stop_session(request: gr.Request) -> None:
    RUNS.stop(request.session_hash)


def _leave(request: gr.Request) -> None:
    RUNS.forget(request.session_hash)


def _preview(values: dict[str, Any]) -> tuple[Any, ...]:
    """What the settings would mean, and the sliders that only some policies have."""
    policy = values.get("policy")
    has = policy_settings(policy) if policy in POLICIES else ()
    shown = [gr.update(interactive=name in has) for name in _LADDER]
    span = values.get("span")
    if isinstance(span, (int, float)) and span >= 1:
        shown[1] = gr.update(interactive="overlap" in has, maximum=max(1, int(span) - 1))
    return (_geometry_of(values), *shown)


def _geometry_of(values: dict[str, Any]) -> str:
    """The geometry in words, or why it is impossible, as HTML of our own making."""
    try:
        facts = preview_facts({**values, "prompt": ""}, PREVIEW_TOKENS)
    except LaCacheError as error:
        return f"<p class='lx-bad' role='alert'>{html.escape(str(error))}</p>"
    held, union, seen = facts["held"], facts["union"], facts["tokens_seen"]
    lines = [f"After {seen:,} tokens each layer holds <b>{held:,}</b> entries."]
    if facts["policy"] == "lacache":
        lines = [
            f"Of <b>{facts['group_width']}</b> neighbouring entries each layer keeps "
            f"<b>{facts['kept_width']}</b>.",
            f"After {seen:,} tokens each layer holds <b>{held:,}</b> entries, and some layer "
            f"still holds <b>{union:,}</b> different tokens, where a window holds {held:,}.",
        ]
    elif facts["policy"] == "full":
        lines.append("Memory grows with the text.")
    return "<p>" + " ".join(lines) + "</p>"


def preview_facts(values: dict[str, Any], tokens_seen: int) -> dict[str, Any]:
    """What settings mean for a text of that length, by the rule alone.

    Raises
    ------
    InvalidSettingError
        Naming what is impossible.
    """
    settings, policy, planner = check(values)
    if planner is None:
        raise ModelUnavailableError(
            f"How many layers {settings.model!r} has is known once it is on this machine, after "
            "its first run."
        )
    rows = rows_after(planner, tokens_seen)
    after_sinks = rows[:, min(settings.num_sink, rows.shape[1]) :]
    facts = {
        "policy": settings.policy,
        "tokens_seen": tokens_seen,
        "held": int(rows.shape[1]),
        "effective_budget": planner.capacity,
        "union": int(np.unique(rows).size),
        "oldest_after_sinks": int(after_sinks.min()) if after_sinks.size else None,
    }
    if settings.policy == "lacache":
        ladder = policy.ladder(planner.num_layers)  # type: ignore[attr-defined]
        facts |= {
            "group_width": ladder.group_width,
            "kept_width": ladder.kept_width,
            "reduction": ladder.reduction,
        }
    return facts


def rows_after(planner: Planner, tokens_seen: int) -> np.ndarray[Any, np.dtype[np.int32]]:
    """Text positions that each pattern holds once so many tokens have arrived."""
    everything = np.arange(tokens_seen, dtype=np.int32)
    rows = np.tile(everything, (planner.num_patterns, 1))
    plan = planner.plan(Arrival(held=0, arriving=tokens_seen, seen=0, cursor=planner.cursor))
    return rows if plan is None else plan.apply(rows)
