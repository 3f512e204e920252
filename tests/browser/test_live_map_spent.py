"""Where the time went: shown once a run is over, the largest part first."""

from __future__ import annotations

import pytest
from synthetic_feed import RUNS, made

pytestmark = pytest.mark.browser

PARTS = [["Model", 3.0], ["Attention", 6.0], ["Planning", 0.001], ["Sending", 1.0]]
SHOWN = """[I.spent.root.hidden, [...I.spent.list.children].map((n) => n.textContent.trim()),
  [...I.spent.bar.children].map((n) => Math.round(n.getBoundingClientRect().width))]"""


def test_it_is_hidden_while_the_run_goes_on_and_then_names_the_parts(live):
    _, messages = made(**RUNS["staircase"])
    live.receive(messages[:-1])
    assert live.page.evaluate(SHOWN)[0] is True
    last = messages[-1]
    live.receive([{**last, "figures": {**last["figures"], "parts": PARTS}}])
    hidden, told, widths = live.page.evaluate(SHOWN)
    assert not hidden
    assert told == ["Attention 60 %", "Model 30 %", "Sending 10 %"]
    assert widths[0] == pytest.approx(2 * widths[1], abs=3) and widths[1] > widths[2] > 0


def test_a_run_of_which_nothing_is_known_shows_no_bar(live):
    _, messages = made(**RUNS["staircase"])
    for parts in ([], None):
        last = messages[-1]
        live.receive([*messages[:-1], {**last, "figures": {**last["figures"], "parts": parts}}])
        assert live.page.evaluate(SHOWN)[0] is True
