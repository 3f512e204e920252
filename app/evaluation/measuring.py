"""Carrying a request out: the model, the text, the measurement, as rows that grow.

The boundary to a GPU worker lies around ``_measured``: what it takes and yields can be sent to
another process. Knows nothing of threads or of who watches.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

from app.evaluation.requests import TITLES, Request
from app.runner import BORROWS_GPU, on_gpu
from app.samples import essay
from lacache_core.errors import InvalidSettingError, LaCacheError
from lacache_core.evaluation.kept import Keeper
from lacache_core.evaluation.tables import Row, about, needle_cells, reading_cells
from lacache_core.evaluation.texts import hub_text, manual
from lacache_core.plan import IntArray
from lacache_core.settings import RunSettings
from lacache_core.store import LIMIT_BYTES, Store

if TYPE_CHECKING:
    from lacache_core.evaluation.progress import Report
    from lacache_core.models import LoadedModel

_CONTROLS = {"prompt": "own", "text": "own", "budget": "budgets"}
"""Which control of the page a setting is, where it is called otherwise."""
SPACE_LIMIT_BYTES = 256 * 10**6


def public() -> bool:
    """Whether this is a public Space, where visitors share one machine."""
    return bool(os.environ.get("SPACE_ID"))


def open_store(say: Callable[[str], None], folder: Path | None = None) -> Store:
    """The store that page and command line share; smaller on a public Space."""
    limit = SPACE_LIMIT_BYTES if public() else LIMIT_BYTES
    return Store(folder, limit_bytes=limit, say=say)


class NumbersAlone(Keeper):
    """Keeps what was measured and not the run behind it, which has the text in it."""

    def keep(self, kind: str, key: Any, result: Any, trace: Any = None) -> str:
        return super().keep(kind, key, result)


Item = list[Row] | dict[str, Any] | str
"""What a measurement yields: cells so far, what it was measured with, or a sentence."""


def measure(
    request: Request,
    model_id: str,
    folder: Path | None = None,
    *,
    cancel: Event | None = None,
    progress: Report | None = None,
) -> Iterator[Item]:
    """Measure; the model should be loaded by now.

    Yields
    ------
    Item
        First what it is measured with; then, whenever something is new, all cells so far, as the
        command line's JSON has them.

    Raises
    ------
    LaCacheError
        When the request or the text is impossible; its text is for the user.
    """
    if request.kind != "needle" and request.text.source == "hub":
        # Here and not on a borrowed GPU: it takes seconds, and the answer may be no.
        text: str | None = hub_text(request.text.dataset)
    else:
        text = {"own": request.text.own, "essay": essay()}.get(request.text.source)
    if BORROWS_GPU:  # neither can cross to another process; between items Stop still works
        cancel = progress = None
    yield from _measured(request, text, model_id, folder, cancel, progress)


@on_gpu
def _measured(
    request: Request,
    text: str | None,
    model_id: str,
    folder: Path | None,
    cancel: Event | None,
    progress: Report | None,
) -> Iterator[Item]:
    from lacache_core.models import load

    loaded = load(model_id)
    said: list[str] = []
    kind = NumbersAlone if public() and request.text.private else Keeper
    keeper = kind(open_store(said.append, folder), fresh=request.fresh, say=said.append)
    how: dict[str, Any] = {"keeper": keeper, "progress": progress, "cancel": cancel}
    for item in (
        _needle(request, loaded, how)
        if request.kind == "needle"
        else _readings(request, loaded, text, how)
    ):
        yield from said
        said.clear()
        yield item


def _needle(request: Request, loaded: LoadedModel, how: dict[str, Any]) -> Iterator[Item]:
    from lacache_core.evaluation.needle import needle

    yield about(loaded)
    cells = []
    for cell in needle(loaded, request.competing(), request.grid, chunk=request.chunk, **how):
        cells.append(cell)
        yield needle_cells(cells)


def _readings(
    request: Request, loaded: LoadedModel, text: str | None, how: dict[str, Any]
) -> Iterator[Item]:
    from lacache_core.evaluation.endless import STRETCH, endless, long_text
    from lacache_core.evaluation.perplexity import perplexity
    from lacache_core.evaluation.reading import latest
    from lacache_core.text import encode

    if request.kind == "endless":
        ids: IntArray | None = None if text is None else encode(loaded.tokenizer, text)
        long = long_text(loaded.tokenizer, ids, request.tokens)
        yield about(loaded, text=long.made)
        read = partial(endless, loaded, long, stretch=request.stretch or STRETCH)
    else:
        ids = encode(loaded.tokenizer, manual() if text is None else text)[: request.tokens + 1]
        made = f"The first {len(ids):,} tokens of {request.text}."
        if len(ids) <= request.tokens:
            made = f"All {len(ids):,} tokens of {request.text}, which is shorter than asked for."
        yield about(loaded, text=made)
        read = partial(perplexity, loaded, ids, stretch=request.stretch)
    for readings in latest(read(request.competing(), chunk=request.read_chunk, **how)):
        yield reading_cells(readings)


def in_page_words(error: LaCacheError, request: Request | None = None) -> str:
    """An error's text, naming a control of the page where it names a setting."""
    if not isinstance(error, InvalidSettingError):
        return str(error)

    def spelled(field: str) -> str:
        name = _CONTROLS.get(field, field)
        if name == "own" and request is not None and not request.text.private:
            return TITLES["source"]
        if name == "chunk" and request is not None and request.kind != "needle":
            name = "read_chunk"
        known = RunSettings.model_fields.get(name)
        return TITLES.get(name) or (known.title if known is not None else None) or name

    return error.told(spelled)
