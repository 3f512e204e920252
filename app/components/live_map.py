"""The live map as a Gradio component: one element that is never replaced, fed by its value.

What it draws with lies in ``assets/js`` and is imported by the browser as it stands; the messages
that it takes are described in docs/live-map.md.

The value is a message as JSON *text*. Gradio sends what a generator yields as edits of what it
yielded before, and its edits of nested lists that get shorter are wrong (6.31: the outer list
shifts the inner one's deletions once more), so a list would arrive with other numbers in it. One
text after another is replaced whole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from app.theme import ASSETS

# The template never changes, so Gradio leaves the element alone; ``js_on_load`` fills it once.
_TEMPLATE = '<div class="lc-root"></div>'

_ON_LOAD = """
const root = element.querySelector('.lc-root');
const early = [];
let instrument = null;
const take = (text) => {
  if (!text) return;
  if (instrument) instrument.receive(JSON.parse(text));
  else early.push(text);
};
watch('value', () => take(props.value));
const base = (window.gradio_config && window.gradio_config.root) || '';
import(base + '/gradio_api/file=ENTRY').then((module) => {
  instrument = module.mount(root, {
    onGap: (run, use) => server.snapshot(run).then((found) => { if (found) use(found); }),
  });
  root.instrument = instrument;
  early.splice(0).forEach(take);
});
"""


def live_map(snapshot: Callable[[str], dict[str, Any] | None], **options: Any) -> gr.HTML:
    """The component. ``snapshot(run)`` gives all that a run has told so far, after a gap."""

    def snapshot_of_run(run: str) -> dict[str, Any] | None:
        return snapshot(run)

    snapshot_of_run.__name__ = "snapshot"  # the name under which the browser calls it
    return gr.HTML(
        value=None,
        html_template=_TEMPLATE,
        js_on_load=_ON_LOAD.replace("ENTRY", (ASSETS / "js" / "instrument.js").as_posix()),
        server_functions=[snapshot_of_run],
        apply_default_css=False,
        **options,
    )
