"""The Explore page: settings on the left, the live map on the right."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import gradio as gr

from app.components.actions import actions, into_sight, problem_text
from app.components.controls import FIELDS, MAIN, control, fitting, policy_info, restored
from app.components.live_map import live_map_of
from app.components.module import module_html
from app.components.share import NOTHING, share
from app.components.text import TextControls, with_kept
from app.feed import Message, as_text, goes_on, notice
from app.places import CALLS_AT_ONCE
from app.preview import DEFAULT_TOKENS, MOST_DRAWN, in_page_words, preview_message
from app.runner import describe_problem, run_messages
from app.runs import RUNS
from app.session import LINK_PROBLEM, from_query, to_query, understood
from app.wire import WIRE
from lacache_core.errors import LaCacheError
from lacache_core.policies import SETTINGS

LOG = logging.getLogger(__name__)
# Gradio's own checks answer every digit of a number that is being typed with an error; the schema
# checks what counts, in words.
_UNCHECKED = False
_MORE = (
    *(name for name in SETTINGS if name not in MAIN),
    *("temperature", "top_p", "seed", "chunk", "read_chunk", "chat", "observe"),
)


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
            gr.HTML("<h2 class='lx-title' id='own-run'>Your own run</h2>")
            text = TextControls()
            ways = [("Continue the text", "generate"), ("Only read it", "read")]
            inputs = {
                "prompt": text.prompt,
                "mode": control("mode", choices=ways, label="What to do", info=None),
            }
            inputs["policy"] = control("policy", info=policy_info(FIELDS["policy"].default))
            inputs["budget"] = control("budget")
            run, stop, problem = actions("Run", "own-run")
            with gr.Group(elem_classes="lx-preview"):
                gr.HTML("<h3 class='lx-subtitle'>What these settings would keep</h3>")
                preview = module_html("preview.js", value=as_text(_first_preview()))
                inputs |= {name: control(name) for name in ("span", "overlap")}
                length = gr.Slider(
                    64,
                    MOST_DRAWN,
                    DEFAULT_TOKENS,
                    step=64,
                    label="Tokens read",
                    info="For how long a text this preview is drawn.",
                    elem_id="preview-length",
                )
            inputs["max_new_tokens"] = control("max_new_tokens")
            with gr.Accordion("More settings", open=False):
                inputs |= {name: control(name) for name in _MORE}
            link = _share(inputs)
        with gr.Column(scale=1, min_width=320, elem_classes="lx-instrument"):
            view = live_map_of(RUNS, elem_id="live-map")

    names, components = list(inputs), list(inputs.values())

    def start(request: gr.Request, *given: Any) -> Iterator[tuple[str, str]]:
        values = dict(zip(names, given, strict=True))
        with WIRE.line() as line:
            for n, message in enumerate(_run_for_page(values, request.session_hash)):
                last = not goes_on(message)
                if line.carries(as_text(message), last):
                    continue
                if last:
                    yield as_text(message), _problem_of(message) or gr.skip()
                else:  # why another try failed stays beside Run, while this run goes on
                    yield as_text({**message, "line": line.key}), gr.skip() if n else ""

    # Gradio goes on to the next of these when the one before has ended: the run comes last.
    run.click(None, None, None, js=into_sight("live-map"))  # where it stands far above, on a phone
    run.click(None, None, link, js=NOTHING, api_visibility="private")
    run.click(
        start,
        components,
        [view, problem],
        show_progress="hidden",
        concurrency_limit=CALLS_AT_ONCE,
        concurrency_id="runs",
        trigger_mode="multiple",  # another run takes the place of the one that goes on
        preprocess=_UNCHECKED,
        api_visibility="private",
    )
    stop.click(_stop_session, None, None, queue=False, api_visibility="private")
    demo.unload(_leave)

    def show_preview(tokens: Any, *given: Any) -> tuple[Any, ...]:
        return _preview(dict(zip(names, given, strict=True)), tokens)

    gr.on(
        [length.change, *(inputs[name].change for name in ("policy", *SETTINGS))],
        show_preview,
        [length, *components],
        [preview, inputs["policy"], *(inputs[name] for name in SETTINGS)],
        show_progress="hidden",
        trigger_mode="always_last",
        queue=False,
        preprocess=_UNCHECKED,
        api_visibility="private",
    )

    def restore(kept: str, request: gr.Request) -> list[Any]:
        return _restored(inputs, dict(request.query_params), kept)

    text.restore(demo, restore, [*components, text.sample, link, problem])


def _problem_of(message: Message) -> str:
    """What stands beside Run while this is the newest message: why a run failed, else nothing."""
    state = message["state"]
    if state["name"] != "failed":
        return ""
    return problem_text(state["message"])


def _share(inputs: dict[str, Any]) -> gr.HTML:
    """A link that restores the settings; returns where it says what became of it."""
    names, components = list(inputs), list(inputs.values())

    def make(given: list[Any], text_too: bool) -> str:
        return to_query(dict(zip(names, given, strict=True)), with_text=text_too)

    return share(components, make)


def _restored(inputs: dict[str, Any], query: dict[str, str], kept: str = "") -> list[Any]:
    """Updates of the controls from a link and of the text, and what to say of it."""
    found, wrong = understood(query, from_query)
    said = "Settings taken from the link." if found else gr.skip()
    problem = problem_text(*map(LINK_PROBLEM.format, wrong)) if wrong else gr.skip()
    found, sample = with_kept(found, "prompt", kept)
    return [*restored(inputs, found), sample, said, problem]


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
    length = int(tokens) if isinstance(tokens, (int, float)) else DEFAULT_TOKENS
    message = preview_message(values, max(1, min(MOST_DRAWN, length)))
    about = gr.update(info=policy_info(values.get("policy")))
    return (as_text(message), about, *fitting(values).values())
