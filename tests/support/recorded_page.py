"""The app with a recorded run on the screen, and what tests ask of it."""

from __future__ import annotations

from typing import Any

ROOT = "document.querySelector('#live-map .lc-root').__lacache"
DRAWN = f"() => document.querySelector('#live-map .lc-root')?.__lacache && {ROOT}.map.drawn > 0"


def ask(page: Any, expression: str) -> Any:
    """What an expression is, where ``i`` is the instrument, ``s`` its store and ``v`` its view."""
    names = f"const i = {ROOT}, s = i.store, v = i.view;"
    return page.evaluate(f"() => {{ {names} return {expression}; }}")


def shown(page: Any, title: str) -> None:
    """Wait until the run of that title is on the screen."""
    page.wait_for_function(f"(title) => {ROOT}.store.setup.title === title", arg=title)
    page.wait_for_timeout(150)


def choose(page: Any, menu: str, what: str) -> None:
    page.click(f'.lc-toolbar .lc-button:text-is("{menu}")')
    page.click(f'.lc-choice:visible:has-text("{what}")')
