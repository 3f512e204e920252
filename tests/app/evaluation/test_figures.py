"""Figures and tables from what was measured: the right numbers, and no markup."""

from __future__ import annotations

import json

import pytest

from app.evaluation.figures import (
    endless_figures,
    grouped,
    legend,
    log_ticks,
    needle_figures,
    reading_figures,
)
from app.evaluation.report import report


def stretch(start, stop, perplexity, **more):
    return {
        "start": start,
        "stop": stop,
        "perplexity": perplexity,
        "accumulated": perplexity + 1,
        "held": 24,
        "kv_bytes": 2_000_000,
        "ms_per_token": 30.0,
        **more,
    }


def reading(
    label="LaCache",
    budget=128,
    ended="",
    complete=True,
    perplexity=12.0,
    stretches=None,
    policy="lacache",
):
    if stretches is None:
        stretches = [stretch(1, 51, perplexity + 3), stretch(51, 101, perplexity)]
    return {
        "policy": policy,
        "label": label,
        "budget": budget,
        "settings": {},
        "length": 101,
        "tokens": stretches[-1]["stop"] if stretches else 0,
        "perplexity": perplexity if stretches else None,
        "tokens_per_second": 20.0,
        "held": 24,
        "union": 40,
        "kv_bytes": 2_000_000,
        "complete": complete,
        "ended": ended,
        "stretches": stretches,
    }


def cell(length, depth, correct, trials=2, label="LaCache", refused="", budget=100):
    answers = [
        {
            "seed": k,
            "key": "12345",
            "answer": "<b>12345</b>",
            "correct": k < correct,
            "needle_layers": 0.5,
            "held": 99,
            "record": f"r{length}{depth}{k}",
        }
        for k in range(trials)
    ]
    return {
        "policy": "lacache",
        "label": label,
        "budget": budget,
        "length": length,
        "depth": depth,
        "correct": correct,
        "trials": trials,
        "needle_layers": 0.5 if trials else None,
        "refused": refused,
        "answers": answers,
    }


def test_lines_have_the_numbers_of_the_stretches():
    so_far, by_stretch = reading_figures([reading()])
    [line] = by_stretch["spec"]["data"]
    assert (line["x"], line["y"]) == ([51, 101], [15.0, 12.0])
    assert so_far["spec"]["data"][0]["y"] == [16.0, 13.0]
    layout = by_stretch["spec"]["layout"]
    assert layout["xaxis"]["range"][1] >= 101 and layout["yaxis"]["type"] == "log"
    assert layout["xaxis"]["title"]["text"] and layout["yaxis"]["title"]["text"] == "perplexity"
    assert "template" not in layout


def test_budgets_of_a_policy_share_its_colour_and_make_a_curve():
    full = reading("Full cache", None, policy="full")
    cells = [full, reading(budget=128), reading(budget=256, perplexity=11.0)]
    styles = legend(cells)
    assert [s["series"] for s in styles] == [0, 2, 2]
    assert styles[1]["dash"] != styles[2]["dash"]
    by_budget = reading_figures(cells)[-1]
    assert by_budget["id"] == "by-budget"
    curve, full = by_budget["spec"]["data"]
    assert (curve["x"], curve["y"]) == ([128, 256], [12.0, 11.0])
    assert full["x"] == [128, 256] and full["y"] == [12.0, 12.0]
    assert reading_figures(cells[:2])[-1]["id"] == "by-stretch"  # one budget is no curve


def test_a_policy_has_its_colour_in_every_measurement_and_variants_have_others():
    window = reading("StreamingLLM", policy="streaming_llm")
    cells = [reading("LaCache, span 8"), reading("LaCache, span 15"), window]
    assert [s["series"] for s in legend(cells)] == [2, 0, 1]
    assert [s["series"] for s in legend(cells[::-1])] == [1, 2, 0]


