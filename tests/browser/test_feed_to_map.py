"""From engine to pixels' meaning: a real run of a tiny model through the feed into Chromium."""

from __future__ import annotations

import numpy as np
import pytest
from messages import messages

from app.feed import as_text
from lacache_core.ladder import LadderConfig
from lacache_core.policies import H2O, TOVA, Full, SnapKV, StreamingLLM

pytestmark = pytest.mark.browser

MOUNT = """async () => {
  const { mount } = await import('/js/instrument.js');
  const css = document.createElement('link');
  css.rel = 'stylesheet'; css.href = '/css/instrument.css';
  document.head.append(css);
  await new Promise((done) => { css.onload = done; });
  window.instrument = mount(document.getElementById('root'));
}"""
FRAME = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


@pytest.fixture
def instrument(open_page, assets_url):
    """A mounted instrument; ``give`` feeds it one message or several."""
    watched = open_page(assets_url)
    page = watched.page
    page.evaluate(MOUNT)

    def give(*found):
        for message in found:
            page.evaluate("(text) => window.instrument.receive(JSON.parse(text))", as_text(message))
        page.evaluate(FRAME)

    page.give = give
    yield page
    assert watched.problems == []
    assert watched.outside() == []


def ask(page, expression):
    return page.evaluate(
        f"() => {{ const i = window.instrument, s = i.store; return {expression}; }}"
    )


HELD_AT = """(steps) => {
  const s = window.instrument.store;
  return steps.map((step) => Array.from({ length: s.layers }, (_, layer) =>
    Array.from({ length: s.length }, (_, t) => s.held(s.rowOfLayer[layer], t, step) ? 1 : 0)));
}"""


@pytest.mark.parametrize("batch", [1, 7])
@pytest.mark.parametrize(
    "policy",
    [LadderConfig(24, 3, 1, 2), StreamingLLM(24, 3), Full(), TOVA(24), H2O(24), SnapKV(24, 8)],
    ids=lambda p: str(p)[:12],
)
def test_the_browser_knows_what_was_held_at_every_step(instrument, policy, batch):
    found, feed, engine = messages(policy, batch)
    instrument.give(*found)
    trace = engine.trace()
    steps = [0, 1, 2, 3, 4, 9, 17, trace.num_steps - 1]
    for step, held in zip(steps, instrument.evaluate(HELD_AT, steps), strict=True):
        assert (np.array(held, bool) == trace.held_at(step)).all()
    last = trace.num_steps - 1
    summary = ask(instrument, f"s.summary({last})")
    figures = found[-1]["figures"]
    assert {k: summary[k] for k in ("seen", "held", "union")} == {
        k: figures[k] for k in ("seen", "held", "union")
    }
    listed = ask(instrument, "[...s.compactions].map((c) => [c.step, c.seen, c.start, c.cursor])")
    assert listed == trace.compactions[:, [0, 1, 2, 5]].tolist()
    # A snapshot alone tells the same.
    instrument.give({**feed.snapshot(), "run": "again"})
    for step, held in zip(steps, instrument.evaluate(HELD_AT, steps), strict=True):
        assert (np.array(held, bool) == trace.held_at(step)).all()
    assert (
        ask(instrument, "[...s.compactions].map((c) => [c.step, c.seen, c.start, c.cursor])")
        == listed
    )


def test_attention_lands_on_the_tokens_that_were_attended(instrument):
    found, _, engine = messages(batch=1)
    instrument.give(*found)
    trace = engine.trace()
    step = trace.num_steps - 5
    before = trace.positions_at(step - 1)
    for layer in range(6):
        positions = [*before[layer].tolist(), *np.nonzero(trace.joined_at == step)[0].tolist()]
        shares = instrument.evaluate(
            """([layer, step, tokens]) => { const s = window.instrument.store;
            const f = s.frame(step);
            return [f.step, ...tokens.map((t) => s.share(f, layer, t))]; }""",
            [layer, step, positions],
        )
        assert shares[0] == step
        exact = trace.frames[step].mass[layer].astype(float)
        assert np.allclose(shares[1:], exact, rtol=0.08, atol=2e-4)


def test_states_differ_by_lightness(instrument):
    """In light and dark: nobody needs to tell hues apart."""
    for theme in ("light", "dark"):
        instrument.evaluate(f"() => document.body.className = '{theme}'")
        instrument.wait_for_timeout(100)
        palette = ask(instrument, "i.map.palette")

        def lightness(rgb):
            share = np.array(rgb) / 255
            linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
            y = float(np.dot([0.2126, 0.7152, 0.0722], linear))
            return 116 * y ** (1 / 3) - 16

        values = sorted(lightness(palette[n]) for n in ("dropped", "held", "reserve", "sink"))
        assert min(np.diff(values)) > 12, (theme, values)
