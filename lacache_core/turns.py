"""One thread on which all engines of a process compute, a step at a time, where that is asked for.

Every thread that computes with torch on a CPU gets helper threads of its own from OpenMP, and keeps
them for as long as it lives. As soon as there are more of them than cores, whether they work or
not, OpenMP has them sleep between products instead of waiting for a moment, and a step takes half
as long again (docs/performance.md). A server, whose requests come on many threads, therefore has
its engines compute on one. Steps of several runs take turns there in the order in which they are
asked for, so runs share the machine fairly. Knows nothing of models.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, TypeVar

T = TypeVar("T")

_NAME = "lacache engines"
_thread: ThreadPoolExecutor | None = None
_lock = threading.Lock()


def take_turns() -> None:
    """From now on all engines of this process compute on one thread."""
    global _thread
    with _lock:
        if _thread is None:
            _thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=_NAME)


def in_turn(work: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """The work's result: done here, or, after ``take_turns``, on the engines' thread.

    The context variables of the caller hold there too. What the work raises is raised here.
    """
    thread = _thread
    if thread is None or threading.current_thread().name.startswith(_NAME):
        return work(*args, **kwargs)
    return thread.submit(copy_context().run, work, *args, **kwargs).result()


def _in_a_forked_process() -> None:
    """Threads do not survive a fork."""
    global _thread, _lock
    _thread, _lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_a_forked_process)
