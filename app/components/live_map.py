"""The live map as a Gradio component: one element that is never replaced, fed by its value.

What it draws with lies in ``assets/js`` and is imported by the browser as it stands; the messages
that it takes, and what it asks for in return, are described in docs/live-map.md. The app must have
named ``ASSETS`` as a static path (``gr.set_static_paths``), and its style sheets
(``app.theme.css_paths``) go to ``launch``.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import gradio as gr

from app.components.module import module_html
from app.outcome import offer
from app.runner import describe_problem
from app.runs import MAX_OPEN_BYTES, Runs
from app.snapshot import Message, as_text
from lacache_core.errors import LaCacheError

LOG = logging.getLogger(__name__)

_ASK = "(...given) => (server && server.NAME ? server.NAME(...given) : Promise.resolve(null))"


def live_map(snapshot: Callable[[str], Message | None] | None = None, **options: Any) -> gr.HTML:
    """The component alone.

    Parameters
    ----------
    snapshot
        Given the id of a run, all that the run has told so far, or None when it is not known. The
        browser asks it when a message has been lost; without it the run stays as it was then.
    options
        Anything else that ``gr.HTML`` takes, such as ``elem_id``.
    """
    functions = [] if snapshot is None else [named("snapshot", snapshot)]
    return module_html(
        "instrument.js",
        options=f"{{ onGap: {asking('snapshot')} }}",
        functions=functions,
        **options,
    )


def live_map_of(runs: Runs, **options: Any) -> gr.HTML:
    """The component with recorded runs, opening and exporting; shows the first recording at once.

    Parameters
    ----------
    runs
        What it shows and exports.
    options
        Anything else that ``gr.HTML`` takes, such as ``elem_id``.
    """
    kept = runs.recordings()
    offered = [offer(run.id, run.kept) for run in kept]

    def open_file(given: list[str]) -> Message:
        """A saved trace: ``[file name, base64]``."""
        opened: Message = _answer(lambda: runs.open(str(given[0]), str(given[1])))
        return opened

    def export_run(given: list[str]) -> Message:
        """A run as a file: ``[run, kind]``."""
        found: Message | None = _answer(lambda: runs.export(given[0], given[1]))
        gone = {"problem": "The server no longer has this run. Please run it again."}
        return gone if found is None else found

    mount_options = f"""{{
      onGap: {asking("snapshot")},
      onOpen: {asking("snapshot")},
      onOpenFile: {asking("open_file")},
      onExport: {asking("export_run")},
      recordings: {json.dumps(offered)},
      maxFileBytes: {MAX_OPEN_BYTES},
      keeps: "run",
    }}"""
    return module_html(
        "instrument.js",
        value=as_text(kept[0].snapshot()) if kept else None,
        options=mount_options,
        functions=[
            named("snapshot", runs.snapshot),
            named("open_file", open_file),
            named("export_run", export_run),
        ],
        **options,
    )


def asking(name: str) -> str:
    """JavaScript of a function that asks the server's function of that name."""
    return _ASK.replace("NAME", name)


def named(name: str, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The function under the name by which the browser calls it."""

    def named(given: Any) -> Any:
        return function(given)

    named.__name__ = name
    return named


def _answer(work: Callable[[], Message | None]) -> Any:
    """The result, or what went wrong in one sentence for whoever asked."""
    try:
        return work()
    except LaCacheError as error:
        return {"problem": str(error)}
    except Exception as error:
        LOG.exception("a request of the live map failed")
        return {"problem": describe_problem(error)}
