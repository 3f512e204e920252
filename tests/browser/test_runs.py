"""Recorded, opened and saved runs in the real app, without any model: what a visitor can do."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from messages import messages
from recorded_page import ROOT, ask, choose, shown

from app.recorded import recordings
from app.snapshot import as_text
from lacache_core.trace import Trace

pytestmark = pytest.mark.browser
EVIL = "<img src=x onerror=window.__x=1>"


def saved(page, kind, tmp_path):
    page.click('.lc-toolbar .lc-button:text-is("Save")')
    with page.expect_download() as waiting:
        page.click(f"[data-kind={kind}]")
    path = tmp_path / waiting.value.suggested_filename
    waiting.value.save_as(path)
    return path


def open_file(page, path):
    page.set_input_files("#live-map input[type=file]", path)


def calls(visit):
    """What the live map asked the server."""
    return [url for url in visit.opened[-1].requests if "component_server" in url]


def test_a_recorded_run_is_drawn_at_once_and_says_what_it_is(visit):
    page = visit()
    name, trace = recordings()[0]
    assert ask(page, "s.run") == name and ask(page, "s.length") == trace.num_tokens
    assert calls(visit) == []
    assert page.inner_text(".lc-chip") == "Recorded run"
    caption = page.inner_text(".lc-caption")
    assert trace.manifest["title"] in caption and trace.manifest["about"] in caption
    told = page.get_attribute(".lc-chip", "title")
    for word in (trace.manifest["model"], "torch", "transformers", "lacache_core"):
        assert word in told
    assert page.locator(".lc-empty").is_hidden()
    assert "recorded" in page.inner_text(".lc-setup")
    # Attention came along: no request when it is looked at, nor when the clock moves.
    page.click("#live-map [data-mode=attention]")
    ask(page, "v.setClock(80)")
    assert ask(page, "s.frame(80) !== null") and ask(page, "s.frames.length") > 16
    assert calls(visit) == []


def test_the_browser_knows_of_a_recording_what_its_trace_knows(visit):
    page = visit()
    _, trace = recordings()[0]
    for step in (0, 40, 60, trace.num_steps - 1):
        held = page.evaluate(
            f"""(step) => {{ const s = {ROOT}.store;
            return Array.from({{length: s.layers}}, (_, layer) => Array.from({{length: s.length}},
              (_, t) => s.held(s.rowOfLayer[layer], t, step) ? 1 : 0)); }}""",
            step,
        )
        assert (np.array(held, bool) == trace.held_at(step)).all()
        found = ask(page, f"s.summary({step})")
        assert found["union"] == trace.held_at(step).any(axis=0).sum()
    frame = trace.frames[10]
    shares = page.evaluate(
        f"""(step) => {{ const s = {ROOT}.store, f = s.frame(step);
        return [f.step, ...s.columns(f)[s.rowOfLayer[3]].slice(0, 12).reduce(
          (out, t) => [...out, t, s.share(f, 3, t)], [])]; }}""",
        frame.step,
    )
    assert shares[0] == frame.step
    positions = trace.positions_at(frame.step - 1)[3][:12]
    assert shares[1::2] == positions.tolist()
    assert np.allclose(shares[2::2], frame.mass[3, :12].astype(float), rtol=0.08, atol=2e-4)


def test_the_menu_offers_the_recordings_and_comes_back_without_asking_again(visit):
    page = visit()
    first, second, third = (trace.manifest["title"] for _, trace in recordings())
    page.click('.lc-toolbar .lc-button:text-is("Runs")')
    assert page.locator(".lc-choice[aria-current=true]:visible").inner_text().startswith(first)
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.textContent") == "Runs"
    choose(page, "Runs", second)
    shown(page, second)
    assert ask(page, "s.setup.policy") == "streaming_llm"
    choose(page, "Runs", third)
    shown(page, third)
    asked = len(calls(visit))
    choose(page, "Runs", first)
    shown(page, first)
    choose(page, "Runs", second)
    shown(page, second)
    assert len(calls(visit)) == asked
    assert page.inner_text(".lc-chip") == "Recorded run"


def test_a_saved_trace_opens_again_and_can_be_saved_again(visit, tmp_path):
    page = visit()
    path = saved(page, "npz", tmp_path)
    trace = Trace.load(path)
    assert (trace.evicted_at == recordings()[0][1].evicted_at).all()
    open_file(page, path)
    page.wait_for_function(f"() => {ROOT}.store.setup.origin === 'opened'")
    page.wait_for_timeout(150)
    assert page.inner_text(".lc-chip") == "Opened run"
    assert ask(page, "s.length") == trace.num_tokens
    again = Trace.load(saved(page, "npz", tmp_path))
    assert again.manifest == trace.manifest
    # It stays in the menu beside the recordings.
    choose(page, "Runs", recordings()[1][1].manifest["title"])
    shown(page, recordings()[1][1].manifest["title"])
    choose(page, "Runs", "The trace that you opened")
    page.wait_for_function(f"() => {ROOT}.store.setup.origin === 'opened'")


def test_a_damaged_trace_is_named_and_nothing_is_lost(visit, tmp_path):
    page = visit()
    ask(page, "v.setClock(70), v.show(10, 40), v.lock({token: 20, layer: 4})")
    before = ask(page, "[s.run, v.clock, v.visible, v.locked]")
    data = recordings()[0][1].to_bytes()
    bad = tmp_path / f"{EVIL[:4]}bad.npz"
    bad.write_bytes(data[: len(data) // 2])
    open_file(page, bad)
    page.wait_for_selector(".lc-said.lc-bad")
    said = page.inner_text(".lc-said")
    assert bad.name in said and "cannot be read as a trace" in said
    assert ask(page, "[s.run, v.clock, v.visible, v.locked]") == before
    assert page.inner_text(".lc-chip") == "Recorded run"
    # Opening something else clears the word.
    choose(page, "Runs", recordings()[1][1].manifest["title"])
    page.wait_for_selector(".lc-said", state="hidden")


def test_a_file_that_is_too_large_never_leaves_the_browser(visit, tmp_path):
    page = visit()
    asked = len(calls(visit))
    ask(page, "i.options.maxFileBytes = 1 << 20")
    large = tmp_path / "large.npz"
    large.write_bytes(bytes(2 << 20))
    open_file(page, large)
    page.wait_for_selector(".lc-said.lc-bad")
    assert "larger than the 1 MiB" in page.inner_text(".lc-said")
    assert len(calls(visit)) == asked


def test_what_a_trace_says_appears_as_text(visit, tmp_path):
    page = visit()
    trace = messages(batch=5)[1].trace()
    words = {"tokens": [f"{EVIL}${{window.__x=2}}"] * trace.num_tokens, "text": EVIL}
    words |= {"title": EVIL, "about": EVIL, "label": EVIL, "model": EVIL, "created": EVIL}
    path = tmp_path / "evil.npz"
    Trace(**{**trace.__dict__, "manifest": {**trace.manifest, **words}}).save(path)
    open_file(page, path)
    shown(page, EVIL)
    page.wait_for_timeout(500)
    for place in (".lc-caption", ".lc-setup", ".lc-words-body"):
        assert EVIL in page.inner_text(f"#live-map {place}")
    assert page.locator(".lc img").count() == 0 and page.evaluate("window.__x") is None
    name = saved(page, "png", tmp_path).name
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-.")


def test_the_picture_is_a_picture_of_the_map(visit, tmp_path):
    from PIL import Image

    page = visit()
    path = saved(page, "png", tmp_path)
    image = Image.open(path)
    box = page.locator("#live-map .lc-stage").bounding_box()
    assert (
        image.width == pytest.approx(2 * box["width"], abs=2) and image.height > 2 * box["height"]
    )
    # The colours of map and legend are in it, and text above them.
    colours = {colour for _, colour in image.convert("RGB").getcolors(1 << 20)}
    held = ask(page, "i.map.palette.held")
    assert tuple(held) in colours and len(colours) > 50
    # Drawn afresh for it: columns begin between the pixels of the screen too.
    page.evaluate(f"() => {{ {ROOT}.view.show(5, 301) }}")
    page.wait_for_timeout(150)
    row = np.asarray(Image.open(saved(page, "png", tmp_path)).convert("RGB")).astype(int)
    at = 2 * (58 + ask(page, "i.canvas.offsetTop + i.map.plot.y + i.map.plot.row / 2"))
    edges = np.abs(np.diff(row[int(at)], axis=0)).sum(axis=1).nonzero()[0]
    assert len(edges) > 50 and set(edges % 2) == {0, 1}
    top = np.asarray(image.convert("L"))[: 2 * 50]
    assert (top < 120).sum() > 200


def test_the_compactions_are_a_table_of_numbers(visit, tmp_path):
    page = visit()
    rows = saved(page, "csv", tmp_path).read_bytes().decode().split("\r\n")
    trace = recordings()[0][1]
    assert rows[0].startswith("step,tokens_seen,first_entry,group_width") and rows[-1] == ""
    table = np.array([[int(x) for x in row.split(",")] for row in rows[1:-1]])
    columns = trace.compactions
    assert (table[:, 0] == columns[:, 0] + 1).all()
    assert (table[:, [1, 3, 4, 7]] == columns[:, [1, 3, 4, 6]]).all()
    assert (table[:, [2, 6]] == columns[:, [2, 5]] + 1).all()  # entries count from 1 for people
    assert (table[:, 5] == columns[:, 3] - columns[:, 4]).all()


def test_a_table_of_evictions_has_nothing_of_a_ladder(visit, tmp_path):
    page = visit()
    choose(page, "Runs", recordings()[1][1].manifest["title"])
    shown(page, recordings()[1][1].manifest["title"])
    head, first, *_ = saved(page, "csv", tmp_path).read_text(encoding="utf-8").splitlines()
    assert head == "step,tokens_seen,first_entry,stretch_width,kept_width,freed"
    columns = recordings()[1][1].compactions[0]
    step, seen, start, width, kept = (int(x) for x in columns[:5])
    assert first == f"{step + 1},{seen},{start + 1},{width},{kept},{width - kept}"


def test_a_table_of_a_run_that_goes_on_is_named_as_a_part_of_it(visit, tmp_path):
    page = visit()
    found = [json.loads(as_text(m)) for m in messages(batch=2)[0]]
    page.evaluate(f"(m) => m.forEach((x) => {ROOT}.receive(x))", found[: len(found) // 2])
    tokens = ask(page, "s.length")
    assert f"-partial-{tokens}-tokens" in saved(page, "csv", tmp_path).name
    page.evaluate(f"(m) => m.forEach((x) => {ROOT}.receive(x))", found[len(found) // 2 :])
    assert "partial" not in saved(page, "csv", tmp_path).name


def test_a_server_that_does_not_answer_is_said(visit):
    page = visit()
    nothing = {"body": "null", "content_type": "application/json"}
    page.route("**/component_server/**", lambda route: route.fulfill(**nothing))
    choose(page, "Runs", recordings()[2][1].manifest["title"])
    page.wait_for_selector(".lc-said.lc-bad")
    assert "did not answer" in page.inner_text(".lc-said")
    assert ask(page, "s.run") == recordings()[0][0]


def test_the_visitor_s_own_run_is_kept_while_another_is_shown(visit):
    page = visit()
    found, feed, _ = messages(batch=2)
    half = len(found) // 2
    feed_text = [json.loads(as_text(m)) for m in found]
    page.evaluate(f"(m) => m.forEach((x) => {ROOT}.receive(x))", feed_text[:half])
    assert ask(page, "s.run") == "run-1" and page.locator(".lc-caption").is_hidden()
    assert page.inner_text(".lc-chip") == "Running"
    tokens = ask(page, "s.length")
    title = recordings()[0][1].manifest["title"]
    choose(page, "Runs", title)
    shown(page, title)
    # What still arrives of it disturbs nothing.
    page.evaluate(f"(m) => {ROOT}.receive(m)", feed_text[half])
    assert ask(page, "s.run") == recordings()[0][0]
    choose(page, "Runs", "Your run")
    page.wait_for_function(f"() => {ROOT}.store.run === 'run-1'")
    assert ask(page, "s.length") == tokens
    # The server does not know this made-up run, so the copy stands; the gap is asked for again.
    page.evaluate(f"(m) => m.forEach((x) => {ROOT}.receive(x))", [feed.snapshot()])
    assert ask(page, "s.length") == feed_text[-1]["figures"]["seen"]


@pytest.mark.parametrize("width", [390, 1440])
def test_menus_stay_on_the_screen(visit, width):
    page = visit(width=width, height=844)
    for name in ("Runs", "Save"):
        page.click(f'.lc-toolbar .lc-button:text-is("{name}")')
        box = page.locator(".lc-toolbar .lc-panel:visible").bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= width
        page.keyboard.press("Escape")


def test_a_copy_of_a_run_is_the_run(visit):
    """What the browser remembers of a run that it leaves is all that it knew."""
    page = visit()
    equal = page.evaluate(
        f"""async () => {{
          const s = {ROOT}.store;
          const facts = () => JSON.stringify([s.length, s.steps, s.tokens, s.rowOfLayer,
            [...s.ids.slice(0, s.length)], [...s.joinedAt.slice(0, s.length)],
            s.evictedAt.map((r) => [...r.slice(0, s.length)]),
            [...s.holdersNow.slice(0, s.length)], [...s.compactions], s.figures, s.setup, s.text,
            s.frames.list.map((f) => [f.step, f.length, [...f.values.slice(0, 9)]])]);
          const before = facts();
          const kept = {ROOT}.runs.known.get(s.run);
          {ROOT}.show({{...kept, run: 'other'}});
          return before === facts();
        }}"""
    )
    assert equal


def test_the_bundled_file_is_what_is_shown():
    """The recordings are read from files that ``Trace.load`` accepts as they lie there."""
    for _, trace in recordings():
        assert Trace.load(io.BytesIO(trace.to_bytes())).manifest == trace.manifest
