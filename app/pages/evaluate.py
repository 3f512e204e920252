"""The Evaluate page: perplexity, needle and endless reading, each with its settings and results."""

from __future__ import annotations

import html
import json
import logging
from collections.abc import Mapping
from typing import Any

import gradio as gr

from app.components.actions import actions
from app.components.contenders import choose_contenders
from app.components.controls import control, restored
from app.components.measurement import measurement
from app.evaluation.estimate import estimate, in_words
from app.evaluation.findings import findings
from app.evaluation.jobs import MEASUREMENTS
from app.evaluation.measuring import in_page_words, public
from app.evaluation.requests import KINDS, TABS, TITLES, Kind, Request, command, request_of
from app.runner import describe_problem
from app.runs import RUNS
from lacache_core.errors import LaCacheError, StoreUnavailableError
from lacache_core.evaluation.tasks import TASKS
from lacache_core.settings import MAX_PROMPT_CHARS

LOG = logging.getLogger(__name__)
_UNCHECKED = False  # the schema checks, in words; Gradio would answer every digit with an error
_FINDINGS = "findings"
"""The tab beside the measurements that says what was found."""
_ABOUT: dict[Kind, list[str]] = {
    "perplexity": [
        "How well does the model still predict a text when it may keep only a few entries? Every "
        "policy reads the same tokens, one at a time, and perplexity says how surprised the model "
        "was: lower is better.",
        "Press Run. The curves grow while it reads; what is finished is kept and not measured "
        "again.",
    ],
    "needle": [
        "A fact is hidden in a long text and asked for at its end. Does the model still know it "
        "when the cache had to drop most of the text?",
        "Press Run. Every cell of the heatmaps is a length and a depth of the needle; a click on "
        "one shows the answers and opens the run on the map, layer by layer.",
    ],
    "endless": [
        "A model with a budget reads on for ever: perplexity, memory and time per token should be "
        "flat lines. The full cache grows and slows down, until the model has no position left.",
        "Press Run. What is finished is kept and not measured again.",
    ],
}
_DEFAULTS: dict[Kind, dict[str, Any]] = {
    "perplexity": {"policies": ["full", "streaming_llm", "lacache"], "budgets": ["128"]},
    "needle": {"policies": ["full", "streaming_llm", "lacache"], "budgets": ["50%"]},
    "endless": {"policies": ["lacache", "streaming_llm", "full"], "budgets": ["256"]},
}
_SOURCES = [
    ("Python's manual (465,000 characters)", "manual"),
    ("An essay on memory (600 tokens)", "essay"),
    ("My own text", "own"),
    ("A data set of the Hugging Face Hub", "hub"),
]
# Which tab is open stands in the address, so that a reload and a link come back to it. The page has
# a base, so the path must be named. A tab tells of being chosen when it is made, too: what the
# address says is looked at first.
_OPENED = """() => {
  if (!window.lxTabKnown) return;
  history.replaceState(null, '', location.pathname + location.search + '#TAB');
}"""
_TAB = "() => { window.lxTabKnown = true; return location.hash.slice(1); }"
_STOP = """() => {
  const root = document.querySelector('#measured-KIND .lc-root');
  if (root && root.__measurement) root.__measurement.stop();
}"""


def evaluate(demo: gr.Blocks) -> None:
    """Lay the page out inside ``demo`` and wire it."""
    gr.HTML(
        "<header class='lx-head'><h1>Evaluate</h1><p>Measure what a policy costs, on this machine "
        "and this model: the same code and the same stored results as the command line, number for "
        "number. What came out when we measured all policies: see <b>Findings</b>.</p></header>"
    )
    found = findings()
    names = [*KINDS, *([_FINDINGS] if found else [])]
    with gr.Tabs(elem_classes="lx-tabs") as tabs:
        for kind in KINDS:
            with gr.Tab(TABS[kind], id=kind) as tab:
                _measuring(demo, kind)
            _remember(tab, kind)
        if found:
            with gr.Tab("Findings", id=_FINDINGS) as tab:
                _findings(found)
            _remember(tab, _FINDINGS)
    _where()
    asked = gr.Textbox(visible=False)
    demo.load(
        lambda name: gr.Tabs(selected=name) if name in names else gr.skip(),
        asked,
        tabs,
        js=_TAB,
        show_progress="hidden",
        queue=False,
        api_visibility="private",
    )


def _remember(tab: gr.Tab, name: str) -> None:
    js = _OPENED.replace("TAB", name)
    tab.select(None, None, None, js=js, api_visibility="private")


