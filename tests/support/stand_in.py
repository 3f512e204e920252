"""A tiny random model under the embedded one's name, so that runs take milliseconds."""

from __future__ import annotations

from tiny import tiny_model

from lacache_core import models
from lacache_core.models import LoadedModel


class Tokenizer:
    """One token a word."""

    chat_template = None

    def __call__(self, text, **_):
        return {"input_ids": [sum(map(ord, word)) % 128 for word in text.split()]}

    def batch_decode(self, ids, **_):
        return [f"{i[0]} " for i in ids]

    def decode(self, ids, **_):
        return "".join(f"{i} " for i in ids)


def stand_in(monkeypatch) -> LoadedModel:
    """Until the test ends, the embedded model is a random one of 30 thin layers."""
    model = tiny_model(num_hidden_layers=30, hidden_size=24, head_dim=8, intermediate_size=16)
    loaded = LoadedModel("smollm2-135m", model, Tokenizer(), "test")
    monkeypatch.setattr(models, "_loaded", {("smollm2-135m", "None", "cpu"): loaded})
    return loaded
