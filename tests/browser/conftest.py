"""Pages for the browser tests: the static assets alone, or the whole app."""

from __future__ import annotations

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from harness import LiveMap
from recorded_page import DRAWN
from served import serving

ASSETS = Path(__file__).resolve().parents[2] / "assets"
BLANK = (
    b"<!doctype html><meta charset=utf-8><title>test</title><link rel=icon href=data:,>"
    b"<body><div id=root></div>"
)


class _Quiet(SimpleHTTPRequestHandler):
    def do_GET(self):
        if self.path != "/":
            return super().do_GET()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(BLANK)))
        self.end_headers()
        self.wfile.write(BLANK)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="session")
def assets_url():
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(ASSETS)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


class Watched:
    """A page, with what went wrong on it and what it asked for."""

    def __init__(self, page):
        self.page, self.problems, self.requests = page, [], []
        page.on("pageerror", lambda e: self.problems.append(f"error: {e}"))
        page.on(
            "console",
            lambda m: self.problems.append(m.text) if m.type in ("error", "warning") else None,
        )
        page.on("request", lambda r: self.requests.append(r.url))

    def outside(self):
        """Requests that left this machine's address."""
        inside = ("http://127.0.0.1", "data:", "blob:")
        return [url for url in self.requests if not url.startswith(inside)]


@pytest.fixture
def open_page(browser):
    """Opens pages; closes them after the test."""
    contexts = []

    def opened(url, width=1440, height=900, **options):
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        watched = Watched(context.new_page())
        watched.page.goto(url)
        return watched

    yield opened
    for context in contexts:
        context.close()


@pytest.fixture
def live(open_page, assets_url):
    """A live map on a page of its own; the test ends by asking whether anything went wrong."""
    opened = LiveMap.open(open_page, assets_url)
    yield opened
    opened.check()


@pytest.fixture(scope="module")
def address():
    """The app, without a model: enough for the recorded runs."""
    with serving() as url:
        yield url


@pytest.fixture(scope="module")
def with_model(smollm2):
    """The app with the embedded model."""
    with serving() as url:
        yield url


@pytest.fixture
def visiting(open_page):
    """Makes what opens pages of an app: ``visiting(address)(query)``.

    Nothing may have gone wrong on any of them when the test ends, or left this machine.
    """
    opened = []

    def made(address, ready):
        """``ready(page)`` waits until there is something to look at."""

        def start(query="", **options):
            watched = open_page(f"{address}{query}", **options)
            ready(watched.page)
            opened.append(watched)
            return watched.page

        start.opened = opened
        return start

    yield made
    for watched in opened:
        assert watched.problems == []
        assert watched.outside() == []


@pytest.fixture
def visit(visiting, address):
    """Opens the app and waits until a recorded run is drawn."""
    return visiting(f"{address}/", lambda page: page.wait_for_function(DRAWN))
