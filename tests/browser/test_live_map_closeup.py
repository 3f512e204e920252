"""A compaction, close up: what the browser makes of a step's groups, against the Python rule."""

from __future__ import annotations

import base64

import numpy as np
import pytest
from synthetic_feed import RUNS, made

from lacache_core.plan import CompactionPlan

pytestmark = pytest.mark.browser

GROUPS = """[...I.store.compactions].map((_, k) => { const g = I.closeup.groups.at(k);
  const told = g.patterns.map((p) => [p.layers, p.tokens, p.kept.map(Number)]);
  return [g.length, g.cursor, told]; })"""

ONE_STEP_MANY_PASSES = dict(
    prompt=700, new=20, chunk=500, settings={"budget": 96, "span": 8, "overlap": 4}
)


def by_the_rule(run, row_of_layer):
    """Each group of a run: length and cursor before, and per pattern the tokens and what stayed.

    The rows are carried through by ``CompactionPlan``, one group after another; pattern ``r`` of a
    ladder keeps the neighbours from offset ``r``.
    """
    patterns = int(row_of_layer.max()) + 1
    rows = np.empty((patterns, 0), dtype=np.int32)
    cursor, seen, out = run.settings.get("num_sink", 4), 0, []
    for _, arrived, start, width, kept, after, _ in run.trace.compactions.tolist():
        joining = np.arange(seen, arrived, dtype=np.int32)
        rows = np.concatenate([rows, np.tile(joining, (patterns, 1))], axis=1)
        seen = arrived
        stays = start + np.arange(patterns)[:, None] + np.arange(kept)
        plan = CompactionPlan(
            length=rows.shape[1],
            start=start,
            stop=start + width,
            kept=stays.astype(np.int32),
            row_of_layer=row_of_layer,
            cursor=after,
        )
        told = []
        for row in range(patterns):
            layers = (np.nonzero(row_of_layer == row)[0] + 1).tolist()
            mask = np.isin(np.arange(start, start + width), stays[row]).astype(int).tolist()
            told.append([layers, rows[row, start : start + width].tolist(), mask])
        out.append([rows.shape[1], cursor, told])
        rows, cursor = plan.apply(rows), after
    return out, rows, seen


@pytest.mark.parametrize(
    "options",
    [RUNS[n] for n in ("interleaved", "overlapping", "staircase", "slack", "window")]
    + [ONE_STEP_MANY_PASSES],
    ids=["interleaved", "overlapping", "staircase", "slack", "window", "many passes in a step"],
)
def test_every_group_is_what_the_rule_makes_of_it(live, options):
    run, messages = made(observe=False, **options)
    live.receive(messages)
    expected, rows, seen = by_the_rule(run, np.array(messages[0]["rowOfLayer"]))
    # The rows so carried through end where the trace ends: it is the rule of this run.
    held = run.trace.held_at(run.trace.num_steps - 1)[:, :seen]
    first = [messages[0]["rowOfLayer"].index(row) for row in range(rows.shape[0])]
    assert [np.nonzero(held[layer])[0].tolist() for layer in first] == rows.tolist()
    assert live.page.evaluate(GROUPS) == expected


def test_many_groups_in_one_step_take_from_each_other(live):
    """The case that needs the rule: what one group kept, a later one of the same step dropped."""
    run, messages = made(observe=False, **ONE_STEP_MANY_PASSES)
    live.receive(messages)
    first = run.trace.compactions[0, 0]
    kept_then_dropped = live.page.evaluate(
        """(step) => { const { store, closeup } = I; let n = 0;
          for (let k = 0; k < store.compactionsBy(step); k++) {
            const g = closeup.groups.at(k);
            g.patterns.forEach((p) => p.tokens.forEach((t, j) => {
              const row = store.rowOfLayer[p.layers[0] - 1];
              if (p.kept[j] && store.evictedAt[row][t] === step) n++; })); }
          return n; }""",
        int(first),
    )
    assert kept_then_dropped > 100


def test_the_panel_goes_from_compaction_to_compaction_within_a_step(live):
    run, messages = made(**RUNS["overlapping"])
    live.receive(messages)
    page = live.page
    steps = run.trace.compactions[:, 0]
    twice = int(np.nonzero(steps[1:] == steps[:-1])[0][0]) + 1  # the second one of a step
    page.evaluate("(k) => I.view.chooseCompaction(k)", twice)
    live.settle_closeup()
    total = len(steps)
    assert page.inner_text(".lc-closeup .lc-note").startswith(f"{twice + 1} of {total}")
    page.click("[title^='One back']")
    assert live.stats["clock"] == steps[twice - 1] == steps[twice]
    live.settle(1000)
    assert page.inner_text(".lc-closeup .lc-note").startswith(f"{twice} of {total}")
    page.focus(".lc-canvas")
    page.keyboard.press(">")
    page.keyboard.press(">")
    assert page.evaluate("I.view.compaction") == twice + 1
    # The clock between two compactions: the last one is shown, and how long ago it was.
    gap = next(s for s in range(run.trace.num_steps - 1, 0, -1) if s not in set(steps.tolist()))
    page.evaluate("(s) => I.view.setClock(s)", gap)
    live.settle(1000)
    assert "ago" in page.inner_text(".lc-closeup .lc-note")


