"""The Explore page in a real Chromium: how soon it can be used, how fast it follows, what it costs.

Needs the packages of ``make test`` (Playwright) and a Chromium; ``CHROMIUM=`` names one.

    python -m benchmarks explore [--only NAME] [--out FILE]

Bars are those that the page was built to; a row says whether this run met its bar. The server and
the browser share one machine, so their clocks agree.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.report import Row, p95, status, write

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests" / "support")]

INSTRUMENT = "document.querySelector('#live-map .lc-root').__lacache"
_BLANK = b"<!doctype html><meta charset=utf-8><link rel=icon href=data:,><body><div id=root></div>"
_MOUNT = """async () => {
  const css = document.createElement('link');
  css.rel = 'stylesheet'; css.href = '/css/instrument.css';
  document.head.append(css);
  await new Promise((done) => { css.onload = done; });
  const { mount } = await import('/js/instrument.js');
  window.I = mount(document.getElementById('root'), {});
}"""
# Applies messages one a frame; gives back what each took, drawing included.
_APPLY = """async (messages) => {
  const took = [];
  for (const m of messages) {
    const start = performance.now();
    I.receive(m);
    const applied = performance.now() - start;
    await new Promise(requestAnimationFrame);
    took.push(applied + (I.stats.drawMs.at(-1) || 0));
  }
  return took;
}"""
_SCRUB = """async (frames) => {
  const took = [], steps = I.stats.steps;
  for (let k = 0; k < frames; k++) {
    const start = performance.now();
    I.view.setClock(Math.round((steps - 1) * Math.abs(Math.sin(k / 9))));
    const set = performance.now() - start;
    await new Promise(requestAnimationFrame);
    took.push(set + I.stats.drawMs.at(-1));
  }
  return took;
}"""

# Notes when each message has been drawn.
_STAMP = """() => {
  const i = INSTRUMENT, take = i.receive.bind(i);
  window.got = [];
  i.receive = (m) => {
    take(m);
    const now = () => performance.timeOrigin + performance.now();
    requestAnimationFrame(() => got.push([m.run, m.seq, now()]));
  };
}"""

# Takes a run's beginning and its end, and lets what comes in between pass.
_DEAF = """() => {
  const i = INSTRUMENT, take = i.receive.bind(i);
  i.receive = (m) => {
    if (m.kind === 'delta' && m.state.name === 'running') i.store.seq = m.seq;
    else take(m);
  };
}"""


def usable(browser: Any, address: str) -> list[Row]:
    """From navigation to a drawn recorded run, each time in a browser without a cache."""
    took = []
    for _ in range(7):
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        page = context.new_page()
        start = time.perf_counter()
        page.goto(address, wait_until="commit")
        drawn = f"() => {{ const i = {INSTRUMENT}; return i.stats.tokens > 0 && i.map.drawn > 0; }}"
        page.wait_for_function(
            f"() => {{ try {{ return ({drawn})(); }} catch {{ return false; }} }}"
        )
        took.append(time.perf_counter() - start)
        context.close()
    spread = f"{min(took):.2f} to {max(took):.2f} s, cold {took[0]:.2f} s"
    return [Row("page usable from navigation, median", median(took), "s", 2.5, more=spread)]


def applying(browser: Any, assets: str) -> list[Row]:
    """Taking an update in and drawing it, at two lengths of text."""
    from synthetic_feed import made

    rows = []
    for tokens, bar in ((2048, 16.0), (8192, 33.0)):
        _, messages = made(prompt=tokens - 200, new=200, chunk=256, settings={"budget": 256})
        with mounted(browser, assets) as page:
            took = page.evaluate(_APPLY, messages)[-200:]
        more = f"median {median(took):.1f} ms"
        rows.append(
            Row(f"applying an update, 30 x {tokens:,}, p95", p95(took), "ms", bar, more=more)
        )
    return rows


def scrubbing(browser: Any, assets: str) -> list[Row]:
    """Moving the clock of a run of 4,096 steps."""
    from synthetic_feed import made

    _, messages = made(prompt=1, new=4095, steps_per_message=64, settings={"budget": 256})
    with mounted(browser, assets) as page:
        requests: list[str] = []
        page.evaluate("ms => ms.forEach((m) => I.receive(m))", messages)
        page.wait_for_timeout(500)
        page.on("request", lambda r: requests.append(r.url))
        took = page.evaluate(_SCRUB, 300)
    return [
        Row("scrubbing 4,096 steps, a frame, p95", p95(took), "ms", 33.0),
        Row("requests while scrubbing", float(len(requests)), "", 0.0),
    ]


def sizes(browser: Any, assets: str) -> list[Row]:
    """Bytes of an update that tells of one step at budget 256."""
    from synthetic_feed import made

    from app.feed import as_text

    rows = []
    for observe, bar in ((False, 1024.0), (True, 12_288.0)):
        options = {"prompt": 1800, "new": 248, "settings": {"budget": 256}, "observe": observe}
        _, messages = made(**options)
        deltas = [len(as_text(m).encode()) for m in messages[-200:-1]]
        what = f"an update {'with' if observe else 'without'} attention, p95"
        rows.append(Row(what, p95(deltas), "bytes", bar, more=f"median {median(deltas):.0f}"))
    return rows


def heap(browser: Any, assets: str) -> list[Row]:
    """What JavaScript holds on to after thousands of updates of a run under a budget."""
    from synthetic_feed import made

    _, messages = made(prompt=64, new=5000, settings={"budget": 256})
    with mounted(browser, assets) as page:
        session = page.context.new_cdp_session(page)

        def used() -> float:
            session.send("HeapProfiler.collectGarbage")
            return float(session.send("Runtime.getHeapUsage")["usedSize"])

        found = []
        for first, last in ((0, 500), (500, 5000)):
            for start in range(first, last, 250):
                page.evaluate(_APPLY, messages[start : start + 250])
            found.append(used())
    more = f"{found[0] / 1e6:.1f} to {found[1] / 1e6:.1f} MB"
    return [Row("heap after 5,000 updates / after 500", found[1] / found[0], "x", 1.2, more=more)]


def following(browser: Any, address: str) -> list[Row]:
    """A real run watched in the browser, against the engine alone; in turn, twice each.

    A page that takes the stream and draws nothing stands for a browser on another machine.
    """
    from app import api
    from app.pages import explore
    from app.samples import samples
    from app.snapshot import as_text
    from lacache_core.engine import Engine
    from lacache_core.models import load, load_in_background
    from lacache_core.policies import make_policy

    load_in_background().join()  # a thread that computes here would slow down the engines' own
    loaded = load()
    prompt, new = samples()[2].text[:6500], 400
    sent: dict[tuple[str, int], float] = {}

    def timed(message: dict[str, Any]) -> str:
        if message["kind"] != "notice":
            sent[message["run"], message["seq"]] = time.time() * 1000
        return as_text(message)

    explore.as_text = api.as_text = timed  # type: ignore[attr-defined]

    def alone() -> float:
        policy = make_policy("lacache", budget=256, span=15)
        engine = Engine(loaded.model, loaded.tokenizer, policy, observe_every=1)
        sampled = {"temperature": 0.7, "top_p": 0.95, "seed": 0}  # as the page does
        stamps = [
            time.perf_counter()
            for event in engine.generate(prompt, max_new_tokens=new, stops=[], **sampled)
            if event.phase == "decode"
        ]
        return (len(stamps) - 1) / (stamps[-1] - stamps[0])

    def on_page(prepare: str) -> tuple[float, int, list[list[Any]]]:
        """Tokens a second, how many tokens there were, and when which message was drawn."""
        page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
        page.goto(address)
        page.wait_for_selector("#live-map .lc-canvas")
        page.evaluate(prepare.replace("INSTRUMENT", INSTRUMENT))
        page.fill("#prompt textarea", prompt)
        page.fill("#max_new_tokens input[type=number]", str(new))
        page.press("#max_new_tokens input[type=number]", "Enter")
        page.click("#run")
        over = "(({ setup, state }) => setup.origin === 'live' && state.name === 'done')"
        # Not at every frame, as Playwright would: that alone has the page drawn all the time.
        page.wait_for_function(f"() => {over}({INSTRUMENT}.store)", timeout=600_000, polling=500)
        figures = page.evaluate(f"{INSTRUMENT}.store.figures")
        got = page.evaluate("window.got || []")
        page.context.close()
        return figures["tokensPerSecond"], figures["seen"], got

    engines, streamed, watched, delays, rates = [], [], [], [], []
    tokens = 0
    for _ in range(2):
        engines.append(alone())
        streamed.append(on_page(_DEAF)[0])
        speed, tokens, got = on_page(_STAMP)
        watched.append(speed)
        live = [g for g in got if (g[0], g[1]) in sent][5:]
        delays += [at - sent[run, seq] for run, seq, at in live]
        rates.append((len(live) - 1) / (live[-1][2] - live[0][2]) * 1000)

    def row(what: str, speeds: list[float]) -> Row:
        told = f"{median(speeds):.1f} of {median(engines):.1f} tokens/s"
        share = median(speeds) / median(engines)
        return Row(f"speed {what} / engine alone", share, "x", 0.9, True, told)

    return [
        Row("live updates applied", median(rates), "a second", 10.0, True, f"{tokens:,} tokens"),
        Row(
            "from server to applied, p95",
            p95(delays),
            "ms",
            150.0,
            more=f"median {median(delays):.0f} ms",
        ),
        row("streamed to a page that draws nothing", streamed),
        row("watched", watched),
    ]


@contextmanager
def mounted(browser: Any, assets: str) -> Iterator[Any]:
    """A page with the instrument alone."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.goto(assets)
    page.evaluate(_MOUNT)
    yield page
    context.close()


