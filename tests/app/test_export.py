"""Exports: the trace, and the instrument in one file that nothing can break out of."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from dataclasses import replace

import pytest
from messages import messages

from app.offline import page
from app.runs import Kept, Run, Runs, file_name
from app.snapshot import kept_snapshot
from app.theme import ASSETS
from lacache_core.trace import Trace

EVIL = "</script><img src=x onerror=window.__x=1><!--<script>"


@pytest.fixture
def known():
    """A run that is over, in a registry of its own."""
    feed = messages(batch=5)[1]
    runs = Runs(recorded=[])
    run = runs.start(None)
    run.source, run.active = feed, False
    return runs, run


def test_the_trace_of_a_finished_run_is_whole(known):
    runs, run = known
    found = runs.export(run.id, "npz")
    assert found["name"].endswith(".npz")
    trace = Trace.load(io.BytesIO(base64.b64decode(found["base64"])))
    assert (trace.evicted_at == run.source.trace().evicted_at).all()
    manifest = trace.manifest
    assert manifest["settings"]["max_new_tokens"] == 30 and "prompt" not in manifest["settings"]
    assert len(manifest["tokens"]) == trace.num_tokens
    opened = runs.open("again.npz", found["base64"])
    assert opened["tokens"] == run.source.snapshot()["tokens"]
    assert runs.export(opened["run"], "npz") is not None


def test_unknown_runs_and_kinds_have_no_export(known):
    runs, run = known
    for given in (("nobody", "npz"), (None, "npz"), (run.id, "exe"), (run.id, None), (run.id, [])):
        assert runs.export(*given) is None
    runs._by_id["new"] = Run(id="new")
    assert runs.export("new", "npz") is None


def test_recorded_runs_can_be_exported():
    runs = Runs()
    kept = runs.recordings()[0]
    data = base64.b64decode(runs.export(kept.id, "npz")["base64"])
    assert Trace.load(io.BytesIO(data)).manifest["title"] == kept.kept.manifest["title"]


@pytest.mark.parametrize(
    "manifest",
    [
        {},
        {"policy": "../../etc/passwd", "created": "2025\x00\n<b>"},
        {"policy": "ä" * 300, "created": "\u202egpj.exe"},
        {"policy": 'a"; x=.html', "created": "2025-01-02T03:04:05+00:00"},
    ],
)
def test_file_names_are_made_of_safe_characters(known, manifest):
    runs, run = known
    name = file_name(replace(run.source.trace(), manifest=manifest))
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) and len(name) <= 80


def html_of(**changes):
    trace = messages(batch=5)[1].trace()
    trace = replace(trace, manifest={**trace.manifest, **changes})
    return page(kept_snapshot(trace, run="saved", origin="opened")).decode()


def test_the_page_holds_all_modules_and_asks_for_nothing():
    text = html_of()
    modules = json.loads(re.search(r'<script type="importmap">(.*?)</script>', text)[1])["imports"]
    assert "lacache/instrument.js" in modules and "lacache/store.js" in modules
    sources = {
        name: base64.b64decode(address.partition(",")[2]).decode()
        for name, address in modules.items()
    }
    for name, source in sources.items():
        for wanted in re.findall(r"""from\s+["']([^"']+)["']""", source):
            assert wanted in modules, f"{name} imports {wanted}"
        assert (ASSETS / "js" / name.removeprefix("lacache/")).exists()
    assert not re.search(r"""(?:src|href)=["'](?!data:)""", text)
    assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")
    assert "@import" not in text and "url(" not in text


def test_what_somebody_wrote_stays_inside_its_json():
    tokens = html_of()
    count = tokens.count("<script")
    trace = messages(batch=5)[1].trace()
    evil = [EVIL] * trace.num_tokens
    text = html_of(tokens=evil, text=EVIL, title=EVIL[:190], about=EVIL, label=EVIL)
    assert text.count("<script") == count and "<img" not in text and "<!--" not in text
    data = re.search(r'<script type="application/json" id="run">(.*?)</script>', text)[1]
    found = json.loads(data)
    assert found["tokens"] == evil and found["setup"]["about"] == EVIL


def test_the_policy_of_the_page_names_its_own_scripts_alone():
    text = html_of()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
    assert "default-src 'none'" in policy and "'unsafe" not in policy
    for kind in ("importmap", "module"):
        script = re.search(rf'<script type="{kind}">(.*?)</script>', text, re.S)[1]
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    style = re.search(r"<style>(.*?)</style>", text, re.S)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in policy


def test_an_export_of_a_run_that_goes_on_says_that_it_had_not_ended():
    found, feed, _ = messages(batch=5)
    feed.message("running", "")
    runs = Runs(recorded=[])
    run = runs.start(None)
    run.source = feed
    text = base64.b64decode(runs.export(run.id, "html")["base64"]).decode()
    data = json.loads(re.search(r'id="run">(.*?)</script>', text)[1])
    assert data["state"]["name"] == "stopped" and data["setup"]["origin"] == "opened"
    assert Kept("a", "opened", feed.trace()).snapshot()["state"]["name"] == "stopped"


def test_what_is_saved_of_a_run_that_goes_on_is_marked_as_a_part_of_it():
    feed = messages(batch=5)[1]
    feed.message("running", "")
    runs = Runs(recorded=[])
    run = runs.start(None)
    run.source = feed
    found, tokens = runs.export(run.id, "npz"), feed.trace().num_tokens
    assert f"-partial-{tokens}-tokens" in found["name"]
    state = runs.open(found["name"], found["base64"])["state"]
    assert state["message"] == f"Saved while the run was going on: {tokens} tokens so far."
    feed.message("done", "", "length")
    found = runs.export(run.id, "npz")
    assert "partial" not in found["name"]
    assert runs.open(found["name"], found["base64"])["state"]["message"] == ""
