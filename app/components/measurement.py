"""What a measurement gives, as a Gradio component: progress, figures, table, files, runs behind it.

Its value is ``{"follow": id}`` as JSON text; everything else it asks for by that id. Its event
``select`` says that somebody looks at a measurement again, with its ``id``.
"""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr

from app.components.live_map import named
from app.components.module import module_html
from app.evaluation.jobs import Measurements, answer
from app.evaluation.requests import Kind
from app.runs import Runs


def plotly_file() -> Path:
    """plotly.js as plotly's own package brings it along; the app must serve it."""
    return Path(str(files("plotly") / "package_data" / "plotly.min.js"))


def measurement(
    kind: Kind,
    beside: str,
    stop_button: str,
    empty: list[str],
    measurements: Measurements,
    runs: Runs,
    **options: Any,
) -> gr.HTML:
    """The component.

    Parameters
    ----------
    kind
        Which measurement.
    beside
        ``elem_id`` of what says why settings are impossible.
    stop_button
        ``elem_id`` of the button that stops, which is of use only while something goes on.
    empty
        What stands there before anything was measured, a paragraph each.
    measurements, runs
        What it asks, and where it has runs put that are looked at.
    options
        Anything else that ``gr.HTML`` takes, such as ``elem_id``.
    """

    def look(given: Any) -> Any:
        # None is what comes of a server that does not answer, too.
        return answer(
            lambda: measurements.look(given["id"], given.get("version")) or {"gone": True}
        )

    def stop(given: Any) -> Any:
        return answer(lambda: measurements.stop(given))

    def earlier(given: Any) -> Any:
        return answer(lambda: measurements.earlier(given["kind"], given.get("ids")))

    def open_cell(given: Any) -> Any:
        return answer(lambda: measurements.run_behind(given["id"], given["record"]))

    def file(given: Any) -> Any:
        return answer(lambda: measurements.file(given["id"], given["kind"]))

    def export_run(given: Any) -> Any:
        return answer(lambda: runs.export(given[0], given[1]))

    served = quote(plotly_file().as_posix())
    mount = f"""{{
      kind: {json.dumps(kind)},
      beside: {json.dumps(beside)},
      stopButton: {json.dumps(stop_button)},
      empty: {json.dumps(empty)},
      plotly: base + '/gradio_api/file={served}',
      look: (given) => server.look(given),
      stop: (given) => server.stop(given),
      earlier: (given) => server.earlier(given),
      open: (given) => server.open_cell(given),
      file: (given) => server.file(given),
      snapshot: (given) => server.snapshot(given),
      exportRun: (given) => server.export_run(given),
      chosen: (id) => trigger('select', {{ id }}),
    }}"""
    functions = [look, stop, earlier, open_cell, file, named("snapshot", runs.snapshot), export_run]
    return module_html("measurement.js", options=mount, functions=functions, **options)
