"""The text of a run: a sample or one's own, which outlives a reload in the browser's tab."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import gradio as gr

from app.components.controls import control
from app.samples import samples

OWN = "Your own text"
"""What the list of samples says of any other text."""
FIRST = 1
"""The sample that a page opens with, unless it names another."""

# A text is kept by page, and in this tab alone: it may be private. SAMPLES: [name, length, start].
_CHANGED = """(text) => {
  try { sessionStorage.setItem('text ' + location.pathname, text); } catch { /* not allowed */ }
  const alike = ([, length, start]) => text.length === length && text.startsWith(start);
  const found = SAMPLES.find(alike);
  return found ? found[0] : OWN;
}"""
_KEPT = """() => {
  try { return sessionStorage.getItem('text ' + location.pathname) || ''; } catch { return ''; }
}"""
_START = 60  # characters by which a sample is known, beside its length


class TextControls:
    """What a text is given by.

    Attributes
    ----------
    sample, prompt
        The list of samples, and the text itself.
    kept
        Brings the text that the tab has kept to the server; never shown.
    """

    def __init__(self, first_name: str | None = None) -> None:
        found = samples()
        first = next((s for s in found if s.name == first_name), found[FIRST])
        self.sample = gr.Dropdown(
            [*(s.name for s in found), OWN],
            value=first.name,
            label="Sample text",
            elem_id="sample",
        )
        self.prompt = control(
            "prompt",
            value=first.text,
            label="Text",
            info=None,
            lines=5,
            max_lines=5,
            placeholder="Paste a long text, or pick a sample",
        )
        self.kept = gr.Textbox(visible=False)
        texts = {s.name: s.text for s in found}
        self.sample.input(
            lambda name: texts.get(name, ""), self.sample, self.prompt, api_visibility="private"
        )
        # Not ``input``, which a paste does not set off.
        self.prompt.change(None, self.prompt, self.sample, js=_changed())

    def restore(self, demo: gr.Blocks, work: Callable[..., list[Any]], where: list[Any]) -> None:
        """Have ``work(kept text, request)`` fill ``where`` when the page is loaded."""
        demo.load(
            work,
            self.kept,
            where,
            js=_KEPT,
            show_progress="hidden",
            api_visibility="private",
        )


def _changed() -> str:
    known = [[s.name, len(s.text.encode("utf-16-le")) // 2, s.text[:_START]] for s in samples()]
    return _CHANGED.replace("OWN", json.dumps(OWN)).replace("SAMPLES", json.dumps(known))


def sample_of(text: str) -> str:
    """What the list of samples says of a text."""
    return next((s.name for s in samples() if s.text == text), OWN)


def with_kept(found: dict[Any, Any], key: Any, kept: str) -> tuple[dict[Any, Any], Any]:
    """Values from a link, else the text that was kept; and an update of the list of samples.

    ``key`` is that of the text among the values.
    """
    if kept and key not in found:
        found = {**found, key: kept}
    if key not in found:
        return found, gr.skip()
    return found, gr.update(value=sample_of(found[key]))