def _measuring(demo: gr.Blocks, kind: Kind) -> None:
    """One tab: settings and what to press on the left, what comes out on the right."""
    with gr.Row(elem_classes="lx-page lx-evaluate"):
        with gr.Column(scale=0, min_width=330, elem_classes="lx-controls"):
            inputs = choose_contenders(kind, **_DEFAULTS[kind])
            settings = _needle_controls if kind == "needle" else _text_controls
            more, arrivals = settings(kind)
            inputs |= more
            first = _checked(kind, {name: c.value for name, c in inputs.items()})
            run, stop, said = actions("Run", f"{kind}-policies", f"-{kind}", first[0])
            same = gr.Textbox(
                first[1],
                label="These settings from a terminal",
                lines=2,
                max_lines=6,
                interactive=False,
                buttons=["copy"],
                elem_id=f"command-{kind}",
                elem_classes="lx-command",
            )
        with gr.Column(scale=1, min_width=320, elem_classes="lx-results"):
            view = measurement(
                kind,
                f"run-problem-{kind}",
                f"stop-{kind}",
                _ABOUT[kind],
                MEASUREMENTS,
                RUNS,
                elem_id=f"measured-{kind}",
            )

    names, components = list(inputs), list(inputs.values())

    def check(*given: Any) -> tuple[Any, Any]:
        return _checked(kind, dict(zip(names, given, strict=True)), stored=True)

    def start(*given: Any) -> tuple[Any, Any]:
        return _started(kind, dict(zip(names, given, strict=True)))

    def fill(event: gr.EventData) -> list[Any]:
        return _filled(inputs, MEASUREMENTS.form(getattr(event, "id", None)))

    quiet: dict[str, Any] = {
        "show_progress": "hidden",
        "queue": False,
        "preprocess": _UNCHECKED,
        "api_visibility": "private",
    }
    # When the page is there, since the machine is as fast as it was before; and at every change. A
    # long text is looked at when somebody has done with it, not at every letter. All are one event:
    # the last one asked for is the last one answered.
    events = [demo.load, *(c.blur if name == "own" else c.change for name, c in inputs.items())]
    gr.on(events, check, components, [said, same], trigger_mode="always_last", **quiet)
    for arrival in arrivals:
        arrival.then(check, components, [said, same], **quiet)
    run.click(start, components, [view, said], **quiet)
    # What lies in a closed part of the form does not tell that it changed.
    filled = view.select(fill, None, components, **quiet)
    filled.then(check, components, [said, same], **quiet)
    stop.click(None, None, None, js=_STOP.replace("KIND", kind), api_visibility="private")


def _text_controls(kind: Kind) -> tuple[dict[str, Any], list[Any]]:
    """Which text, how much of it, and in what steps, by name; and what brings a text along."""
    ident = f"{kind}-"
    inputs: dict[str, Any] = {}
    inputs["source"] = gr.Dropdown(
        _SOURCES, value="manual", label=TITLES["source"], elem_id=ident + "source"
    )
    with gr.Column(visible=False, elem_classes="lx-own") as own:
        inputs["own"] = gr.Textbox(
            "",
            label=TITLES["own"],
            lines=5,
            max_lines=5,
            placeholder="Paste a text, or open a file",
            elem_id=ident + "own",
        )
        upload = gr.UploadButton(
            "Open a .txt file",
            file_types=["text", ".txt", ".md"],
            size="sm",
            elem_id=ident + "file",
        )
        opened = gr.HTML(elem_classes="lx-said", elem_id=ident + "file-said")
    with gr.Column(visible=False, elem_classes="lx-own") as hub:
        inputs["dataset"] = gr.Textbox(
            "Salesforce/wikitext:wikitext-2-raw-v1",
            label=TITLES["dataset"],
            info="owner/name, or owner/name:configuration:split.",
            elem_id=ident + "dataset",
        )
    inputs["source"].change(
        lambda source: (gr.update(visible=source == "own"), gr.update(visible=source == "hub")),
        inputs["source"],
        [own, hub],
        show_progress="hidden",
        queue=False,
        preprocess=_UNCHECKED,
        api_visibility="private",
    )
    read = upload.upload(_read_file, upload, [inputs["own"], opened], api_visibility="private")
    endless = kind == "endless"
    inputs["tokens"] = gr.Slider(
        1000 if endless else 64,
        200_000 if endless else 8191,
        20_000 if endless else 512,
        step=1000 if endless else 1,
        label=TITLES["tokens"],
        info="How many to read. A text that is too short is continued with Python's manual."
        if endless
        else "How many to predict, from the beginning of the text.",
        elem_id=ident + "tokens",
    )
    with gr.Accordion("More settings", open=False):
        inputs["read_chunk"] = control("read_chunk", ident, value=64 if endless else 1)
        inputs["stretch"] = gr.Textbox(  # an empty field of numbers would show a 0
            "512" if endless else "",
            label=TITLES["stretch"],
            info="Tokens that one point of the curves stands for."
            + ("" if endless else " Empty: a 32nd of the text."),
            elem_id=ident + "stretch",
        )
        inputs |= _more(ident)
    return inputs, [read]


