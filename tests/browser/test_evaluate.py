"""The Evaluate page with small real measurements: the real app, the real model, a real Chromium."""

from __future__ import annotations

import csv
import json

import pytest
from axe_playwright_python.sync_playwright import Axe
from forms import number
from served import serving

from app.evaluation.jobs import MEASUREMENTS

pytestmark = [pytest.mark.browser, pytest.mark.model]
OVER = ["Done", "Stopped", "Not possible"]
TABS = {"perplexity": "Perplexity", "needle": "Needle", "endless": "Endless"}


@pytest.fixture(scope="module")
def address(smollm2, tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.setattr(MEASUREMENTS, "_folder", tmp_path_factory.mktemp("results"))
    patch.setattr(MEASUREMENTS, "_store", None)
    patch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")  # nobody answers there
    with serving() as url:
        yield url
    patch.undo()


@pytest.fixture
def evaluate(visiting, address):
    """Opens a tab."""

    def start(kind, **options):
        return visiting(f"{address}/evaluate", lambda page: show(page, kind))(**options)

    return start


def show(page, kind):
    page.get_by_role("tab", name=TABS[kind]).click()
    page.wait_for_selector(f"#measured-{kind} .lc-chip")


def choose(page, name, *values):
    """Exactly these values in a list that takes several."""
    field = page.locator(f"#{name} input").first
    field.click()
    for _ in range(4):
        field.press("Backspace")
    for value in values:
        field.fill(value)
        field.press("Enter")
    field.press("Escape")
    field.blur()


def policies(page, kind, *labels):
    for box in page.locator(f"#{kind}-policies label").all():
        box.locator("input").set_checked(box.inner_text().strip() in labels)


def more(page, kind):
    page.locator(f"#measured-{kind}").locator("xpath=ancestor::*[@role='tabpanel']").get_by_role(
        "button", name="More settings"
    ).click()
    page.wait_for_timeout(1000)  # controls that are still being set up forget what is typed


def chip(page, kind):
    return page.inner_text(f"#measured-{kind} .lc-chip")


def wait_over(page, kind, seconds=240):
    page.wait_for_function(
        f"(all) => all.includes(document.querySelector('#measured-{kind} .lc-chip').textContent)",
        arg=OVER,
        timeout=seconds * 1000,
    )


def rows(page, kind):
    return [
        row.locator("th, td").all_inner_texts()
        for row in page.locator(f"#measured-{kind} .lx-table tbody tr").all()
    ]


def lines(page, kind, figure):
    """Name, x and y of the lines of a figure as Plotly has them."""
    node = f"#measured-{kind} .lx-figure-{figure} .lx-plot"
    page.wait_for_function(f"() => document.querySelector('{node}')?.data", timeout=30_000)
    return page.evaluate(
        f"() => document.querySelector('{node}').data.map((d) => [d.name, [...d.x], [...d.y]])"
    )


def read_little(page, kind="perplexity", tokens=96):
    policies(page, kind, "Full cache", "LaCache")
    choose(page, f"{kind}-budgets", "64")
    more(page, kind)
    number(page, f"{kind}-read_chunk", 16)
    number(page, f"{kind}-tokens", tokens)


def test_perplexity_by_position_in_figures_table_and_files(evaluate, tmp_path):
    page = evaluate("perplexity")
    assert "How well does the model" in page.inner_text("#measured-perplexity .lx-empty")
    read_little(page)
    page.wait_for_function(
        "() => document.querySelector('#command-perplexity textarea').value.includes('--tokens 96')"
    )
    command = page.input_value("#command-perplexity textarea")
    assert command == (
        "python -m lacache_core perplexity --policy full --policy lacache --budget 64 "
        "--tokens 96 --read-chunk 16"
    )
    assert "194 tokens" in page.inner_text("#run-problem-perplexity")
    page.click("#run-perplexity")
    wait_over(page, "perplexity")
    assert chip(page, "perplexity") == "Done"
    full, ladder = rows(page, "perplexity")
    assert full[0] == "Full cache" and ladder[0] == "LaCache, span 15, budget 64"
    assert [full[3], ladder[3]] == ["97", "64"]
    drawn = lines(page, "perplexity", "so-far")
    assert [name for name, _, _ in drawn] == ["Full cache", "LaCache, span 15, budget 64"]
    assert drawn[0][1][-1] == 97
    assert f"{drawn[0][2][-1]:.3f}" == full[1] and f"{drawn[1][2][-1]:.3f}" == ladder[1]
    with page.expect_download() as coming:
        page.get_by_role("button", name="CSV").click()
    coming.value.save_as(tmp_path / "numbers.csv")
    table = list(csv.DictReader((tmp_path / "numbers.csv").open()))
    assert float(table[-1]["accumulated"]) == pytest.approx(drawn[1][2][-1])
    with page.expect_download() as coming:
        page.get_by_role("button", name="JSON").click()
    coming.value.save_as(tmp_path / "numbers.json")
    answer = json.loads((tmp_path / "numbers.json").read_text())
    assert [f"{c['perplexity']:.3f}" for c in answer["cells"]] == [full[1], ladder[1]]
    # A reload finds it again; so does the list of earlier ones.
    page.reload()
    show(page, "perplexity")
    page.wait_for_selector("#measured-perplexity .lx-table")
    assert rows(page, "perplexity") == [full, ladder] and chip(page, "perplexity") == "Done"
    page.get_by_role("button", name="Earlier").click()
    page.wait_for_selector("#measured-perplexity .lc-choice[aria-current=true]")
    assert "96 tokens" in page.inner_text("#measured-perplexity .lc-choice[aria-current=true]")


def test_what_is_impossible_is_said_beside_run_and_nothing_is_lost(evaluate):
    page = evaluate("perplexity")
    said = page.locator("#run-problem-perplexity")
    choose(page, "perplexity-budgets", "8")
    page.wait_for_function(  # an empty list, which it is for a moment, is a complaint as well
        "() => document.querySelector('#run-problem-perplexity').innerText.includes('Budgets = 8')"
    )
    choose(page, "perplexity-budgets", "64")
    page.wait_for_function(
        "() => document.querySelector('#run-problem-perplexity').innerText.startsWith('About')"
    )
    page.click("#perplexity-source input")
    page.get_by_role("option", name="My own text").click()
    page.wait_for_selector("#perplexity-own textarea")
    page.click("#run-perplexity")
    page.wait_for_function(
        "() => document.querySelector('#run-problem-perplexity').innerText.includes('Your text')"
    )
    assert chip(page, "perplexity") == "Ready"
    with page.expect_file_chooser() as chooser:
        page.click("#perplexity-file")
    chooser.value.set_files(
        {"name": "mine.txt", "mimeType": "text/plain", "buffer": b"Words of mine. " * 20}
    )
    page.wait_for_function(
        "() => document.querySelector('#perplexity-own textarea').value.includes('Words of mine')"
    )
    page.wait_for_function(  # and is looked at, though nobody typed it
        "() => document.querySelector('#run-problem-perplexity').innerText.startsWith('About')"
    )
    # What is found out only later is said beside the controls too.
    page.click("#perplexity-source input")
    page.get_by_role("option", name="A data set of the Hugging Face Hub").click()
    page.wait_for_selector("#perplexity-dataset textarea, #perplexity-dataset input")
    page.wait_for_timeout(500)
    page.click("#run-perplexity")
    wait_over(page, "perplexity", 60)
    assert chip(page, "perplexity") == "Not possible"
    assert "data set 'Salesforce/wikitext' cannot be read" in said.inner_text()


def test_a_variant_is_built_with_the_controls_of_its_policy(evaluate):
    page = evaluate("perplexity")
    page.locator("#measured-perplexity").locator("xpath=ancestor::*[@role='tabpanel']").get_by_role(
        "button", name="Build a variant"
    ).click()
    # What the span allows comes from the server, and moves the slider's end; a page that is still
    # being set up does not hear of the first change.
    overlap = page.locator("#perplexity-own-overlap input[type=range]")
    for span in (8, 9, 8, 9, 8):
        number(page, "perplexity-own-span", span)
        page.wait_for_timeout(1500)
        if span == 8 and overlap.get_attribute("max") == "7":
            break
    assert overlap.get_attribute("max") == "7"
    number(page, "perplexity-own-overlap", 4)
    assert page.locator("#perplexity-own-window").is_hidden()  # SnapKV's
    page.wait_for_timeout(500)
    page.click("#perplexity-add")
    page.wait_for_function(
        """() => document.querySelector('#command-perplexity textarea').value
          .includes('--policy lacache:span=8,overlap=4')"""
    )
    page.click("#perplexity-add")
    page.wait_for_function(
        "() => document.querySelector('#perplexity-add-said').innerText.includes('already')"
    )


def test_stop_keeps_what_is_finished_and_another_takes_its_place(evaluate):
    page = evaluate("endless")
    policies(page, "endless", "LaCache", "StreamingLLM")
    choose(page, "endless-budgets", "64")
    more(page, "endless")
    number(page, "endless-read_chunk", 128)
    page.fill("#endless-stretch textarea, #endless-stretch input", "256")
    page.press("#endless-stretch textarea, #endless-stretch input", "Tab")
    number(page, "endless-tokens", 200_000)
    page.click("#run-endless")
    page.wait_for_function(
        """() => {
          const plot = document.querySelector('#measured-endless .lx-figure-memory .lx-plot');
          return plot?.data?.[0]?.x.length >= 3;
        }""",
        timeout=120_000,
    )
    assert chip(page, "endless") == "Measuring"
    assert "left" in page.inner_text("#measured-endless .lx-left")
    page.click("#stop-endless")
    wait_over(page, "endless", 30)
    assert chip(page, "endless") == "Stopped"
    [[name, tokens, memory]] = lines(page, "endless", "memory")
    assert name == "LaCache, span 15, budget 64"
    assert len(tokens) >= 3 and max(memory[1:]) - min(memory[1:]) < 0.1
    assert "of 200,000 tokens" in page.inner_text("#measured-endless .lx-notes")
    before = rows(page, "endless")
    assert before[0][2].endswith(" of 200,000")  # what is not finished does not look so
    # Another one, while the first goes on again, says what became of it.
    page.click("#run-endless")
    page.wait_for_function(
        "() => document.querySelector('#measured-endless .lc-chip').textContent === 'Measuring'"
    )
    number(page, "endless-tokens", 1000)
    page.wait_for_function(
        "() => document.querySelector('#command-endless textarea').value.includes('1000 ')"
    )
    page.click("#run-endless")
    page.wait_for_selector("#measured-endless .lx-notes >> text=was stopped")
    wait_over(page, "endless")
    assert chip(page, "endless") == "Done"
    assert "1,000 tokens read" in page.inner_text("#measured-endless .lx-what")
    # One that was made before brings its settings along.
    page.get_by_role("button", name="Earlier").click()
    choice = "#measured-endless .lc-choice:has-text('not finished')"
    said = page.locator(choice).first.inner_text()
    assert "200,000 tokens" in said and "LaCache, span 15" in said and "budget 64" in said
    page.locator(choice).first.click()
    restored = (
        "() => document.querySelector('#endless-tokens input[type=number]').value === '200000'"
    )
    page.wait_for_function(restored)
    page.wait_for_function(
        "() => document.querySelector('#command-endless textarea').value.includes('200000')"
    )
    page.reload()
    show(page, "endless")
    page.wait_for_selector("#measured-endless .lx-table")
    page.wait_for_function(restored)
    page.wait_for_function(
        "() => document.querySelector('#command-endless textarea').value"
        ".includes('--read-chunk 128')"
    )


def test_a_reload_finds_a_measurement_going_on(evaluate):
    page = evaluate("endless")
    assert page.is_disabled("#stop-endless")
    policies(page, "endless", "LaCache")
    page.click("#run-endless")
    page.wait_for_selector("#measured-endless .lx-table", timeout=120_000)
    assert page.is_enabled("#stop-endless")
    page.reload()  # to the tab where it is
    page.wait_for_selector("#measured-endless .lx-table", timeout=30_000)
    assert chip(page, "endless") == "Measuring"
    # Somebody else waits, is told for what, and can end that.
    other = evaluate("perplexity")
    read_little(other)
    other.click("#run-perplexity")
    ahead = other.get_by_role("button", name="Stop that one")
    ahead.wait_for()
    assert "Endless: Python's manual" in other.inner_text("#measured-perplexity .lc-message")
    ahead.click()
    wait_over(page, "endless", 30)
    wait_over(other, "perplexity")
    assert chip(other, "perplexity") == "Done" and not ahead.is_visible()
    assert page.is_disabled("#stop-endless") and other.is_disabled("#stop-perplexity")


@pytest.fixture
def asked(evaluate):
    """A needle at two depths, with and without a budget."""
    page = evaluate("needle")
    policies(page, "needle", "Full cache", "StreamingLLM")
    choose(page, "needle-lengths", "160")
    choose(page, "needle-depths", "0", "1")
    page.click("#run-needle")
    wait_over(page, "needle")
    assert chip(page, "needle") == "Done", page.inner_text("#measured-needle .lc-status")
    return page


MAP = "document.querySelector('#measured-needle .lx-map .lc').__lacache"


def test_a_cell_opens_its_run_on_the_map(asked):
    page = asked
    shown = {(row[0], row[2]): row[3:5] for row in rows(page, "needle")}
    assert shown["Full cache", "0 %"] == ["1 of 1", "100 %"]
    assert shown["StreamingLLM, budget 50 %", "100 %"] == ["1 of 1", "100 %"]
    right, layers = shown["StreamingLLM, budget 50 %", "0 %"]
    assert right == "0 of 1"
    # The upper cell of the second heatmap: the window, the needle at the beginning.
    plot = page.locator("#measured-needle .lx-figure").nth(1).locator(".nsewdrag").first
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 4)
    page.wait_for_timeout(300)
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 4)
    page.wait_for_selector("#measured-needle .lx-cell:not([hidden])")
    panel = page.inner_text("#measured-needle .lx-cell")
    assert "StreamingLLM" in panel and "depth 0 %" in panel and "Wrong" in panel
    page.get_by_role("button", name="Open on the map").click()
    page.wait_for_selector(".lx-map .lc-fact-panel:not([hidden])")
    said = page.inner_text(".lc-fact-panel")
    assert "Wrong" in said and "of 30 layers 30 held" not in said
    # The needle's tokens are the fact, marked in the text and on the map.
    fact = page.evaluate(f"() => {MAP}.store.setup.fact")
    text = page.evaluate(f"() => {MAP}.store.tokens.slice({fact[0]}, {fact[1] + 1}).join('')")
    key = page.evaluate(f"() => {MAP}.store.setup.needle.key")
    assert text.count(key) == 2 and "pass key" in text
    mean = page.evaluate(
        f"""() => {{
          const {{ store, view }} = {MAP};
          let held = 0;
          for (let t = {fact[0]}; t <= {fact[1]}; t++) held += store.holders(t, view.clock);
          return held / store.layers / {fact[1] - fact[0] + 1};
        }}"""
    )
    assert f"{mean:.0%}".replace("%", " %") == layers
    assert page.evaluate(f"() => {MAP}.store.seen({MAP}.view.clock)") == 160
    page.get_by_role("button", name="Look at the needle").click()
    page.wait_for_timeout(400)
    colour = page.evaluate(
        f"""() => {{
          const {{ map, canvas }} = {MAP};
          const ratio = canvas.width / canvas.clientWidth;
          const x = map.xOf(({fact[0]} + {fact[1] + 1}) / 2), y = 20 + 34 + 5;
          const pixel = canvas.getContext('2d').getImageData(x * ratio, y * ratio, 1, 1).data;
          const hex = (v) => v.toString(16).padStart(2, '0');
          return ['#' + [...pixel].slice(0, 3).map(hex).join(''), map.palette.fact];
        }}"""
    )
    assert colour[0] == colour[1]


