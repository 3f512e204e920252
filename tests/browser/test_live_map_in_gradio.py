"""The live map as a Gradio component: below a path, fed by a generator, asking the server."""

from __future__ import annotations

import socket
import threading
import time

import gradio as gr
import pytest
import uvicorn
from fastapi import FastAPI
from synthetic_feed import RUNS, made

from app.components.live_map import live_map
from app.feed import as_text
from app.theme import ASSETS, css_paths, theme

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def mounted():
    """A small app below ``/some/where`` whose button plays a run with one message missing."""
    run, messages = made(**RUNS["interleaved"])
    lost = len(messages) // 2
    asked: list[str] = []

    def snapshot(run_id: str):
        asked.append(run_id)
        return run.feed.snapshot()

    def play():
        for k, message in enumerate(messages):
            if k != lost:
                yield as_text(message)
                time.sleep(0.004)

    gr.set_static_paths([ASSETS])
    with gr.Blocks() as demo:
        start = gr.Button("Go", elem_id="go")
        view = live_map(snapshot, elem_id="live-map")
        start.click(play, None, view, show_progress="hidden")
    app = gr.mount_gradio_app(
        FastAPI(),
        demo,
        path="/some/where",
        theme=theme(),
        css_paths=css_paths(),
        ssr_mode=False,
    )
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}", run, asked
    server.should_exit = True
    thread.join(10)
    listening.close()


@pytest.mark.parametrize("dark", [False, True])
def test_it_works_below_a_path_and_mends_gaps_through_the_server(open_page, mounted, dark):
    address, run, asked = mounted
    asked.clear()
    watched = open_page(f"{address}/some/where/?__theme={'dark' if dark else 'light'}")
    page = watched.page
    page.wait_for_selector(".lc-canvas")
    page.evaluate("window.kept = document.querySelector('.lc-root')")
    page.click("#go")
    page.wait_for_function("kept.__lacache.stats.seq >= 0")
    page.evaluate("kept.__lacache.view.show(10, 40)")
    last = run.feed.snapshot()["seq"]
    page.wait_for_function("(n) => kept.__lacache.stats.seq === n", arg=last, timeout=20_000)
    stats = page.evaluate("kept.__lacache.stats")
    assert page.evaluate("kept.isConnected"), "the element was replaced"
    assert asked == ["synthetic"] and stats["gaps"] == 1
    assert stats["tokens"] == 270 and stats["range"] == [10, 50]
    panel = page.evaluate(
        "getComputedStyle(document.querySelector('.lc')).getPropertyValue('--lc-panel')"
    )
    assert (panel.strip() == "#ffffff") != dark
    assert not watched.outside()
    missing = page.evaluate(
        "performance.getEntriesByType('resource').filter((r) => r.responseStatus >= 400)"
        ".map((r) => r.name)"
    )
    # The tab's icon is asked for at the root of the host, where this app is not.
    assert set(missing) <= {f"{address}/favicon.ico"}
    assert not [p for p in watched.problems if "404" not in p]
