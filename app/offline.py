"""A run and the instrument in one HTML file that needs no server and no network.

The modules of ``assets/js`` go in as they stand, each as a ``data:`` address in an import map; only
the names by which they import each other are rewritten. A policy in the page allows its own scripts
and ``data:`` modules, and no request to anywhere. Token strings are in it as JSON text that no
parser of HTML can leave.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from functools import lru_cache
from html import escape

from app.snapshot import Message, as_text
from app.theme import ASSETS, instrument_css_paths

_ENTRY = "instrument.js"
_IMPORT = re.compile(r"""(\b(?:from|import)\s*\(?\s*["'])\./([\w-]+\.js)(?=["'])""")
_NAMESPACE = "lacache/"

_MAIN = """
import { mount } from "ENTRY";
const dark = matchMedia("(prefers-color-scheme: dark)");
const theme = () => document.documentElement.classList.toggle("dark", dark.matches);
dark.addEventListener("change", theme);
theme();
const instrument = mount(document.getElementById("instrument"));
instrument.receive(JSON.parse(document.getElementById("run").textContent));
"""

_STYLE = """
body { margin: 0; background: #ffffff; }
body { font-family: system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
.dark body { background: #0f1217; color-scheme: dark; }
main { max-width: 1400px; margin: 0 auto; padding: 16px; }
"""


def page(snapshot: Message) -> bytes:
    """The file: ``snapshot`` in the instrument, as UTF-8."""
    modules, styles = _parts()
    main = _MAIN.replace("ENTRY", _NAMESPACE + _ENTRY)
    allowed = " ".join(_hash(script) for script in (modules, main))
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src {allowed} data:",  # the modules of the import map
            f"style-src {_hash(styles)}",
            "img-src data: blob:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    title = escape(snapshot["setup"]["title"] or snapshot["setup"]["label"])
    return (
        "<!doctype html>\n"
        f'<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title} - LaCache explorer</title>"
        f'<link rel="icon" href="data:,"><style>{styles}</style>'
        f'<script type="importmap">{modules}</script></head>'
        '<body><main><div id="instrument"></div></main>'
        f'<script type="application/json" id="run">{_json(snapshot)}</script>'
        f'<script type="module">{main}</script></body></html>\n'
    ).encode()


def _json(snapshot: Message) -> str:
    """JSON in which nothing can end the script element around it."""
    return as_text(snapshot).replace("<", "\\u003c")


@lru_cache(maxsize=1)
def _parts() -> tuple[str, str]:
    """The import map with all modules in it, and the style sheet."""
    imports = {}
    for name in _needed():
        code = _IMPORT.sub(rf"\g<1>{_NAMESPACE}\g<2>", _source(name))
        data = base64.b64encode(code.encode()).decode("ascii")
        imports[_NAMESPACE + name] = f"data:text/javascript;base64,{data}"
    styles = _STYLE + "".join(path.read_text("utf-8") for path in instrument_css_paths())
    return json.dumps({"imports": imports}), styles


def _needed() -> list[str]:
    """The entry module and whatever it imports, directly or not."""
    found, waiting = [], [_ENTRY]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.append(name)
            waiting += [match[2] for match in _IMPORT.finditer(_source(name))]
    return found


def _source(name: str) -> str:
    return (ASSETS / "js" / name).read_text("utf-8")


def _hash(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"
