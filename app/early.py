"""A script at the very start of every page, where Gradio's own ``head`` comes too late.

Gradio puts what it is given for the head into a page that already runs. What must be there before
its code is loaded is written into the page on its way out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HEAD = b"<head>"


class EarlyScript:
    """ASGI middleware that writes a script into the head of every HTML page.

    Parameters
    ----------
    app
        What answers.
    script
        JavaScript.
    """

    def __init__(self, app: ASGIApp, script: str) -> None:
        self._app = app
        self._added = _HEAD + f"<script>{script}</script>".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked_for_page = scope["type"] == "http" and scope["method"] == "GET"
        await self._app(scope, receive, self._adding(send) if asked_for_page else send)

    def _adding(self, send: Send) -> Callable[[Message], Any]:
        """``send`` that adds the script to a page that is sent in one piece."""
        start: Message | None = None

        async def adding(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start" and _is_page(message):
                start = message  # its length is not known yet
                return
            if start is not None:
                begun, start = start, None
                if not message.get("more_body"):
                    body = message.get("body", b"").replace(_HEAD, self._added, 1)
                    MutableHeaders(scope=begun)["content-length"] = str(len(body))
                    message = {**message, "body": body}
                await send(begun)
            await send(message)

        return adding


def _is_page(start: Message) -> bool:
    headers = MutableHeaders(scope=start)
    kind = headers.get("content-type", "")
    return kind.startswith("text/html") and "content-encoding" not in headers
