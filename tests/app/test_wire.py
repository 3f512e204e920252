"""The line beside Gradio's: what is said reaches whoever listens, in order, and nobody waits."""

from __future__ import annotations

import asyncio
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import uvicorn
from starlette.applications import Starlette
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

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
    yield lines, f"ws://127.0.0.1:{listening.getsockname()[1]}{PATH}/"
    server.should_exit = True
    thread.join(10)
    assert not thread.is_alive()
    listening.close()


def until(condition):
    """What is asked of another thread comes true soon."""
    waited = threading.Event()
    for _ in range(200):
        if condition():
            return
        waited.wait(0.02)
    raise AssertionError("it did not come true")


def heard_by(lines, key, count=1):
    until(lambda: len(lines._lines[key]) == count)


def said(stream):
    """All that is said until the end."""
    found = []
    try:
        while True:
            found.append(stream.recv(timeout=10))
    except ConnectionClosed:
        return found


def test_nobody_listens(served):
    lines, _ = served
    with lines.line() as line:
        assert not line.carries("text")


def test_what_is_said_arrives_in_order_and_the_stream_ends(served):
    lines, address = served
    with lines.line() as line, connect(address + line.key) as stream:
        heard_by(lines, line.key)
        for k in range(50):
            assert line.carries(f'{{"n":{k},"t":"naïve \u2028 ⏎"}}')
        lines.close(line.key)
        assert said(stream) == [f'{{"n":{k},"t":"naïve \u2028 ⏎"}}' for k in range(50)]
        assert not line.carries("more")


def test_everybody_who_listens_hears_all(served):
    lines, address = served
    with (
        lines.line() as line,
        connect(address + line.key) as one,
        connect(address + line.key) as other,
    ):
        heard_by(lines, line.key, 2)
        assert line.carries("a")
        lines.close(line.key)
        assert said(one) == said(other) == ["a"]


def test_lines_do_not_hear_each_other(served):
    lines, address = served
    with lines.line() as mine, lines.line() as other, connect(address + mine.key) as stream:
        heard_by(lines, mine.key)
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
    with connect(address + (line.key if key == "over" else key)) as stream:
        assert said(stream) == []


def test_who_leaves_is_missed_soon(served):
    lines, address = served
    with lines.line() as line:
        with connect(address + line.key):
            heard_by(lines, line.key)
            assert line.carries("a")
        until(lambda: not line.carries("b"))


def test_who_says_something_is_not_listened_to(served):
    """A page has nothing to say there."""
    lines, address = served
    with lines.line() as line, connect(address + line.key) as stream:
        heard_by(lines, line.key)
        stream.send("hello")
        until(lambda: not line.carries("b"))


def run(work):
    """What a coroutine gives, in a loop of its own, whatever goes on in this thread's."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work()).result(30)


def test_a_connection_that_does_not_keep_up_is_given_up(monkeypatch):
    monkeypatch.setattr(wire, "MOST_WAITING", 8)

    async def stalled():
        listener = wire._Listener()
        listener.passing = asyncio.ensure_future(asyncio.sleep(60))  # to a page that takes nothing
        taken = 0
        while listener.say("text"):
            taken += 1
            await asyncio.sleep(0)
        await asyncio.wait({listener.passing}, timeout=5)
        return taken, listener.passing.cancelled()

    assert run(stalled) == (8, True)


def test_a_server_that_is_gone_does_not_stop_a_run():
    async def made():
        return wire._Listener()

    assert not run(made).say("text")  # its loop is closed
