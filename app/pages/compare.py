"""The Compare page: two runs of one text under two policies, on one clock."""

from __future__ import annotations

import html
import logging
import time
from collections.abc import Iterator
from typing import Any

import gradio as gr

from app.components.actions import actions, into_sight, problem_text
from app.components.controls import MAIN, control, fitting, policy_info, restored
from app.components.live_map import asking, named
from app.components.module import module_html
from app.components.share import NOTHING, share
from app.components.text import TextControls, with_kept
from app.feed import Message, as_text, goes_on
from app.pair import forget_pair, impossible, pair_messages, stop_pair
from app.places import CALLS_AT_ONCE
from app.preview import in_page_words
from app.recorded import recorded_pair
from app.runner import describe_problem
from app.runs import RUNS
from app.samples import INSTRUCTIONS
from app.session import (
    LINK_PROBLEM,
    PAIR_DEFAULTS,
    SIDES,
    pair_from_query,
    pair_to_query,
    understood,
)
from app.snapshot import kept_snapshot
from app.wire import WIRE
from lacache_core.errors import LaCacheError
from lacache_core.policies import SETTINGS

LOG = logging.getLogger(__name__)
_UNCHECKED = False  # the schema checks, in words: see the Explore page
_SAYS_EVERY = 0.5
"""Seconds between two sentences on how far the runs are, while the maps show it anyway."""
_SHARED_MORE = ("temperature", "top_p", "seed", "chunk", "read_chunk", "chat", "observe")
_SIDE_MORE = tuple(name for name in SETTINGS if name not in MAIN)
_Inputs = dict[tuple[str, str], Any]
"""Controls by side ("" for what the runs share) and name of the setting."""


def compare(demo: gr.Blocks) -> None:
    """Lay the page out inside ``demo`` and wire it."""
    gr.HTML(
        "<header class='lx-head'><h1>Compare two caches</h1><p>The same text, read or continued "
        "under <b>two policies</b>, on one clock. See what one still holds and the other has "
        "dropped, and where that costs it. What came out when we measured all policies: "
        "<a href='evaluate#findings'>our findings</a>.</p></header>"
    )
    with gr.Row(elem_classes="lx-page"):
        with gr.Column(scale=0, min_width=330, elem_classes="lx-controls"):
            gr.HTML("<h2 class='lx-title' id='own-pair'>Your own pair</h2>")
            text = TextControls(INSTRUCTIONS)
            ways = [("Only read it", "read"), ("Continue it", "generate")]
            mode = PAIR_DEFAULTS[""]["mode"]
            inputs: _Inputs = {
                ("", "prompt"): text.prompt,
                ("", "mode"): control(
                    "mode", choices=ways, value=mode, label="What to do", info=None
                ),
            }
            run, stop, problem = actions("Run both", "own-pair")
            said = gr.HTML(elem_classes="lx-said lx-progress", elem_id="run-said")
            for side in SIDES:
                inputs |= _side_controls(side)
            with gr.Accordion("What both share", open=False):
                shared = ("max_new_tokens", *_SHARED_MORE)
                inputs |= {("", name): control(name) for name in shared}
            link = _share(inputs)
        with gr.Column(scale=1, min_width=320, elem_classes="lx-instrument"):
            view = module_html(
                "compare.js",
                value=as_pair(recorded_messages()),
                options=f"{{ onGap: {asking('snapshot')}, keeps: 'pair' }}",
                functions=[named("snapshot", RUNS.snapshot)],
                elem_id="comparison",
            )

    keys, components = list(inputs), list(inputs.values())

    def start(request: gr.Request, *given: Any) -> Iterator[tuple[Any, Any, str]]:
        said_at = 0.0
        with WIRE.line() as line:
            told = _run_for_page(_values(keys, given), request.session_hash)
            for n, (item, said, why) in enumerate(told):
                # Why another try failed stays beside Run, while these runs go on.
                wrong = gr.skip() if n and not why else why
                if item is None:
                    yield gr.skip(), said, wrong
                elif not line.carries(as_pair([item]), last=not goes_on(item["message"])):
                    yield as_pair([item], line.key), said, wrong
                elif (now := time.monotonic()) > said_at + _SAYS_EVERY:
                    said_at = now
                    yield gr.skip(), said, wrong

    # Gradio goes on to the next of these when the one before has ended: the run comes last.
    run.click(None, None, None, js=into_sight("comparison"))
    run.click(None, None, link, js=NOTHING, api_visibility="private")
    run.click(
        start,
        components,
        [view, said, problem],
        show_progress="hidden",
        concurrency_limit=CALLS_AT_ONCE,
        concurrency_id="runs",
        trigger_mode="multiple",  # another pair takes the place of the one that goes on
        preprocess=_UNCHECKED,
        api_visibility="private",
    )
    stop.click(_stop_session, None, None, queue=False, api_visibility="private")
    demo.unload(_leave)
    for side in SIDES:
        _fit(inputs, side)

    def restore(kept: str, request: gr.Request) -> list[Any]:
        return _restored(inputs, dict(request.query_params), kept)

    text.restore(demo, restore, [*components, text.sample, link, problem])


