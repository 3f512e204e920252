"""The line beside Gradio's: what is said reaches whoever listens, in order, and nobody waits."""

from __future__ import annotations

import asyncio
import socket
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import uvicorn
from starlette.applications import Starlette

from app import wire
from app.wire import PATH, Wire


@pytest.fixture
def served():
    """A wire, and the address at which it answers."""
    lines = Wire()
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(Starlette(routes=[lines.route]), log_level="warning")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    yield lines, f"http://127.0.0.1:{listening.getsockname()[1]}{PATH}/"
    server.should_exit = True
    thread.join(10)
    listening.close()


@contextmanager
def listening(address):
    """The stream, once it is open."""
    with urllib.request.urlopen(address, timeout=10) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert stream.readline().startswith(b":")
        assert stream.readline() == b"\n"
        yield stream


def said(stream):
    """All that is said until the end."""
    lines = stream.read().decode().split("\n\n")
    return [line.removeprefix("data: ") for line in lines if line]


def test_nobody_listens(served):
    lines, _ = served
    with lines.line() as line:
        assert not line.carries("text")


def test_what_is_said_arrives_in_order_and_the_stream_ends(served):
    lines, address = served
    with lines.line() as line, listening(address + line.key) as stream:
        for k in range(50):
            assert line.carries(f'{{"n":{k},"t":"naïve \u2028 ⏎"}}')
        lines.close(line.key)
        assert said(stream) == [f'{{"n":{k},"t":"naïve \u2028 ⏎"}}' for k in range(50)]
        assert not line.carries("more")


def test_everybody_who_listens_hears_all(served):
    lines, address = served
    with (
        lines.line() as line,
        listening(address + line.key) as one,
        listening(address + line.key) as other,
    ):
        assert line.carries("a")
        lines.close(line.key)
        assert said(one) == said(other) == ["a"]


def test_lines_do_not_hear_each_other(served):
    lines, address = served
    with lines.line() as mine, lines.line() as other, listening(address + mine.key) as stream:
        assert mine.key != other.key
        assert not other.carries("not for me")
        assert mine.carries("for me")
        lines.close(mine.key)
        assert said(stream) == ["for me"]


@pytest.mark.parametrize("key", ["unknown", "over"])
def test_a_line_that_is_over_or_never_was_ends_at_once(served, key):
    lines, address = served
    with lines.line() as line:
        pass
    with listening(address + (line.key if key == "over" else key)) as stream:
        assert said(stream) == []


def test_who_leaves_is_missed_soon(served):
    lines, address = served
    with lines.line() as line:
        with listening(address + line.key):
            assert line.carries("a")
        waited = threading.Event()
        for _ in range(100):
            if not line.carries("b"):
                break
            waited.wait(0.05)
        assert not line.carries("c")


def run(work):
    """What a coroutine gives, in a loop of its own, whatever goes on in this thread's."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work()).result(30)


def test_a_connection_that_does_not_keep_up_is_given_up(monkeypatch):
    monkeypatch.setattr(wire, "MOST_WAITING", 8)

    async def stalled():
        listener = wire._Listener()
        taken = 0
        while listener.say("text"):
            taken += 1
            await asyncio.sleep(0)  # the loop goes on; nobody hears
        return taken

    assert run(stalled) == 8


def test_a_server_that_is_gone_does_not_stop_a_run():
    async def made():
        return wire._Listener()

    assert not run(made).say("text")  # its loop is closed
