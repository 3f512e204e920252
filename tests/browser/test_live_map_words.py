"""The text beside the live map, token by token; and what piles up with a long one."""

from __future__ import annotations

import pytest
from synthetic_feed import RUNS, SyntheticRun, made, words

pytestmark = pytest.mark.browser


def test_a_long_text_is_whole_and_light(live):
    run, messages = made(
        prompt=8000,
        new=192,
        chunk=256,
        steps_per_message=20,
        observe=False,
        settings={"budget": 512},
    )
    live.receive(messages)
    live.settle(1000)
    page = live.page
    assert page.locator(".lc-words-body span[data-t]").count() < 2500
    assert page.text_content(".lc-words-body") == "".join(run.strings[:8192])
    assert page.evaluate("(b => b.scrollTop + b.clientHeight > b.scrollHeight - 24)(I.words.body)")
    page.evaluate("I.view.lock({token: 4000, layer: 3})")
    live.settle(1000)
    assert page.get_attribute(".lc-marked", "data-t") == "4000"
    assert page.text_content(".lc-words-body") == "".join(run.strings[:8192])


def test_a_word_that_is_let_go_leaves_the_text_where_it_was_looked_at(live):
    _, messages = made(prompt=2000, new=50, chunk=256, settings={"budget": 256})
    live.receive(messages)
    live.settle(1000)
    top = "I.words.body.scrollTop"
    live.page.evaluate(f"{top} = 300")
    live.settle()
    seen = "Number(I.words.body.querySelector('span[data-t]').dataset.t)"
    live.page.evaluate(f"I.view.lock({{token: {seen}, layer: 1}})")
    live.settle(1000)
    looked = live.page.evaluate(top)
    live.page.evaluate("I.view.lock(null)")
    live.settle(1000)
    assert live.page.evaluate(top) == looked < 1000
    live.page.evaluate("I.view.setClock(20)")
    live.settle(1000)
    live.page.evaluate("I.view.follow()")  # who wants the newest gets it
    live.settle(1000)
    assert live.page.evaluate(
        "(b => b.scrollTop + b.clientHeight > b.scrollHeight - 24)(I.words.body)"
    )


def test_the_model_s_own_words_are_set_apart(live):
    run, messages = made(**RUNS["interleaved"])
    live.receive(messages)
    written = "".join(live.page.locator(".lc-written").all_text_contents())
    assert written == "".join(run.strings[150:270])
    assert live.page.locator(".lc-written-first").count() == 1


def test_nothing_that_is_written_is_interpreted(live):
    evil = [
        "<img src=x onerror=window.__x=1>",
        "<script>window.__x=1</script>",
        "${window.__x=1}",
        "{{constructor}}",
        "\u202e\x00",
    ]
    tokens = (words(60) + evil) * 5
    run = SyntheticRun(prompt=150, new=80, tokens=tokens, settings={"budget": 80})
    messages = list(run.messages())
    messages[-1]["state"] = {"name": "failed", "message": evil[0]}
    live.receive(messages)
    for token in range(125, 130):
        live.page.evaluate("(t) => I.view.lock({ token: t, layer: 1 })", token)
        live.settle(60)
    live.page.evaluate("I.view.lock({ token: 125, layer: 1 })")
    live.settle(1000)
    assert live.page.evaluate("window.__x") is None
    assert live.page.locator("img, .lc script").count() == 0
    assert evil[0] in live.page.inner_text(".lc-words-body")
    assert evil[0] in live.page.inner_text(".lc-readout")
    assert evil[0] in live.page.inner_text(".lc-message")
    assert evil[0] in live.page.text_content(".lc-readout [aria-live]")


def test_nothing_piles_up_over_a_thousand_updates(live):
    run, messages = made(
        prompt=1800, new=1200, chunk=256, steps_per_message=1, settings={"budget": 256}
    )
    session = live.page.context.new_cdp_session(live.page)

    def heap() -> float:
        session.send("HeapProfiler.collectGarbage")
        return session.send("Runtime.getHeapUsage")["usedSize"]

    feed = """async (messages) => { for (const m of messages) {
      I.receive(m); await new Promise(requestAnimationFrame); } }"""
    live.page.evaluate(feed, messages[:300])
    before = heap()
    live.page.evaluate(feed, messages[300:])
    after = heap()
    assert live.stats["tokens"] == 3000
    assert after < 1.6 * before
    assert live.page.evaluate("document.querySelectorAll('.lc *').length") < 4000