def recorded_messages() -> list[Message]:
    """The pair that the page opens with, as messages of the two sides; none when it is missing."""
    return [
        {
            "pair": "recorded",
            "side": side,
            "message": kept_snapshot(trace, run=run, origin="recorded"),
        }
        for side, (run, trace) in zip(SIDES, recorded_pair(), strict=False)
    ]


def as_pair(messages: list[Message], line: str | None = None) -> str:
    """Messages as one value of the component, which may name the line of what follows."""
    return as_text({"messages": messages, **({} if line is None else {"line": line})})


def _side_controls(side: str) -> _Inputs:
    """The settings that a run has for itself."""
    prefix = f"{side}_"
    policy = PAIR_DEFAULTS[side]["policy"]
    shown = {name: update["visible"] for name, update in fitting({"policy": policy}).items()}
    with gr.Group(elem_classes=f"lx-side lx-side-{side}"):
        gr.HTML(f"<h3 class='lx-side-name'><i>{side.upper()}</i></h3>")
        inputs = {"policy": control("policy", prefix, value=policy, info=policy_info(policy))}
        inputs |= {name: control(name, prefix, visible=shown[name]) for name in MAIN}
        with gr.Accordion("More settings", open=False):
            inputs |= {name: control(name, prefix, visible=shown[name]) for name in _SIDE_MORE}
    return {(side, name): component for name, component in inputs.items()}


def _fit(inputs: _Inputs, side: str) -> None:
    """Show only the settings that the side's policy has, and say what it keeps."""
    names = ("policy", "span")

    def fit(*given: Any) -> list[Any]:
        values = dict(zip(names, given, strict=True))
        about = gr.update(info=policy_info(values["policy"]))
        return [about, *fitting(values).values()]

    gr.on(
        [inputs[side, name].change for name in names],
        fit,
        [inputs[side, name] for name in names],
        [inputs[side, name] for name in ("policy", *SETTINGS)],
        show_progress="hidden",
        trigger_mode="always_last",
        queue=False,
        preprocess=_UNCHECKED,
        api_visibility="private",
    )


def _values(keys: list[tuple[str, str]], given: Any) -> dict[str, dict[str, Any]]:
    """What was given, by side."""
    values: dict[str, dict[str, Any]] = {"": {}, **{side: {} for side in SIDES}}
    for (side, name), value in zip(keys, given, strict=True):
        values[side][name] = value
    return values


def _share(inputs: _Inputs) -> gr.HTML:
    """A link that restores both settings; returns where it says what became of it."""
    keys, components = list(inputs), list(inputs.values())

    def make(values: list[Any], text_too: bool) -> str:
        return pair_to_query(_values(keys, values), with_text=text_too)

    return share(components, make)


def _restored(inputs: _Inputs, query: dict[str, str], kept: str = "") -> list[Any]:
    """Updates of the controls from a link and of the text, and what to say of it."""
    found, wrong = understood(query, pair_from_query)
    problems = [LINK_PROBLEM.format(why) for why in wrong]
    if query:
        whole = {part: {**PAIR_DEFAULTS[part], **named} for part, named in found.items()}
        problems += impossible(whole)
    flat = {(side, name): value for side, named in found.items() for name, value in named.items()}
    said = "Settings taken from the link." if flat else gr.skip()
    problem = problem_text(*problems) if problems else gr.skip()
    flat, sample = with_kept(flat, ("", "prompt"), kept)
    return [*restored(inputs, flat), sample, said, problem]


def _run_for_page(
    values: dict[str, dict[str, Any]], session: str | None
) -> Iterator[tuple[Message | None, str, str]]:
    """Messages of both runs, how they go in words, and what went wrong; nothing of it is lost."""
    progress = _Progress()
    try:
        for message in pair_messages(values, session):
            yield message, progress.told(message), ""
    except LaCacheError as error:
        yield None, "", problem_text(in_page_words(error))
    except Exception as error:  # the user gets one sentence, the log the rest
        LOG.exception("a pair failed")
        yield None, "", problem_text(describe_problem(error))


class _Progress:
    """How far two runs are, in words."""

    def __init__(self) -> None:
        self._said = dict.fromkeys(SIDES, "waits")
        self._most: dict[str, int] = {}
        self._over: dict[str, str] = {}

    def told(self, item: Message) -> str:
        """Take in a message; what to say after it."""
        side, message = item["side"], item["message"]
        state = message["state"]
        if "setup" in message:
            self._most[side] = message["setup"]["expected"]
        if state["name"] in ("done", "stopped", "failed"):
            self._over[side] = state["name"]
            if state["name"] == "failed":
                return ""  # said beside Run
        if message["kind"] == "notice":
            self._said[side] = state["message"]
            return html.escape(state["message"])
        seen = message["figures"]["seen"]
        self._said[side] = f"{seen:,} of {self._most[side]:,} tokens"
        if len(self._over) == len(SIDES):
            stopped = "stopped" in self._over.values()
            return "Stopped. What is there can still be looked at." if stopped else "Both are done."
        told = (f"{side.upper()}: {said}" for side, said in self._said.items())
        return html.escape("Running. " + ", ".join(told))


def _stop_session(request: gr.Request) -> None:
    stop_pair(request.session_hash)


def _leave(request: gr.Request) -> None:
    forget_pair(request.session_hash)
