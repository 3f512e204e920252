"""Texts that are no files: the manual; data sets of the Hub, by a stand-in for their library."""

import sys
import threading
import time
import types

import pytest

from lacache_core.errors import TextUnavailableError
from lacache_core.evaluation import texts
from lacache_core.evaluation.texts import hub_text, manual


def test_the_manual_is_long_and_the_same_every_time():
    assert manual() == manual()
    assert len(manual()) > 300_000 and "\n\n" in manual()


@pytest.fixture
def library(monkeypatch):
    """Makes ``datasets`` importable; its ``load_dataset`` is what the test says."""

    def install(load):
        module = types.ModuleType("datasets")
        module.load_dataset = load
        monkeypatch.setitem(sys.modules, "datasets", module)

    return install


def test_without_the_library_a_sentence_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)  # importing it fails
    with pytest.raises(TextUnavailableError, match="pip install datasets"):
        hub_text("owner/name")


def test_the_library_itself_reads_a_folder(tmp_path):
    (tmp_path / "test.txt").write_text("The ladder keeps tokens.\nDifferent ones by layer.\n")
    text = "The ladder keeps tokens.\nDifferent ones by layer."
    assert hub_text(str(tmp_path)) == hub_text(f"{tmp_path}::test") == text
    with pytest.raises(TextUnavailableError, match="cannot be read"):
        hub_text(f"{tmp_path}::train")


def test_rows_are_joined_and_the_library_is_asked_for_what_was_named(tmp_path, library):
    asked = []

    def load(*arguments, **options):
        asked.append((arguments, options))
        return iter([{"id": 1, "text": f"row {i}"} for i in range(1000)])

    library(load)
    folder = str(tmp_path)  # a folder needs no Hub
    assert hub_text(folder, 20) == "row 0\nrow 1\nrow 2\nro"
    assert hub_text(f"{folder}:config:train").startswith("row 0\n")
    assert hub_text(folder).count("\n") == 999
    assert asked == [
        ((folder, None), {"split": "test", "streaming": True}),
        ((folder, "config"), {"split": "train", "streaming": True}),
        ((folder, None), {"split": "test", "streaming": True}),
    ]


def test_another_column_of_text_will_do_and_none_will_not(tmp_path, library):
    library(lambda *a, **o: iter([{"n": 1, "sentence": "words"}]))
    assert hub_text(str(tmp_path)) == "words"
    library(lambda *a, **o: iter([{"n": 1, "m": 2}]))
    with pytest.raises(TextUnavailableError, match="columns are n, m"):
        hub_text(str(tmp_path))
    library(lambda *a, **o: iter([]))
    with pytest.raises(TextUnavailableError, match="holds no text"):
        hub_text(str(tmp_path))


def test_what_the_library_raises_is_said_in_words(tmp_path, library):
    def load(*arguments, **options):
        raise ValueError("Unknown split 'test'.\nmore")

    library(load)
    with pytest.raises(TextUnavailableError, match="cannot be read: Unknown split 'test'."):
        hub_text(str(tmp_path))


def test_a_hub_that_does_not_answer_is_known_in_five_seconds(monkeypatch, library):
    library(lambda *a, **o: pytest.fail("the library was asked though the Hub is silent"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    started = time.monotonic()
    with pytest.raises(TextUnavailableError, match="Hub does not answer"):
        hub_text("owner/name")
    # A network that swallows everything, even the look-up of a name.
    monkeypatch.setattr(texts, "_ask_hub", lambda name: threading.Event().wait(60))
    with pytest.raises(TextUnavailableError, match="Hub does not answer"):
        hub_text("owner/name")
    assert time.monotonic() - started < 30  # and not the minute that it would hang


def test_a_hub_that_falls_silent_is_not_waited_for(monkeypatch, tmp_path, library):
    def load(*arguments, **options):
        yield {"text": "one"}
        threading.Event().wait(60)

    library(load)
    monkeypatch.setattr(texts, "_ROW_PATIENCE_SECONDS", 0.2)
    with pytest.raises(TextUnavailableError, match="nothing came"):
        hub_text(str(tmp_path))