def test_the_sentence_and_the_cells_name_the_words(live):
    run, messages = made(**RUNS["overlapping"])
    live.receive(messages)
    page = live.page
    last = len(run.trace.compactions) - 1
    page.evaluate("(k) => I.view.chooseCompaction(k)", last)
    live.settle_closeup()
    _, seen, start, width, kept, cursor, _ = run.trace.compactions[last].tolist()
    expected, _, _ = by_the_rule(run, np.array(messages[0]["rowOfLayer"]))
    length, before, patterns = expected[last]
    said = page.inner_text(".lc-sentence")
    assert f"At token {seen} " in said
    assert f"each layer kept {kept} of the {width} entries {start + 1}–{start + width}" in said
    assert f"freed {width - kept} entries in each layer" in said
    assert f"from entry {before + 1} to {cursor + 1}" in said
    layers, tokens, mask = patterns[0]
    assert f"layers {', '.join(map(str, layers[:3]))} … {layers[-1]} kept" in said
    first_kept = run.strings[next(t for t, stays in zip(tokens, mask, strict=True) if stays)]
    assert first_kept.strip() in said
    row = page.locator(".lc-cells tbody tr").first
    shown = [run.strings[t].strip() for t, stays in zip(tokens, mask, strict=True) if stays]
    assert row.locator("b").all_text_contents() == shown * 2  # before and after
    gone = [run.strings[t].strip() for t, stays in zip(tokens, mask, strict=True) if not stays]
    assert row.locator("del").all_text_contents() == gone
    assert f"{length} entries before" in page.get_attribute(".lc-strip", "aria-label")


def test_a_restart_pass_is_told_with_its_reason(live):
    run, messages = made(**RUNS["interleaved"])
    live.receive(messages)
    restarts = np.nonzero(run.trace.compactions[:, 6])[0]
    live.page.evaluate("(k) => I.view.chooseCompaction(k)", int(restarts[-1]))
    live.settle_closeup()
    said = live.page.inner_text(".lc-sentence")
    assert "a new pass began at the old end" in said and "newest 30" in said
    assert "cursor went back from" in said
    assert "restart pass" in live.page.inner_text(".lc-closeup .lc-note")


def test_a_window_drops_everywhere_and_says_so(live):
    run, messages = made(**RUNS["window"])
    live.receive(messages)
    seen, start = run.trace.compactions[-1, [1, 2]].tolist()
    live.page.evaluate("I.view.chooseCompaction(I.store.compactions.length - 1)")
    live.settle_closeup()
    said = live.page.inner_text(".lc-sentence")
    word = run.strings[seen - 61]  # 64 entries with the one that made it due: 4 sinks, 60 newest
    assert f"At token {seen} every layer dropped entry {start + 1}, “{word.strip()}”" in said
    assert "no layer holds it any longer" in said
    # Many at once, in a chunk of the given text.
    live.page.evaluate("I.view.chooseCompaction(0)")
    live.settle_closeup()
    width = run.trace.compactions[0, 3]
    assert f"every layer dropped the {width} entries" in live.page.inner_text(".lc-sentence")


def test_a_policy_that_drops_elsewhere_in_every_layer_is_told_from_what_went(live):
    """A group as wide as the cache, of which each layer lost another entry."""
    tokens, layers = 40, 3
    evicted = np.full((layers, tokens), -1, dtype=np.int32)
    for layer, token in enumerate((5, 17, 29)):
        evicted[layer, token] = 1
    joined = np.zeros(tokens, dtype=np.int32)
    joined[-1] = 1

    def packed(values):
        return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()

    setup = {"policy": "other", "label": "Other", "budget": 39, "effectiveBudget": 39}
    message = {
        "kind": "snapshot",
        "run": "other",
        "seq": 0,
        "layers": layers,
        "rowOfLayer": [0, 1, 2],
        "setup": {**setup, "numSink": 0, "reserve": 0, "bytesPerEntry": 10, "mode": "read"},
        "steps": 2,
        "tokens": [f" w{t}" for t in range(tokens)],
        "ids": list(range(tokens)),
        "joinedAt": packed(joined),
        "evictedAt": packed(evicted),
        "nll": packed(np.zeros(tokens, dtype=np.float32)),
        "compactions": packed(np.array([[1, 40, 5, 30, 29, 0, 0]], dtype=np.int32)),
        "text": "",
        "mass": None,
        "figures": {},
        "state": {"name": "done", "message": ""},
    }
    live.receive([message])
    live.settle(1000)
    assert [row[1:] for row in live.page.evaluate(GROUPS)[0][2]] == [
        [list(range(5, 35)), [int(t != gone) for t in range(5, 35)]] for gone in (5, 17, 29)
    ]
    said = live.page.inner_text(".lc-sentence")
    assert "each layer dropped 1 of the 30 entries 6–35" in said
    assert "layer 1 dropped “w5”; layer 2 dropped “w17”; layer 3 dropped “w29”" in said
    assert live.page.locator(".lc-cells del").all_text_contents() == ["w5", "w17", "w29"]
