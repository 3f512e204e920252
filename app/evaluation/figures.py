"""Plotly figures from what was measured: data, axes and what the pointer says; no colours.

Colours come from the page (assets/js/plot.js), which knows light and dark: ``meta.series`` numbers
the lines, and policies share a colour over all their budgets. Names are escaped, since Plotly takes
some of HTML in a text for markup.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]
Figure = dict[str, Any]
_STEPS = (1, 1.5, 2, 3, 5, 7)
_FEWEST_TICKS = 3
SETTLED = 0.15
"""Share of a text after which a perplexity over all of it means something."""
_SERIES = ("full", "streaming_llm", "lacache", "sliding_window", "h2o", "tova", "snapkv", "random")
"""Policies in the order of the style sheet's colours."""


def name_of(cell: Row, budget: int | float | None = None) -> str:
    """A contender in words, with its budget."""
    size = cell["budget"] if budget is None else budget
    if size is None:
        return str(cell["label"])
    return f"{cell['label']}, budget {budget_in_words(size)}"


def budget_in_words(size: int | float) -> str:
    """A number of entries, or a share of the text's length."""
    return f"{size:.0%}".replace("%", " %") if isinstance(size, float) else f"{size:,}"


def reading_figures(cells: Sequence[Row]) -> list[Figure]:
    """Perplexity by position, so far, against the full cache and by stretch; and by budget."""
    found = [
        _lines(
            "so-far",
            "Perplexity so far, by position",
            "Over all tokens up to there. Lower is better.",
            cells,
            y=lambda stretch: stretch["accumulated"],
            axis="perplexity so far",
            log=True,
            settled=True,
        ),
        *_against_full(cells),
        _by_stretch(cells, "Position in the text (tokens)"),
    ]
    return [*found, *_by_budget(cells)]


def _against_full(cells: Sequence[Row]) -> list[Figure]:
    """What forgetting costs: perplexity so far as a multiple of the full cache's, which is 1."""
    full = next((c for c in cells if c["policy"] == "full" and c["stretches"]), None)
    if full is None or not any(c["stretches"] and c is not full for c in cells):
        return []
    of = {stretch["stop"]: stretch["accumulated"] for stretch in full["stretches"]}
    return [
        _lines(
            "against-full",
            "Against the full cache",
            "Perplexity so far as a multiple of the full cache\u2019s: what forgetting costs.",
            cells,
            y=lambda stretch: (
                stretch["accumulated"] / of[stretch["stop"]] if of.get(stretch["stop"]) else None
            ),
            axis="times the full cache",
            from_zero=False,
        )
    ]


def legend(cells: Sequence[Row]) -> list[Figure]:
    """Names of the lines with the number of their colour and their dash, for all figures."""
    return [
        {"name": name_of(cell), "series": series, "dash": dash}
        for cell, series, dash in _styled(cells)
        if cell["stretches"]
    ]


def endless_figures(cells: Sequence[Row]) -> list[Figure]:
    """Perplexity, memory and time per token, by stretch."""
    return [
        _by_stretch(cells, "Tokens read"),
        _lines(
            "memory",
            "Memory of keys and values",
            "A budget makes it a flat line; the full cache grows until its positions run out (×).",
            cells,
            y=lambda stretch: stretch["kv_bytes"] / 1e6,
            axis="MB",
            x_title="Tokens read",
        ),
        _lines(
            "time",
            "Time per token",
            "Of the forward passes and compactions of each stretch.",
            cells,
            y=lambda stretch: stretch["ms_per_token"],
            axis="ms",
            x_title="Tokens read",
        ),
    ]


def needle_figures(
    cells: Sequence[Row], budgets: Sequence[int | float | None], grid: Row | None = None
) -> list[Figure]:
    """A heatmap for every contender, of answers and of layers, all on one scale from 0 to 1.

    ``grid`` has the ``lengths`` and ``depths`` that were asked for: what is missing is seen so.
    """
    lengths = sorted({cell["length"] for cell in cells} | set(grid["lengths"] if grid else ()))
    depths = sorted({cell["depth"] for cell in cells} | set(grid["depths"] if grid else ()))
    found = []
    for k, mine in enumerate(grouped(cells)):
        budget = budgets[k] if k < len(budgets) else None
        asked = sum(cell["trials"] for _, cell in mine)
        right = sum(cell["correct"] for _, cell in mine)
        at = {(cell["depth"], cell["length"]): (n, cell) for n, cell in mine}
        told = next((cell for _, cell in mine if not cell["refused"]), mine[0][1])
        found.append(
            {
                "id": f"needle-{k}",
                "title": name_of(told, budget),
                "note": f"{right} of {asked} answers right" if asked else "nothing asked",
                "spec": _heatmap(at, lengths, depths, _answers),
                "other": _heatmap(at, lengths, depths, _layers),
            }
        )
    return found


