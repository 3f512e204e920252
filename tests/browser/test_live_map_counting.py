"""The screen counts from 1: docs/live-map.md, "Counting"."""

from __future__ import annotations

import pytest
from synthetic_feed import RUNS, made

pytestmark = pytest.mark.browser
LABELS = """() => { const { map, canvas } = I, g = canvas.getContext('2d'), out = [];
  const fill = g.fillText;
  g.fillText = (text, x, y) => { out.push([text, x, y]); fill.call(g, text, x, y); };
  map.draw(); g.fillText = fill;
  return out.filter(([text, , y]) => /^[\\d,]+$/.test(text) && y > map.plot.bottom)
    .map(([text, x]) => [Number(text.replace(',', '')), x]); }"""


@pytest.mark.parametrize("axis", ["text", "slot"])
@pytest.mark.parametrize("range_", [None, (0, 9), (0, 40), (101, 30)])
def test_the_axis_names_the_columns_that_the_readout_names(live, axis, range_):
    _, messages = made(**RUNS["interleaved"])
    live.receive(messages)
    page = live.page
    page.evaluate("(axis) => { I.view.setAxis(axis) }", axis)
    if range_ and not (axis == "slot" and range_[0] > 40):
        page.evaluate("([a, n]) => I.view.show(a, n)", list(range_))
    live.settle()
    labels = page.evaluate(LABELS)
    assert len(labels) >= 3 and all(number >= 1 for number, _ in labels)
    for number, x in labels[1:]:
        column = page.evaluate(
            "(x) => { const { map } = I; const [a, b] = I.view.visible; "
            "return a + (x - map.plot.x) / map.plot.width * (b - a); }",
            x,
        )
        assert column == pytest.approx(number - 0.5, abs=0.51)
    first = labels[0][0]
    assert first == 1 or page.evaluate("I.view.visible")[0] >= 1 or labels[1][0] == 2 * first


def test_the_newest_token_has_the_number_of_tokens_seen(live):
    run, messages = made(**RUNS["interleaved"])
    live.receive(messages)
    page, last = live.page, run.trace.num_tokens
    page.evaluate("(t) => I.view.lock({ token: t, layer: 0 })", last - 1)
    live.settle(1000)
    assert f"token: {last};" in page.text_content(".lc-readout [aria-live]")
    assert f"token {last} of {last}" in page.inner_text(".lc-token").replace("\n", " ")
    assert f"{last} tokens seen" in page.inner_text(".lc-step")


def test_entries_of_a_compaction_count_from_one_in_list_table_and_sentence(live):
    run, messages = made(**RUNS["interleaved"])
    live.receive(messages)
    page = live.page
    _, _, start, width, *_ = run.trace.compactions[-1].tolist()
    named = f"{start + 1}–{start + width}"
    assert named in page.inner_text(".lc-current")
    assert named in page.inner_text(".lc-sentence")
    heads = page.locator(".lc-cells thead th").all_inner_texts()
    assert heads[1 : 1 + width] == [str(start + 1 + k) for k in range(width)]
