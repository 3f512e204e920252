"""The live map as a Gradio component: one element that is never replaced, fed by its value.

What it draws with lies in ``assets/js`` and is imported by the browser as it stands; the messages
that it takes are described in docs/live-map.md. The app must have named ``ASSETS`` as a static path
(``gr.set_static_paths``), and its style sheets (``app.theme.css_paths``) go to ``launch``.

The value is a message as JSON *text*. Gradio sends what a generator yields as edits of what it
yielded before, and its edits of nested lists that get shorter are wrong (6.31: the outer list
shifts the inner one's deletions once more), so a list would arrive with other numbers in it. One
text after another is replaced whole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import gradio as gr

from app.theme import ASSETS

# The template never changes, so Gradio leaves the element alone; ``js_on_load`` fills it once.
_TEMPLATE = '<div class="lc-root"></div>'

# ``root`` is the address of the app itself, so it works below a path and behind a proxy too.
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
take(props.value);
const base = (window.gradio_config && window.gradio_config.root) || '';
import(base.replace(/[/]$/, '') + '/gradio_api/file=ENTRY').then((module) => {
  instrument = module.mount(root, {
    onGap: (run) => (server && server.snapshot ? server.snapshot(run) : Promise.resolve(null)),
  });
  root.instrument = instrument;
  early.splice(0).forEach(take);
}).catch((error) => {
  console.error(error);
  root.textContent = 'The live map could not be loaded. Please reload the page.';
});
"""


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
    return gr.HTML(
        value=None,
        html_template=_TEMPLATE,
        js_on_load=_ON_LOAD.replace("ENTRY", quote((ASSETS / "js" / "instrument.js").as_posix())),
        server_functions=functions or None,
        apply_default_css=False,
        **options,
    )
