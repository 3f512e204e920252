"""A JavaScript module of ours as a Gradio component: an element that is never replaced.

The module exports ``mount(element, options)`` and gives an object with ``receive(message)``; every
value of the component is one message as JSON *text*. While a generator yields them, a text may name
a line (``app/wire.py``): what follows then comes by that. Gradio sends what a generator yields as
edits of what it yielded before, and its edits of nested lists that get shorter are wrong (6.31: the
outer list shifts the inner one's deletions once more), so a list would arrive with other numbers in
it. One text after another is replaced whole.

The app must have named ``ASSETS`` as a static path (``gr.set_static_paths``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import gradio as gr

from app.theme import ASSETS
from app.wire import PATH

# The template never changes, so Gradio leaves the element alone; ``js_on_load`` fills it once.
_TEMPLATE = '<div class="lc-root"></div>'

# ``root`` is the address of the app itself, so it works below a path and behind a proxy too.
_ON_LOAD = """
const root = element.querySelector('.lc-root');
const early = [];
let mounted = null;
const base = ((window.gradio_config && window.gradio_config.root) || '').replace(/[/]$/, '');
let line = null;
const known = new Set(); // a late message of the run before must not call its line back
const listen = (key) => {
  known.add(key);
  if (line) line.close();
  const address = new URL(base + 'LINES/' + key, location.href);
  address.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
  line = new WebSocket(address);
  line.onmessage = (event) => take(event.data);
};
const take = (text) => {
  if (!text) return;
  if (!mounted) return early.push(text);
  const message = JSON.parse(text);
  if (message.line && !known.has(message.line)) listen(message.line);
  mounted.receive(message);
};
watch('value', () => take(props.value));
take(props.value);
import(base + '/gradio_api/file=ENTRY').then((module) => {
  mounted = module.mount(root, OPTIONS);
  early.splice(0).forEach(take);
}).catch((error) => {
  console.error(error);
  root.textContent = 'This part of the page could not be loaded. Please reload the page.';
});
"""


def module_html(
    module: str,
    *,
    value: str | None = None,
    options: str = "{}",
    functions: list[Callable[..., Any]] | None = None,
    **more: Any,
) -> gr.HTML:
    """The component.

    Parameters
    ----------
    module
        File name in ``assets/js``.
    value
        The first message, as JSON text.
    options
        JavaScript of the object that ``mount`` gets; ``server`` there has the functions.
    functions
        What the browser may call, by their ``__name__``.
    more
        Anything else that ``gr.HTML`` takes, such as ``elem_id``.
    """
    script = _ON_LOAD.replace("ENTRY", quote((ASSETS / "js" / module).as_posix()))
    return gr.HTML(
        value=value,
        html_template=_TEMPLATE,
        js_on_load=script.replace("LINES", PATH).replace("OPTIONS", options),
        server_functions=functions or None,
        apply_default_css=False,
        **more,
    )