def test_names_and_answers_are_no_markup():
    evil = "<b>&x</b>"
    for figure in [*reading_figures([reading(evil)]), *endless_figures([reading(evil)])]:
        assert figure["spec"]["data"][0]["name"] == "&lt;b&gt;&amp;x&lt;/b&gt;, budget 128"
    heat = json.dumps(needle_figures([cell(256, 0.0, 1)], [0.5])[0]["spec"])
    assert "<b>" not in heat


def test_endless_marks_where_positions_end():
    perplexity, memory, time = endless_figures([reading("Full cache", None, ended="It stops.")])
    marker = time["spec"]["data"][0]["marker"]
    assert marker["symbol"] == ["circle", "x"]
    assert memory["spec"]["data"][0]["y"] == [2.0, 2.0]
    assert memory["spec"]["layout"]["yaxis"]["rangemode"] == "tozero"


def test_what_is_no_number_is_no_point():
    endless = [stretch(1, 51, float("inf")), stretch(51, 101, 9.0)]
    figures = reading_figures([reading(stretches=endless), reading(stretches=[], ended="No.")])
    assert figures[1]["spec"]["data"][0]["y"] == [None, 9.0]
    assert len(figures[1]["spec"]["data"]) == 1


def test_heatmaps_share_scale_and_axes_and_lead_to_their_cells():
    cells = [
        cell(256, 0.0, 2, label="Full cache", budget=None),
        cell(256, 0.0, 0),
        cell(256, 1.0, 2, label="Full cache", budget=None),
        cell(256, 1.0, 1),
        cell(512, 0.0, 0, trials=0, label="Full cache", budget=None, refused="too long"),
        cell(512, 0.0, 1),
    ]
    full, ladder = needle_figures(cells, [None, 0.5])
    assert (full["title"], ladder["title"]) == ("Full cache", "LaCache, budget 50 %")
    assert ladder["note"] == "2 of 6 answers right"
    for figure in (full, ladder):
        [heat] = figure["spec"]["data"]
        assert (heat["zmin"], heat["zmax"]) == (0, 1)
        assert heat["x"] == ["256", "512"] and heat["y"] == ["0 %", "100 %"]
    [heat] = ladder["spec"]["data"]
    assert heat["z"] == [[0.0, 0.5], [0.5, None]]
    assert heat["customdata"] == [[1, 5], [3, -1]]
    assert full["spec"]["data"][0]["z"] == [[1.0, None], [1.0, None]]
    assert ladder["other"]["data"][0]["text"][0] == ["50 %", "50 %"]
    assert [[n for n, _ in mine] for mine in grouped(cells)] == [[0, 2, 4], [1, 3, 5]]


@pytest.mark.parametrize("low, high", [(15, 90), (7.1, 7.9), (11, 24), (3, 4000), (9.99, 10.01)])
def test_log_axes_have_a_handful_of_ticks(low, high):
    ticks = log_ticks(low, high)
    assert 2 <= len(ticks) <= 9 and ticks == sorted(ticks)
    assert all(low * 0.95 <= tick <= high * 1.05 for tick in ticks)


def kept(kind, cells, **more):
    return {
        "kind": kind,
        "title": "a title",
        "command": "c",
        "created": "2026-01-01T00:00:00",
        "state": "done",
        "message": "",
        "cells": cells,
        "about": {"model": "m", "dtype": "float32", "device": "cpu", "text": "A text."},
        "notes": [],
        "budgets": [one["budget"] for one in cells],
        **more,
    }


def test_a_report_says_what_did_not_end_well():
    cells = [reading(ended="It stops after 51."), reading(budget=16, complete=False)]
    found = report(kept("endless", cells))
    assert found["made"] == "A text. Model m, float32, on cpu."
    assert found["notes"][0] == "LaCache: It stops after 51."
    assert "read 101 of 101 tokens" in found["notes"][1]
    assert found["table"]["rows"][0]["cells"][:2] == ["LaCache, budget 128", "12.000"]
    going = report(kept("endless", cells, state="running"))
    assert len(going["notes"]) == 1
    none = report(kept("perplexity", []))
    assert none["figures"] == [] and none["table"]["rows"] == []


