"""Runs without a model: the real policies and the real feed, over made-up tokens and attention.

What comes out is exactly what the page would be sent, so the live map can be tried with any length
and configuration in milliseconds a step.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import cycle, islice

import numpy as np

from app.feed import Message, RunFeed, RunInfo
from app.samples import samples
from lacache_core.policies import Arrival, make_policy
from lacache_core.settings import RunSettings
from lacache_core.trace import StepEvent, Trace
from lacache_core.trace_builder import TraceBuilder

_BYTES_PER_ENTRY_AND_LAYER = 2 * 3 * 64 * 4  # keys and values of three heads of 64, in fp32


def words(count: int) -> list[str]:
    """So many tokens that look like a text: words with the space before them, and punctuation."""
    text = "\n\n".join(sample.text for sample in samples()[:2])
    return list(islice(cycle(re.findall(r"\n+|\s?[A-Za-z]{1,7}|\s?[^\sA-Za-z]", text)), count))


@dataclass
class SyntheticRun:
    """One run: ``messages()`` makes it, and then ``trace`` tells what happened.

    Parameters
    ----------
    prompt, new
        Tokens of the given text, and of what follows one at a time.
    chunk
        Tokens per step of the given text.
    heads
        Key-value heads of a layer, which policies that decide by attention may tell apart.
    steps_per_message
        How many steps the feed puts into one message.
    tokens
        What the tokens read as; made up when None.
    observe
        Whether there is attention.
    settings
        Fields of ``RunSettings`` other than the defaults.
    """

    prompt: int = 120
    new: int = 180
    chunk: int = 64
    layers: int = 30
    heads: int = 3
    steps_per_message: int = 1
    tokens: list[str] | None = None
    observe: bool = True
    run: str = "synthetic"
    reason: str = "length"
    settings: dict[str, object] = field(default_factory=dict)
    trace: Trace | None = None

    def events(self) -> Iterator[StepEvent]:
        """The events of the run, as an engine would tell them."""
        rng = np.random.default_rng(7)
        planner, total = self._planner(), self.prompt + self.new
        patterns = planner.num_patterns
        rows = np.empty((patterns, 0), dtype=np.int32)
        cursor, seen, step = planner.cursor, 0, 0
        while seen < total:
            arriving = min(self.chunk, self.prompt - seen) if seen < self.prompt else 1
            joining = np.arange(seen, seen + arriving, dtype=np.int32)
            rows = np.concatenate([rows, np.tile(joining, (patterns, 1))], axis=1)
            per_row = planner.row_of_layer.shape if planner.per_head else (self.layers,)
            mass = _attention(rng, math.prod(per_row), rows.shape[1]).reshape(*per_row, -1)
            held = rows.shape[1] - arriving
            arrival = Arrival(
                held=held,
                arriving=arriving,
                seen=seen,
                cursor=cursor,
                prompt=self.prompt,
                mass=mass.reshape(self.layers, -1, rows.shape[1]),
            )
            plan = planner.plan(arrival)
            dropped = np.empty((patterns, 0), dtype=np.int32)
            if plan is not None:
                dropped, rows, cursor = plan.dropped(rows), plan.apply(rows), plan.cursor
            nll = rng.gamma(1.5, 1.6, arriving).astype(np.float32)
            if seen < self.prompt:
                nll[:] = np.nan
            seen += arriving
            yield StepEvent(
                step=step,
                phase="prefill" if seen <= self.prompt else "decode",
                token_ids=joining % 49152,
                nll=nll,
                seen=seen,
                held=rows.shape[1],
                dropped=dropped,
                groups=() if plan is None else plan.groups,
                mass=mass if self.observe else None,
                next_token=0 if seen >= self.prompt else None,
                text=self.strings[seen] if self.prompt <= seen < total else "",
                seconds=0.02,
            )
            step += 1

    def messages(self) -> Iterator[Message]:
        """What the page is sent."""
        planner = self._planner()
        settings = RunSettings.validate_values(
            {"prompt": "synthetic", "max_new_tokens": max(1, self.new + 1), **self.settings}
        )
        per_entry = _BYTES_PER_ENTRY_AND_LAYER * self.layers
        info = RunInfo(
            row_of_layer=planner.row_of_layer,
            capacity=planner.capacity,
            reserve=planner.reserve,
            bytes_per_entry=per_entry,
            full_bytes_per_entry=per_entry,
            prompt_tokens=self.prompt,
        )
        label = make_policy(settings.policy, **settings.model_dump()).label
        self.feed = RunFeed(self.run, settings, info, label, self._strings_of, 0.0)
        builder, told = TraceBuilder(planner.row_of_layer), 0
        for event in self.events():
            self.feed.add(event)
            builder.add(event)
            self.trace = builder.build() if event.seen == self.prompt + self.new else None
            if event.step == 0 or event.step % self.steps_per_message == 0:
                yield self.feed.message()
                told = event.step
        if told != event.step:
            yield self.feed.message()
        yield self.feed.message("done", "Done.", self.reason)

    @property
    def strings(self) -> list[str]:
        if self.tokens is None:
            self.tokens = words(self.prompt + self.new + 1)
        return self.tokens

    def _strings_of(self, ids: list[int]) -> list[str]:
        return [self.strings[i] for i in ids]

    def _planner(self):
        settings = RunSettings.validate_values({"prompt": "synthetic", **self.settings})
        return make_policy(settings.policy, **settings.model_dump()).bind(self.layers, self.heads)


def _attention(rng: np.random.Generator, layers: int, entries: int) -> np.ndarray:
    """Mass as models spread it: much on the first entry, some on the newest, little between."""
    age = np.arange(entries)[::-1]
    depth = np.linspace(0, 1, layers)[:, None]
    mass = rng.gamma(0.35, 1.0, (layers, entries)) * (0.02 + np.exp(-age / (6 + 40 * depth)))
    mass[:, 0] += mass.sum(axis=1) * (0.3 + 1.5 * depth[:, 0])
    return (mass / mass.sum(axis=1, keepdims=True)).astype(np.float32)


RUNS = {
    "interleaved": dict(prompt=150, new=120, settings={"budget": 96, "span": 15}),
    "overlapping": dict(prompt=90, new=240, settings={"budget": 80, "span": 8, "overlap": 4}),
    "staircase": dict(
        prompt=200, new=60, settings={"budget": 90, "span": 9, "arrangement": "staircase"}
    ),
    "slack": dict(prompt=64, new=150, settings={"budget": 120, "span": 15, "slack": 20}),
    "window": dict(prompt=130, new=60, settings={"policy": "streaming_llm", "budget": 64}),
    "full": dict(prompt=100, new=20, settings={"policy": "full"}),
}
"""Small runs of every kind."""

BY_HEAD = {
    "h2o": dict(prompt=90, new=120, chunk=40, settings={"policy": "h2o", "budget": 64}),
    "snapkv": dict(prompt=150, new=60, settings={"policy": "snapkv", "budget": 80, "window": 16}),
}
"""Small runs in which the heads of a layer hold different tokens."""


def made(**options):
    """A run and all its messages."""
    run = SyntheticRun(**options)
    return run, list(run.messages())
