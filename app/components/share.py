"""The row that copies a link to the settings of a page."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

import gradio as gr

from lacache_core.errors import LaCacheError

_COPY = """(query) => {
  if (query.startsWith('!')) return query.slice(1);
  const link = location.origin + location.pathname + (query ? '?' + query : '');
  history.replaceState(null, '', link);
  return navigator.clipboard.writeText(link).then(
    () => 'The link is copied; the address bar has it too.',
    () => 'The link is in the address bar now.');
}"""

NOTHING = "() => ''"
"""As ``js`` of an event: what was said of a link is over, once there is a run."""


def share(components: list[Any], make: Callable[[list[Any], bool], str]) -> gr.HTML:
    """A button that copies the link; returns where it says what became of it.

    Parameters
    ----------
    components
        The controls.
    make
        From their values, and whether the text goes along, the query of the link.
    """
    with gr.Row(elem_classes="lx-share"):
        copy = gr.Button("Copy link to these settings", size="sm", elem_id="copy-link")
        with_text = gr.Checkbox(
            False, label="with the text", info=None, elem_id="link-text", container=False
        )
    said = gr.HTML(elem_classes="lx-said", elem_id="link-said")

    def query(text_too: bool, *given: Any) -> str:
        try:
            return make(list(given), bool(text_too))
        except LaCacheError as error:
            return f"!{html.escape(str(error))}"

    copy.click(
        query,
        [with_text, *components],
        said,
        show_progress="hidden",
        preprocess=False,
        api_visibility="private",
    ).then(None, said, said, js=_COPY)
    return said
