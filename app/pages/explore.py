"""The Explore page: settings on the left, the live map on the right."""

from __future__ import annotations

import html
import logging
from collections.abc import Iterator
from typing import Any

import gradio as gr

from app.components.live_map import live_map_of
from app.components.module import module_html
from app.feed import Message, as_text, notice
from app.preview import DEFAULT_TOKENS, MOST_DRAWN, in_page_words, preview_message
from app.runner import describe_problem, run_messages
from app.runs import RUNS
from app.samples import samples
from app.session import from_query, to_query
from lacache_core.errors import InvalidSettingError, LaCacheError
from lacache_core.models import known_layers
from lacache_core.policies import POLICIES, policy_settings
from lacache_core.settings import RunSettings, limits

LOG = logging.getLogger(__name__)
_FIELDS = RunSettings.model_fields
_OF_POLICIES = ("budget", "span", "overlap", "num_sink", "arrangement", "slack")
# Gradio's own checks answer every digit of a number that is being typed with an error; the schema
# checks what counts, in words.
_UNCHECKED = False
# The map in the browser does not draw shares of heads yet; the feed and the library carry them.
_NOT_DRAWN = ("h2o", "snapkv")


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
            gr.HTML("<h2 class='lx-title'>Your own run</h2>")
            inputs = _text_controls()
            with gr.Row(elem_classes="lx-actions"):
                run = gr.Button("Run", variant="primary", elem_id="run")
                stop = gr.Button("Stop", elem_id="stop")
            inputs |= _choose_policy()
            with gr.Group(elem_classes="lx-preview"):
                preview = module_html("preview.js", value=as_text(_first_preview()))
                length = gr.Slider(
                    64, MOST_DRAWN, DEFAULT_TOKENS, step=64, label="Preview after … tokens"
                )
            inputs |= _policy_controls()
            inputs |= _advanced_controls()
            link = _share(inputs)
        with gr.Column(scale=1, min_width=320, elem_classes="lx-instrument"):
            view = live_map_of(RUNS, elem_id="live-map")

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
        preprocess=_UNCHECKED,
        api_visibility="private",
    )
    run.click(None, None, None, js=_SHOW_MAP)  # where it stands far above, on a phone
    stop.click(_stop_session, None, None, queue=False, api_visibility="private")
    demo.unload(_leave)

    def show_preview(tokens: Any, *given: Any) -> tuple[Any, ...]:
        return _preview(dict(zip(names, given, strict=True)), tokens)

    changing = ["policy", "budget", "span", "overlap", "num_sink", "arrangement", "slack"]
    gr.on(
        [length.change, *(inputs[name].change for name in changing)],
        show_preview,
        [length, *components],
        [preview, *(inputs[name] for name in _OF_POLICIES)],
        show_progress="hidden",
        trigger_mode="always_last",
        queue=False,
        preprocess=_UNCHECKED,
        api_visibility="private",
    )

    def restore(request: gr.Request) -> list[Any]:
        return _restored(inputs, dict(request.query_params))

    demo.load(restore, None, [*components, link], show_progress="hidden", api_visibility="private")


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


def _choose_policy() -> dict[str, Any]:
    names = [(policy.label, name) for name, policy in POLICIES.items() if name not in _NOT_DRAWN]
    default = _FIELDS["policy"].default
    return {"policy": gr.Dropdown(names, value=default, label="Policy", elem_id="policy")}


def _policy_controls() -> dict[str, Any]:
    """The main settings of a policy, by name."""
    inputs: dict[str, Any] = {}
    inputs["budget"] = _slider("budget", maximum=1024)
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


_SHOW_MAP = """() => setTimeout(() => {
  const map = document.getElementById('live-map');
  if (map && map.getBoundingClientRect().bottom < 120) map.scrollIntoView({ block: 'start' });
}, 100)"""
_COPY = """(query) => {
  if (query.startsWith('!')) return query.slice(1);
  const link = location.origin + location.pathname + (query ? '?' + query : '');
  history.replaceState(null, '', link);
  return navigator.clipboard.writeText(link).then(
    () => 'The link is copied; the address bar has it too.',
    () => 'The link is in the address bar now.');
}"""


def _share(inputs: dict[str, Any]) -> gr.HTML:
    """A link that restores the settings; returns where it says what became of it."""
    names, components = list(inputs), list(inputs.values())
    with gr.Row(elem_classes="lx-share"):
        copy = gr.Button("Copy link to these settings", size="sm", elem_id="copy-link")
        with_text = gr.Checkbox(
            False, label="with the text", info=None, elem_id="link-text", container=False
        )
    said = gr.HTML(elem_classes="lx-said", elem_id="link-said")

    def make(text_too: bool, *given: Any) -> str:
        try:
            return to_query(dict(zip(names, given, strict=True)), with_text=bool(text_too))
        except LaCacheError as error:
            return f"!{html.escape(str(error))}"

    copy.click(
        make,
        [with_text, *components],
        said,
        show_progress="hidden",
        preprocess=_UNCHECKED,
        api_visibility="private",
    ).then(None, said, said, js=_COPY)
    return said


def _restored(inputs: dict[str, Any], query: dict[str, str]) -> list[Any]:
    """Updates of the controls from a link, and what to say of it."""
    try:
        found = from_query(query)
        if found.get("policy") in _NOT_DRAWN:
            offered = ", ".join(name for name in POLICIES if name not in _NOT_DRAWN)
            raise InvalidSettingError("policy", found["policy"], f"one of {offered} on this page")
    except LaCacheError as error:
        return [gr.skip()] * len(inputs) + [html.escape(f"The link was not understood: {error}")]
    updates = []
    for name, component in inputs.items():
        if name not in found:
            updates.append(gr.skip())
        elif isinstance(component, gr.Slider):  # a link may go further than the slider does
            value = found[name]
            low, high = min(component.minimum, value), max(component.maximum, value)
            updates.append(gr.update(value=value, minimum=low, maximum=high))
        else:
            updates.append(gr.update(value=found[name]))
    return [*updates, "Settings taken from the link." if found else gr.skip()]


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
        yield notice("failed", in_page_words(error))
    except Exception as error:  # the user gets one sentence, the log the rest
        LOG.exception("a run failed")
        yield notice("failed", describe_problem(error))


def _stop_session(request: gr.Request) -> None:
    RUNS.stop(request.session_hash)


def _leave(request: gr.Request) -> None:
    RUNS.forget(request.session_hash)


def _first_preview() -> dict[str, Any]:
    return preview_message({}, DEFAULT_TOKENS)


def _preview(values: dict[str, Any], tokens: Any) -> tuple[Any, ...]:
    """What the settings would keep, and which of the sliders the policy has."""
    policy = values.get("policy")
    has = policy_settings(policy) if policy in POLICIES else ()
    shown = {name: gr.update(interactive=name in has) for name in _OF_POLICIES}
    span = values.get("span")
    if isinstance(span, (int, float)) and span >= 1:
        most = max(1, int(span) - 1)
        shown["overlap"] = gr.update(interactive="overlap" in has, maximum=most)
    length = int(tokens) if isinstance(tokens, (int, float)) else DEFAULT_TOKENS
    message = preview_message(values, max(1, min(MOST_DRAWN, length)))
    return (as_text(message), *shown.values())
