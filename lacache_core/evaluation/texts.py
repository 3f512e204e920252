"""Texts to measure on that are no files: Python's own manual, a data set of the Hub.

Each comes as plain text; nothing here knows a tokenizer.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import Any

from lacache_core.checkpoint import HUB_PATIENCE_SECONDS
from lacache_core.errors import TextUnavailableError

_ROW_PATIENCE_SECONDS = 30.0  # for the next row, once the Hub has answered
_ANSWERED = object()


def manual() -> str:
    """Python's language manual (465,000 characters), which every Python brings along."""
    from pydoc_data.topics import topics

    # Longest first: chapters before entries of a few lines.
    chapters = sorted(topics.values(), key=lambda chapter: (-len(chapter), chapter))
    return "\n\n".join(chapters)


def hub_text(name: str, max_chars: int = 400_000) -> str:
    """The beginning of a data set of the Hub, rows joined by line breaks.

    Parameters
    ----------
    name
        ``"owner/name"``, with a configuration and a split where there are several:
        ``"owner/name:configuration:split"``. The split is ``test`` unless given. The column
        ``text`` is read, or else the first that holds text.
    max_chars
        How much of it.

    Raises
    ------
    TextUnavailableError
        Within seconds when the library ``datasets`` is missing or the Hub does not answer.
    """
    try:
        datasets = import_module("datasets")
    except ImportError:
        raise TextUnavailableError(
            f"The data set {name!r} needs the library 'datasets' (pip install datasets). Without "
            "it give a text file."
        ) from None
    repository, _, rest = name.strip().partition(":")
    configuration, _, split = rest.partition(":")

    def rows() -> Iterator[object]:
        if not Path(repository).is_dir():
            _ask_hub(repository)
        yield _ANSWERED
        yield from datasets.load_dataset(
            repository, configuration or None, split=split or "test", streaming=True
        )

    parts: list[str] = []
    count = 0
    with closing(_patiently(rows, name)) as coming:
        for row in coming:
            parts.append(_text_of(row, name))
            count += len(parts[-1]) + 1
            if count >= max_chars:
                break
    text = "\n".join(parts)[:max_chars]
    if not text.strip():
        raise TextUnavailableError(f"The data set {name!r} holds no text.")
    return text


def _ask_hub(repository: str) -> None:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

    try:
        HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None).dataset_info(
            repository, timeout=HUB_PATIENCE_SECONDS
        )
    except (RepositoryNotFoundError, HFValidationError):
        raise TextUnavailableError(
            f"There is no data set {repository!r}: neither a folder here nor public on the Hub."
        ) from None
    except Exception:  # whatever it is, it is no answer
        raise TextUnavailableError(_no_answer(repository)) from None


def _no_answer(name: str) -> str:
    return (
        f"The Hub does not answer, so the data set {name!r} cannot be read. Check the network, or "
        "give a text file."
    )


def _text_of(row: Mapping[str, Any], name: str) -> str:
    if isinstance(row.get("text"), str):
        return str(row["text"])
    for value in row.values():
        if isinstance(value, str):
            return value
    raise TextUnavailableError(
        f"The data set {name!r} has no column of text; its columns are {', '.join(map(str, row))}."
    )


def _patiently(rows: Callable[[], Iterator[Any]], name: str) -> Generator[Any, None, None]:
    """What ``rows()`` gives, row by row; an error in words when nothing comes for too long.

    In a thread of its own, since neither looking up a name nor the library heeds a time limit.
    """
    coming: queue.Queue[Any] = queue.Queue()
    room = threading.Semaphore(256)  # rows fetched ahead of the reader
    enough = threading.Event()
    end = object()

    def fetch() -> None:
        try:
            for row in rows():
                room.acquire()
                if enough.is_set():
                    return
                coming.put(row)
            coming.put(end)
        except Exception as error:  # whatever the library raises is said in words
            coming.put(error)

    threading.Thread(target=fetch, name=f"data set {name}", daemon=True).start()
    patience, sentence = HUB_PATIENCE_SECONDS + 0.5, _no_answer(name)
    try:
        while True:
            try:
                item = coming.get(timeout=patience)
            except queue.Empty:
                raise TextUnavailableError(sentence) from None
            room.release()
            if item is end:
                return
            if isinstance(item, TextUnavailableError):
                raise item
            if isinstance(item, Exception):
                reason = (str(item).splitlines() or [type(item).__name__])[0][:300].rstrip(". ")
                raise TextUnavailableError(
                    f"The data set {name!r} cannot be read: {reason}."
                ) from item
            if item is _ANSWERED:
                patience = _ROW_PATIENCE_SECONDS
                sentence = (
                    f"The data set {name!r}: nothing came for {patience:.0f} seconds. Try again, "
                    "or give a text file."
                )
            else:
                yield item
    finally:
        enough.set()
        room.release()