def grouped(cells: Sequence[Row]) -> list[list[tuple[int, Row]]]:
    """Cells of each contender with their numbers; in every place all come in the same order."""
    groups: list[list[tuple[int, Row]]] = []
    place, k = None, 0
    for n, cell in enumerate(cells):
        here = (cell["length"], cell["depth"])
        k = k + 1 if here == place else 0
        place = here
        if k == len(groups):
            groups.append([])
        groups[k].append((n, cell))
    return groups


def log_ticks(low: float, high: float) -> list[float]:
    """Round numbers for a logarithmic axis, a handful wherever it begins and ends."""
    if not 0 < low <= high or not math.isfinite(high):
        return []
    decades = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    for steps in ((1,), (1, 3), (1, 2, 5), _STEPS, (1, 1.2, 1.5, 1.7, 2, 2.5, 3, 4, 5, 6, 7, 8, 9)):
        ticks = [step * 10.0**k for k in decades for step in steps]
        inside = [round(t, 10) for t in ticks if low * 0.97 <= t <= high * 1.03]
        if len(inside) >= _FEWEST_TICKS:
            return inside
    return [float(f"{low:.3g}"), float(f"{high:.3g}")]


def _by_stretch(cells: Sequence[Row], x_title: str) -> Figure:
    return _lines(
        "by-stretch",
        "Perplexity by stretch",
        "Each point is one stretch of the text alone.",
        cells,
        y=lambda stretch: stretch["perplexity"],
        axis="perplexity",
        log=True,
        x_title=x_title,
    )


def _lines(
    ident: str,
    title: str,
    note: str,
    cells: Sequence[Row],
    *,
    y: Callable[[Row], float | None],
    axis: str,
    log: bool = False,
    settled: bool = False,
    from_zero: bool = True,
    x_title: str = "Position in the text (tokens)",
) -> Figure:
    """A line for every cell.

    ``settled``: the axis leaves out the first tokens, which nothing before them helps to predict,
    where they would press all lines into one.
    """
    import plotly.graph_objects as go

    traces, values = [], []
    longest = max((cell["length"] for cell in cells), default=1)
    for cell, series, dash in _styled(cells):
        points = [(s["stop"], _number(y(s)), s) for s in cell["stretches"]]
        if not points:
            continue
        late = [p for p in points if not settled or p[0] >= SETTLED * longest] or points
        values += [value for _, value, _ in late if value is not None]
        stopped = bool(cell["ended"])
        traces.append(
            go.Scatter(
                name=html.escape(name_of(cell)),
                x=[x for x, _, _ in points],
                y=[value for _, value, _ in points],
                mode="lines+markers",
                line={"width": 2, "dash": dash},
                marker={
                    "size": [5] * (len(points) - 1) + [11 if stopped else 5],
                    "symbol": ["circle"] * (len(points) - 1) + ["x" if stopped else "circle"],
                },
                customdata=[f"{s['start']:,}–{s['stop'] - 1:,}" for _, _, s in points],
                hovertemplate=f"%{{y:.4~g}} {axis}, tokens %{{customdata}}",
                meta={"series": series},
            )
        )
    figure = go.Figure(traces)
    figure.update_xaxes(title_text=x_title, range=[0, longest * 1.02], tickformat=",")
    figure.update_yaxes(title_text=axis, rangemode="tozero" if from_zero and not log else "normal")
    if log and values:
        ticks = log_ticks(min(values), max(values))
        figure.update_yaxes(type="log", tickvals=ticks, ticktext=[f"{t:g}" for t in ticks])
        if settled and min(values) > 0:
            ends = [math.log10(min(values) * 0.96), math.log10(max(values) * 1.04)]
            figure.update_yaxes(range=ends)
    return {"id": ident, "title": title, "note": note, "spec": _spec(figure)}


