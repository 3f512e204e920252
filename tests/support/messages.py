"""Messages of a real run of a tiny model, for tests of both ends of the feed."""

from __future__ import annotations

from tiny import random_ids, tiny_model

from app.feed import RunFeed, RunInfo
from lacache_core.engine import Engine
from lacache_core.ladder import LadderConfig
from lacache_core.settings import RunSettings

CONFIG = LadderConfig(budget=24, span=3, overlap=1, num_sink=2)


def info_of(engine: Engine, prompt_tokens: int) -> RunInfo:
    return RunInfo(
        row_of_layer=engine.planner.row_of_layer,
        capacity=engine.planner.capacity,
        reserve=engine.planner.reserve,
        bytes_per_entry=engine.cache.bytes_per_entry,
        full_bytes_per_entry=engine.cache.plain_bytes_per_entry,
        prompt_tokens=prompt_tokens,
    )


def numbered(ids):
    return [f"<{i}>" for i in ids]


def messages(policy=CONFIG, batch=3, tokens=60, strings=numbered, new=30, run="run-1"):
    """Messages, the feed that made them, and the engine that ran."""
    engine = Engine(tiny_model(), None, policy, chunk=16, observe_every=1)
    settings = RunSettings.validate_values(
        {
            "budget": getattr(policy, "budget", 256),
            "num_sink": getattr(policy, "num_sink", 4),
            "max_new_tokens": new,
        }
    )
    out, feed = [], None
    for n, event in enumerate(engine.generate(random_ids(tokens)[0].tolist(), max_new_tokens=new)):
        if feed is None:
            info = info_of(engine, tokens)
            feed = RunFeed(run, settings, info, "LaCache", strings, started=0.0)
        feed.add(event)
        if n % batch == 0:
            out.append(feed.message())
    out.append(feed.message("done", "Done."))
    return out, feed, engine
