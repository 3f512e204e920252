"""The app served for tests: on a free port, in this process, stopped by the test."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def serving() -> Iterator[str]:
    """The whole app; yields its address."""
    from app.main import build, launch_options

    demo = build()
    port = free_port()
    demo.launch(
        server_name="127.0.0.1", server_port=port, prevent_thread_lock=True, **launch_options()
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        demo.close()