def test_a_damaged_run_says_so_where_it_was_asked_for(asked):
    page = asked
    for trace in (MEASUREMENTS.store.folder / "traces").glob("*.npz"):
        trace.write_bytes(b"nothing")
    page.get_by_role("button", name="Answers: Full cache, 160, 100 %").click()
    page.get_by_role("button", name="Open on the map").click()
    said = page.locator("#measured-needle .lx-cell li .lx-bad")
    page.wait_for_function(
        "() => document.querySelector('#measured-needle .lx-cell li .lx-bad').textContent"
    )
    assert "damaged" in said.inner_text()
    button = page.get_by_role("button", name="Open on the map").bounding_box()
    assert abs(said.bounding_box()["y"] - button["y"]) < 60


def test_what_was_found_is_a_tab_that_a_link_leads_to(visiting, address):
    page = visiting(f"{address}/compare", lambda p: p.wait_for_selector(".lx-head a"))()
    page.wait_for_timeout(3000)  # what Gradio still asks for would be broken off
    page.click(".lx-head a")
    page.wait_for_url("**/evaluate#findings")
    page.wait_for_selector(".lx-finding:visible >> text=In short")


def test_the_other_measure_and_the_keyboard_lead_to_cells(asked):
    page = asked
    page.get_by_role("button", name="Needle still held").click()
    page.wait_for_function(
        """() => {
          const heat = document.querySelector('#measured-needle .lx-plot')?.data?.[0];
          return heat?.text[0][0] === '100 %';
        }"""
    )
    link = page.get_by_role("button", name="Answers: Full cache, 160, 0 %")
    link.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#measured-needle .lx-cell:not([hidden])")
    assert "Right" in page.inner_text("#measured-needle .lx-cell")


def test_it_fits_a_phone_and_follows_the_theme_and_axe_finds_nothing_serious(evaluate):
    page = evaluate("perplexity", width=390, height=844)
    read_little(page)
    page.click("#run-perplexity")
    wait_over(page, "perplexity")
    lines(page, "perplexity", "so-far")
    page.wait_for_timeout(500)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
    wide = page.evaluate(
        "() => Math.max(...[...document.querySelectorAll('.lx-plot')].map((n) => n.scrollWidth))"
    )
    assert wide <= 390
    line = "() => document.querySelector('#measured-perplexity .lx-plot').data[0].line.color"
    light = page.evaluate(line)
    page.evaluate("() => document.body.classList.add('dark')")
    page.wait_for_function(f"(was) => ({line})() !== was", arg=light)
    page.evaluate("() => document.body.classList.remove('dark')")
    page.wait_for_timeout(300)
    serious = [
        (v["id"], [n["html"][:120] for n in v["nodes"]])
        for v in Axe().run(page).response["violations"]
        if v["impact"] in ("serious", "critical")
    ]
    assert serious == []
