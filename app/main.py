"""The app as a whole: its pages and endpoints in one Blocks, and serving it."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import gradio as gr
from gradio.components import Navbar
from starlette.middleware import Middleware

from app.api import endpoints
from app.components.measurement import plotly_file
from app.early import EarlyScript
from app.evaluation.jobs import MEASUREMENTS
from app.pages.compare import compare
from app.pages.evaluate import evaluate
from app.pages.explore import explore
from app.runs import RUNS
from app.theme import ASSETS, css_paths, early_script, head, theme
from app.wire import WIRE
from lacache_core.models import load_in_background
from lacache_core.settings import default_model_id
from lacache_core.turns import take_turns

DEFAULT_PORT = 7860
_PATIENCE_SECONDS = 1.5
_LAST_WORD_SECONDS = 0.3
_MAIN_PAGE = "Explore"
PAGES: dict[str, Callable[[gr.Blocks], None]] = {"Compare": compare, "Evaluate": evaluate}
"""The pages beside Explore, in the order of the menu; the address is the name in small letters."""


def build() -> gr.Blocks:
    """The app, ready to launch; loads nothing heavy."""
    take_turns()  # requests come on many threads
    gr.set_static_paths([ASSETS, plotly_file()])
    demo = gr.Blocks(title="LaCache explorer", fill_width=True, analytics_enabled=False)
    with demo:
        Navbar(main_page_name=_MAIN_PAGE)
        explore(demo)
        endpoints()
    for name, page in PAGES.items():
        with demo.route(name):
            Navbar(main_page_name=_MAIN_PAGE)
            page(demo)
    _poll_less(demo)
    return demo


def _poll_less(demo: gr.Blocks) -> None:
    """Have Gradio's queue look for work fifty times a second.

    Elsewhere than on Windows it looks a thousand times, which takes 7 % of a processor from the
    model on its own, and takes Python's lock from it each time.
    """
    demo._queue.sleep_when_free = 0.02
    demo._queue.progress_update_sleep_when_free = 0.1


def launch_options() -> dict[str, Any]:
    """What ``launch`` needs beside host and port."""
    return {
        "theme": theme(),
        "css_paths": css_paths(),
        "head": head(),
        "ssr_mode": False,
        "run_history": False,
        "footer_links": ["api"],
        "quiet": True,
        "show_error": True,
        "app_kwargs": {
            "routes": [WIRE.route],
            "middleware": [Middleware(EarlyScript, script=early_script())],
        },
    }


def address() -> tuple[str, int]:
    """Host and port from ``HOST``/``PORT``, else Gradio's own variables, else the defaults.

    A Space must answer from outside its container; elsewhere this machine alone is served.

    Raises
    ------
    SystemExit
        With one sentence, when the port is no port or taken.
    """
    default_host = "0.0.0.0" if os.environ.get("SPACE_ID") else "127.0.0.1"
    host = os.environ.get("HOST") or os.environ.get("GRADIO_SERVER_NAME") or default_host
    given = os.environ.get("PORT") or os.environ.get("GRADIO_SERVER_PORT") or str(DEFAULT_PORT)
    if not given.isdigit() or not 0 < int(given) < 65536:
        sys.exit(f"PORT = {given!r} is not possible: it must be a number from 1 to 65535.")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, int(given)))
        except OSError as error:
            sys.exit(f"Cannot serve on {host}:{given} ({error.strerror}). Choose another PORT=.")
    return host, int(given)


def main() -> None:
    """Serve until interrupted; the model loads meanwhile."""
    host, port = address()
    demo = build()
    load_in_background(default_model_id())
    demo.launch(server_name=host, server_port=port, prevent_thread_lock=True, **launch_options())
    print(f"LaCache explorer: http://{host}:{port}  (Ctrl+C ends it)", flush=True)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        print("Ending.", flush=True)
        _stop_all()
        # Gradio's own way of ending waits five seconds for open pages to go by themselves, and
        # Python's for a step of the model that is under way; nothing is left to be written.
        os._exit(0)


def _stop_all() -> None:
    """Stop what goes on; soon, or else not at all, open pages know and what is finished is kept."""
    going = (RUNS, MEASUREMENTS)
    for some in going:
        some.stop_all()
    late = time.monotonic() + _PATIENCE_SECONDS
    while any(some.active for some in going) and time.monotonic() < late:
        time.sleep(0.05)
    time.sleep(_LAST_WORD_SECONDS)
