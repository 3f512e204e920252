"""Run, Stop, and where it says why nothing ran; on phones a bar that is always in reach."""

from __future__ import annotations

import html

import gradio as gr


def actions(
    label: str, settings: str, ident: str = "", said: str = ""
) -> tuple[gr.Button, gr.Button, gr.HTML]:
    """The two buttons, and what shows ``problem``.

    Parameters
    ----------
    label
        What the first button says.
    settings
        The ``id`` of the element at which the page's settings begin.
    ident
        What the ``elem_id`` of each ends with, where a page has several.
    said
        What stands above the buttons at first, where that is more than problems.
    """
    with gr.Column(elem_classes="lx-start"):
        shown = "lx-check" if said else "lx-problem"
        problem = gr.HTML(said, elem_id=f"run-problem{ident}", elem_classes=shown, padding=False)
        with gr.Row(elem_classes="lx-actions"):
            jump = f"<a href='#{settings}'>Settings</a>"
            gr.HTML(jump, elem_classes="lx-jump", padding=False)
            run = gr.Button(label, variant="primary", elem_id=f"run{ident}")
            stop = gr.Button("Stop", elem_id=f"stop{ident}")
    return run, stop, problem


def problem_text(*sentences: str) -> str:
    """What is wrong, as it stands above the buttons; "" when nothing is."""
    return "".join(f"<p role='alert'>{html.escape(sentence)}</p>" for sentence in sentences)


def into_sight(ident: str) -> str:
    """JavaScript that scrolls to what has this id where it stands far above, as on a phone."""
    return f"""() => setTimeout(() => {{
  const node = document.getElementById('{ident}');
  if (node && node.getBoundingClientRect().bottom < 120) node.scrollIntoView({{ block: 'start' }});
}}, 100)"""