def test_a_report_of_needles_leads_to_answers():
    cells = [cell(256, 0.0, 1), cell(256, 1.0, 0, trials=0, refused="No room.")]
    found = report(kept("needle", cells, budgets=[0.5]))
    assert [row["cell"] for row in found["table"]["rows"]] == [0, None]
    assert found["cells"][0]["answers"][0] == {
        "seed": 0,
        "key": "12345",
        "answer": "<b>12345</b>",
        "correct": True,
        "record": "r2560.00",
        "layers": "50 %",
    }
    assert found["notes"] == ["LaCache, 256 tokens: No room."]
    assert [row["cells"][3] for row in found["table"]["rows"]] == ["1 of 2", "–"]


def test_what_forgetting_costs_is_shown_against_the_full_cache():
    full = reading("Full cache", budget=None, policy="full", perplexity=10.0)
    window = reading("StreamingLLM", policy="streaming_llm", perplexity=12.0)
    figures = {figure["id"]: figure for figure in reading_figures([full, window])}
    assert list(figures) == ["so-far", "against-full", "by-stretch"]
    one, other = figures["against-full"]["spec"]["data"]
    assert list(one["y"]) == [1, 1] and list(other["y"]) == [16 / 14, 13 / 11]
    assert "against-full" not in {f["id"] for f in reading_figures([window])}
    assert "against-full" not in {f["id"] for f in reading_figures([full])}
    # Stretches of which the full cache has none, since it is still being read, have no point.
    short = {**full, "stretches": full["stretches"][:1]}
    _, other = reading_figures([short, window])[1]["spec"]["data"]
    assert list(other["y"]) == [16 / 14, None]


def test_the_axis_begins_where_a_perplexity_means_something():
    first = stretch(1, 5, 5000.0)
    rest = [stretch(5, 51, 20.0), stretch(51, 101, 10.0)]
    spec = reading_figures([reading(stretches=[first, *rest])])[0]["spec"]
    low, high = (10**end for end in spec["layout"]["yaxis"]["range"])
    assert low < 11 and 21 < high < 30  # so far: 11 and 21
    assert list(spec["data"][0]["y"]) == [5001, 21, 11]  # nothing is left out of the line


def test_a_budget_that_was_never_full_is_said():
    short = {**reading(), "held": 101}
    said = "No budget was ever full"
    assert said in report(kept("perplexity", [short]))["notes"][0]
    assert report(kept("perplexity", [short, reading()]))["notes"] == []
    assert report(kept("perplexity", [reading(budget=None)]))["notes"] == []


def test_a_grid_that_was_stopped_shows_what_is_missing():
    grid = {"lengths": [256, 512], "depths": [0.0, 0.5, 1.0]}
    cells = [cell(256, 0.0, 1)]
    going = report(kept("needle", cells, budgets=[0.5], grid=grid, state="running"))
    heat = going["figures"][0]["spec"]["data"][0]
    assert (list(heat["x"]), len(heat["y"])) == (["256", "512"], 3)  # it does not grow
    assert going["notes"] == []
    stopped = report(kept("needle", cells, budgets=[0.5], grid=grid, state="stopped"))
    assert stopped["notes"] == ["1 of 6 cells were measured."]
    assert report(kept("needle", cells, budgets=[0.5]))["notes"] == []  # of an older result


def test_a_text_of_ones_own_is_not_in_the_form_again():
    mine = report(kept("perplexity", [reading()], form={"source": "own"}))
    assert "paste it again" in mine["made"]
    assert "paste it again" not in report(kept("perplexity", [reading()]))["made"]


def test_a_cell_that_was_stopped_says_how_many_are_missing():
    stopped = {**cell(256, 0.0, 1), "asked": 5}
    found = report(kept("needle", [stopped], budgets=[0.5]))
    assert found["table"]["rows"][0]["cells"][3] == "1 of 2, 3 not asked"