def _by_budget(cells: Sequence[Row]) -> list[Figure]:
    """A line for every policy that was measured under several budgets; the full cache beside."""
    import plotly.graph_objects as go

    of: dict[str, list[Row]] = {}
    for cell in cells:
        if cell["budget"] is not None and cell["complete"]:
            of.setdefault(cell["label"], []).append(cell)
    sizes = sorted({cell["budget"] for mine in of.values() for cell in mine})
    if len(sizes) < 2:
        return []
    series = {cell["label"]: number for cell, number, _ in _styled(cells)}
    traces, values = [], []
    for label, mine in of.items():
        mine = sorted(mine, key=lambda cell: int(cell["budget"]))
        values += [cell["perplexity"] for cell in mine]
        traces.append(
            go.Scatter(
                name=html.escape(label),
                x=[cell["budget"] for cell in mine],
                y=[cell["perplexity"] for cell in mine],
                mode="lines+markers",
                line={"width": 2},
                marker={"size": 8},
                hovertemplate="%{y:.2f} perplexity, budget %{x:,}",
                meta={"series": series[label]},
            )
        )
    for cell in cells:
        if cell["budget"] is None and cell["complete"]:
            values.append(cell["perplexity"])
            traces.append(
                go.Scatter(
                    name=html.escape(cell["label"]),
                    x=[sizes[0], sizes[-1]],
                    y=[cell["perplexity"]] * 2,
                    mode="lines",
                    line={"width": 2, "dash": "dash"},
                    hovertemplate="%{y:.2f} perplexity, no budget",
                    meta={"series": series[cell["label"]]},
                )
            )
    figure = go.Figure(traces)
    figure.update_xaxes(
        title_text="Budget (entries per layer)",
        type="log",
        tickvals=sizes,
        ticktext=[f"{size:,}" for size in sizes],
    )
    ticks = log_ticks(min(values), max(values))
    figure.update_yaxes(
        title_text="perplexity", type="log", tickvals=ticks, ticktext=[f"{t:g}" for t in ticks]
    )
    note = "Over the whole text. The dashed line is the full cache."
    return [
        {"id": "by-budget", "title": "Perplexity by budget", "note": note, "spec": _spec(figure)}
    ]


def _heatmap(
    at: Mapping[tuple[float, int], tuple[int, Row]],
    lengths: Sequence[int],
    depths: Sequence[float],
    tell: Callable[[Row], tuple[float | None, str]],
) -> Figure:
    import plotly.graph_objects as go

    values, texts, numbers = [], [], []
    for depth in depths:
        row = [at.get((depth, length)) for length in lengths]
        told = [(None, "") if found is None else tell(found[1]) for found in row]
        values.append([value for value, _ in told])
        texts.append([text for _, text in told])
        numbers.append([-1 if found is None else found[0] for found in row])
    figure = go.Figure(
        go.Heatmap(
            z=values,
            x=[f"{length:,}" for length in lengths],
            y=[f"{depth:.0%}".replace("%", " %") for depth in depths],
            text=texts,
            customdata=numbers,
            texttemplate="%{text}",
            hovertemplate="%{x} tokens, depth %{y}: %{text}<extra></extra>",
            hoverongaps=False,
            zmin=0,
            zmax=1,
            xgap=2,
            ygap=2,
            showscale=False,
            meta={"scale": True},
        )
    )
    figure.update_xaxes(title_text="Tokens", type="category", showgrid=False, ticks="")
    figure.update_yaxes(
        title_text="Depth",
        type="category",
        autorange="reversed",
        showgrid=False,
        ticks="",
    )
    figure.update_layout(height=96 + 44 * len(depths), hovermode="closest")
    return _spec(figure)


def _answers(cell: Row) -> tuple[float | None, str]:
    if not cell["trials"]:
        return None, ""
    return cell["correct"] / cell["trials"], f"{cell['correct']} of {cell['trials']}"


def _layers(cell: Row) -> tuple[float | None, str]:
    share = _number(cell["needle_layers"])
    return (None, "") if share is None else (share, f"{share:.0%}".replace("%", " %"))


def _styled(cells: Sequence[Row]) -> list[tuple[Row, int, str]]:
    """Cells with the number of their colour, which a policy has everywhere, and the dash of their
    budget; a policy with other settings takes a colour that is free.
    """
    series: dict[str, int] = {}
    for cell in cells:
        own = _SERIES.index(cell["policy"]) if cell["policy"] in _SERIES else 0
        free = [k for k in range(len(_SERIES) + len(cells)) if k not in series.values()]
        series.setdefault(cell["label"], own if own in free else _unused(free, cells))
    sizes = sorted({cell["budget"] for cell in cells if cell["budget"] is not None}, reverse=True)
    dashes = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
    return [
        (
            cell,
            series[cell["label"]],
            dashes[sizes.index(cell["budget"]) % len(dashes) if cell["budget"] is not None else 0],
        )
        for cell in cells
    ]


def _unused(free: Sequence[int], cells: Sequence[Row]) -> int:
    """The first free colour that belongs to no policy here."""
    taken = {_SERIES.index(c["policy"]) for c in cells if c["policy"] in _SERIES}
    return next((k for k in free if k not in taken), free[0])


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def _spec(figure: Any) -> Figure:
    """What plotly.js takes; Python's own look of a figure is left out."""
    spec: Figure = figure.to_plotly_json()
    spec["layout"].pop("template", None)
    return spec