class _Quiet(SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path != "/":
            return super().do_GET()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(_BLANK)
        return None

    def log_message(self, *_: Any) -> None:
        pass


# What is measured, and whether it needs the whole app or the instrument alone.
MEASUREMENTS: dict[str, tuple[Callable[[Any, str], list[Row]], bool]] = {
    "usable": (usable, True),
    "applying": (applying, False),
    "scrubbing": (scrubbing, False),
    "sizes": (sizes, False),
    "heap": (heap, False),
    "following": (following, True),
}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks explore")
    parser.add_argument("--only", choices=MEASUREMENTS, action="append", help="measure this alone")
    parser.add_argument("--out", type=Path, help="write the numbers as JSON to this file")
    options = parser.parse_args(arguments)

    import browser as chromium
    from playwright.sync_api import sync_playwright
    from served import serving

    path = chromium.find(sys.executable)
    if path is None:
        print("No Chromium was found; name its path in CHROMIUM=.", file=sys.stderr)
        return 1
    wanted = options.only or list(MEASUREMENTS)
    static = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(ROOT / "assets")))
    threading.Thread(target=static.serve_forever, daemon=True).start()
    assets = f"http://127.0.0.1:{static.server_port}"
    rows: list[Row] = []
    with serving() as address, sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=chromium.FLAGS)
        version = running.version
        for name in wanted:
            measure, whole_app = MEASUREMENTS[name]
            for row in measure(running, address if whole_app else assets):
                rows.append(row)
                print(row, flush=True)
        running.close()
    write(options.out, rows, chromium=version)
    return status(rows)
