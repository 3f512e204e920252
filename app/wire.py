"""A line beside Gradio's by which the messages of a run reach the page while it goes on.

What Gradio is given by a generator passes through its queue, its differences and the reactive tree
of all components, on the server and in the browser; for a message a step that costs more than
drawing it. So the first messages of a run, which go through Gradio, name a line; the page opens it
as a WebSocket (of ordinary connections a browser opens six to a server, for all its tabs together,
and Gradio takes two for each run); and from then on messages go there as they stand. Where the line
does not come about, or breaks, they go on through Gradio, and a message that was lost on the way
is found missing by its number (docs/live-map.md). Knows nothing of runs.
"""

from __future__ import annotations

import asyncio
import threading
import uuid

from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

PATH = "/live"
MOST_WAITING = 256
"""Messages that wait for a slow connection before it is given up."""
_ENDS = None


class _Listener:
    """One connection: what is said reaches it from any thread, in order."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.passing: asyncio.Future[None] | None = None
        self._waiting: asyncio.Queue[str | None] = asyncio.Queue()

    def say(self, text: str | None) -> bool:
        """Whether the connection keeps up; one that does not is given up."""
        late = self._waiting.qsize() >= MOST_WAITING
        try:
            if late and self.passing is not None:
                self._loop.call_soon_threadsafe(self.passing.cancel)
            elif not late:
                self._loop.call_soon_threadsafe(self._waiting.put_nowait, text)
        except RuntimeError:  # the server has gone
            return False
        return not late

    async def pass_on(self, socket: WebSocket) -> None:
        """Send what is said until all is said."""
        while (text := await self._waiting.get()) is not _ENDS:
            await socket.send_text(text)


class Line:
    """One run's line, open as long as its ``with`` block lasts."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.key = uuid.uuid4().hex  # unguessable: whoever knows it can listen

    def __enter__(self) -> Line:
        self._wire.open(self.key)
        return self

    def __exit__(self, *_: object) -> None:
        self._wire.close(self.key)

    def carries(self, text: str, last: bool = False) -> bool:
        """Send a message to whoever listens; False when it must go through Gradio.

        It must where nobody listens, and so must the last one of a run: what ends a run is said
        both ways.
        """
        return self._wire.send(self.key, text) and not last


class Wire:
    """The lines of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: dict[str, list[_Listener]] = {}

    def line(self) -> Line:
        """A new line."""
        return Line(self)

    def open(self, key: str) -> None:
        """From now on somebody may listen to this line."""
        with self._lock:
            self._lines[key] = []

    def send(self, key: str, text: str) -> bool:
        """Send a text to all listeners of a line; whether there is one that hears it."""
        with self._lock:
            listeners = self._lines.get(key, [])
            for slow in [one for one in listeners if not one.say(text)]:
                listeners.remove(slow)
            return bool(listeners)

    def close(self, key: str) -> None:
        """All is said."""
        with self._lock:
            for listener in self._lines.pop(key, []):
                listener.say(_ENDS)

    async def answer(self, socket: WebSocket) -> None:
        """Pass on what is said on the line from now on; nothing when it is over by then."""
        key, listener = socket.path_params["key"], _Listener()
        await socket.accept()
        passing = listener.passing = asyncio.ensure_future(listener.pass_on(socket))
        leaving = asyncio.ensure_future(socket.receive())  # a page says nothing but that it leaves
        with self._lock:
            if key in self._lines:
                self._lines[key].append(listener)
            else:
                listener.say(_ENDS)
        try:
            await asyncio.wait({passing, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not leaving.done():
                await socket.close()
        except (WebSocketDisconnect, RuntimeError):
            pass  # it left while it was closed
        finally:
            self._leave(key, listener)
            for task in (passing, leaving):
                task.cancel()
            await asyncio.gather(passing, leaving, return_exceptions=True)

    def _leave(self, key: str, listener: _Listener) -> None:
        with self._lock:
            listeners = self._lines.get(key, [])
            if listener in listeners:
                listeners.remove(listener)

    @property
    def route(self) -> WebSocketRoute:
        """Where the server answers."""
        return WebSocketRoute(f"{PATH}/{{key}}", self.answer)


WIRE = Wire()
