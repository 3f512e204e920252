"""The live map alone on an empty page, and what tests do with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_MOUNT = """async () => {
  const css = document.createElement('link');
  css.rel = 'stylesheet'; css.href = '/css/instrument.css';
  document.head.append(css);
  await new Promise((done) => { css.onload = done; });
  document.body.style.fontFamily = 'sans-serif';
  const { mount } = await import('/js/instrument.js');
  window.asked = [];
  window.answer = async () => null;
  window.I = mount(document.getElementById('root'), {
    onGap: (run) => { window.asked.push(run); return window.answer(run); },
  });
}"""


@dataclass
class LiveMap:
    """A page with the live map in it."""

    page: Any
    watched: Any

    @classmethod
    def open(cls, open_page: Any, url: str, width: int = 1200, height: int = 900, **options: Any):
        """By the fixtures ``open_page`` and ``assets_url``."""
        watched = open_page(url, width, height, **options)
        watched.page.evaluate(_MOUNT)
        return cls(watched.page, watched)

    def receive(self, messages: list[dict[str, Any]]) -> None:
        """Hand messages over, and let everything be drawn."""
        self.page.evaluate("m => m.forEach((x) => I.receive(x))", messages)
        self.settle()

    def settle(self, milliseconds: int = 220) -> None:
        self.page.wait_for_timeout(milliseconds)

    def settle_closeup(self) -> None:
        """Wait until the compaction that is spoken of is the one that is shown close up."""
        self.page.wait_for_function("I.closeup.shown === `${I.store.run}/${I.view.compaction}`")
        self.settle(60)

    @property
    def stats(self) -> dict[str, Any]:
        return self.page.evaluate("I.stats")

    def canvas_point(self, token: float, layer: float = 0.5) -> tuple[float, float]:
        """Where on the page a token's column crosses a layer's row."""
        x, y = self.page.evaluate(
            """([token, layer]) => {
              const box = I.canvas.getBoundingClientRect();
              const plot = I.map.plot;
              return [box.x + I.map.xOf(token), box.y + plot.y + layer * plot.row];
            }""",
            [token, layer],
        )
        return x, y

    def check(self) -> None:
        """Fail when anything went wrong on the page, or it asked for anything from outside."""
        # Chromium's advice on reading pixels back concerns the tests that do so.
        problems = [p for p in self.watched.problems if "willReadFrequently" not in p]
        assert not problems, problems
        assert not self.watched.outside()
