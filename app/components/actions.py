"""Run, Stop, and where it says why nothing ran; on phones a bar that is always in reach."""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import Any

import gradio as gr


def actions(label: str, settings: str) -> tuple[gr.Button, gr.Button, gr.HTML]:
    """The two buttons, and what shows ``problem``.

    Parameters
    ----------
    label
        What the first button says.
    settings
        The ``id`` of the element at which the page's settings begin.
    """
    with gr.Column(elem_classes="lx-start"):
        problem = gr.HTML(elem_id="run-problem", elem_classes="lx-problem", padding=False)
        with gr.Row(elem_classes="lx-actions"):
            jump = f"<a href='#{settings}'>Settings</a>"
            gr.HTML(jump, elem_classes="lx-jump", padding=False)
            run = gr.Button(label, variant="primary", elem_id="run")
            stop = gr.Button("Stop", elem_id="stop")
    return run, stop, problem


def clear_when_edited(components: Iterable[Any], *said: gr.HTML) -> None:
    """What was wrong stands no longer once somebody changes a setting; progress stays."""
    given = list(components)
    texts = [one for one in given if isinstance(one, gr.Textbox)]  # into which one may paste
    gr.on(
        [*(one.input for one in given), *(text.blur for text in texts)],
        None,
        list(said),
        list(said),
        js="(...said) => said.map((text) => (text || '').includes('role=') ? '' : text)",
    )


def problem_text(*sentences: str) -> str:
    """What is wrong, as it stands above the buttons; "" when nothing is."""
    return "".join(f"<p role='alert'>{html.escape(sentence)}</p>" for sentence in sentences)
