"""The live map as a Gradio component: one element that is never replaced, fed by its value.

What it draws with lies in ``assets/js`` and is imported by the browser as it stands; the messages
that it takes are described in docs/live-map.md. The app must have named ``ASSETS`` as a static path
(``gr.set_static_paths``), and its style sheets (``app.theme.css_paths``) go to ``launch``.

"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from app.components.module import module_html

_OPTIONS = """{
    onGap: (run) => (server && server.snapshot ? server.snapshot(run) : Promise.resolve(null)),
}"""


def live_map(
    snapshot: Callable[[str], dict[str, Any] | None] | None = None, **options: Any
) -> gr.HTML:
    """The component.

    Parameters
    ----------
    snapshot
        Given the id of a run, all that the run has told so far, or None when it is not known. The
        browser asks it when a message has been lost; without it the run stays as it was then.
    options
        Anything else that ``gr.HTML`` takes, such as ``elem_id``.
    """
    functions: list[Callable[..., Any]] = []
    if snapshot is not None:
        given = snapshot

        def snapshot_of_run(run: str) -> dict[str, Any] | None:
            return given(run)

        snapshot_of_run.__name__ = "snapshot"  # the name under which the browser calls it
        functions.append(snapshot_of_run)
    return module_html("instrument.js", options=_OPTIONS, functions=functions, **options)