def _needle_controls(kind: Kind) -> tuple[dict[str, Any], list[Any]]:
    """Which prompts are asked, by name."""
    ident = f"{kind}-"
    tasks = [("A pass key: five digits", "passkey"), ("Somebody's secret word", "word")]
    lists: dict[str, Any] = {"multiselect": True, "allow_custom_value": True}
    inputs: dict[str, Any] = {
        "task": gr.Radio(
            [(label, name) for label, name in tasks if name in TASKS],
            value="passkey",
            label="What is hidden",
            elem_id=ident + "task",
        ),
        "lengths": gr.Dropdown(
            ["128", "256", "512", "1024", "2048", "4096", "8000"],
            value=["256", "512"],
            label=TITLES["lengths"],
            info="Tokens of the whole prompt.",
            elem_id=ident + "lengths",
            **lists,
        ),
        "depths": gr.Dropdown(
            ["0", "0.25", "0.5", "0.75", "1"],
            value=["0", "0.5", "1"],
            label=TITLES["depths"],
            info="Where the needle stands: 0 at the beginning, 1 right before the question.",
            elem_id=ident + "depths",
            **lists,
        ),
        "seeds": gr.Slider(
            1,
            10,
            1,
            step=1,
            label=TITLES["seeds"],
            info="Prompts with the seeds 0, 1, 2, …; equal seeds give equal prompts.",
            elem_id=ident + "seeds",
        ),
    }
    with gr.Accordion("More settings", open=False):
        inputs["chunk"] = control("chunk", ident)
        inputs |= _more(ident)
    return inputs, []


def _more(ident: str) -> dict[str, Any]:
    return {
        "num_sink": control(
            "num_sink", ident, visible=True, info="First tokens, never dropped; of all policies."
        ),
        "fresh": gr.Checkbox(
            False, label="Measure again what was measured before", elem_id=ident + "fresh"
        ),
    }


def _read_file(path: str | None) -> tuple[Any, str]:
    """The text of an uploaded file, and what to say of it."""
    if not path:
        return gr.skip(), ""
    try:
        with open(path, "rb") as file:
            data = file.read(4 * MAX_PROMPT_CHARS + 4)
        text = data.decode(
            "utf-8-sig", errors="strict" if len(data) < 4 * MAX_PROMPT_CHARS else "ignore"
        )
    except UnicodeDecodeError:
        return gr.skip(), _bad("This is no text file in UTF-8.")
    except OSError:
        return gr.skip(), _bad("The file did not arrive. Please try again.")
    if not text.strip():
        return gr.skip(), _bad("This file holds no text.")
    if len(text) > MAX_PROMPT_CHARS:
        return text[:MAX_PROMPT_CHARS], f"Its first {MAX_PROMPT_CHARS:,} characters are taken."
    return text, f"{len(text):,} characters."


def _checked(kind: Kind, values: Mapping[str, Any], stored: bool = False) -> tuple[str, Any]:
    """What the settings cost or what is wrong with them, as HTML; and the command."""
    request: Request | None = None
    try:
        request = request_of(kind, values)
        cost = estimate(request, MEASUREMENTS.store if stored else None)
    except LaCacheError as error:
        return _bad(in_page_words(error, request)), "" if request is None else command(request)
    left_out = "".join(f"<p>{html.escape(why)}</p>" for why in cost.refused)
    return (
        f"<p>About <b>{in_words(cost.seconds)}</b> for {cost.tokens:,} tokens, less what was "
        f"measured before.</p>{left_out}",
        command(request),
    )


def _filled(inputs: Mapping[str, Any], form: Mapping[str, Any]) -> list[Any]:
    """Updates that set the controls to what they said when a measurement began."""
    return restored(inputs, {name: value for name, value in form.items() if name in inputs})


def _started(kind: Kind, values: Mapping[str, Any]) -> tuple[Any, Any]:
    """Start; the message that the results follow, or what is wrong beside the controls."""
    request: Request | None = None
    try:
        request = request_of(kind, values)
        estimate(request)
        return json.dumps({"follow": MEASUREMENTS.start(request).id}), gr.skip()
    except LaCacheError as error:
        problem = in_page_words(error, request)
    except Exception as error:
        LOG.exception("a measurement did not start")
        problem = describe_problem(error)
    return gr.skip(), _bad(problem)


def _bad(sentence: str) -> str:
    """What is wrong, as HTML."""
    return f"<p class='lx-bad' role='alert'>{html.escape(sentence)}</p>"


def _findings(found: list[tuple[str, str]]) -> None:
    """What was measured for this project: the overview open, the rest one click away."""
    (_, overview), *more = found
    gr.Markdown(overview, elem_classes="lx-finding")
    for title, text in more:
        with gr.Accordion(title, open=False):
            gr.Markdown(text, elem_classes="lx-finding")


def _where() -> None:
    """Where results are kept."""
    if public():
        where = (
            "This is a shared machine: this browser alone finds measurements again, old ones "
            "make room for new ones, and of a text that you bring along only numbers are kept."
        )
    else:
        try:
            folder = str(MEASUREMENTS.store.folder)
        except StoreUnavailableError as error:
            folder = str(error)
        where = f"Results, and the runs behind them, are kept in {folder} (LACACHE_RESULTS=)."
    gr.HTML(f"<p class='lx-where'>{html.escape(where)}</p>")
