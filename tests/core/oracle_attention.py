"""Slow, plain statements of the published rules that decide by attention.

Nothing here uses the code under test: transformers' eager attention gives the weights, the rules
run on Python lists per layer and head, keys are kept unrotated in float64 and turned afresh.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from oracle import turn
from transformers import Cache
from transformers.cache_utils import DynamicLayer


class SlowHeads(Cache):
    """Keeps of every layer and head what it is told to; keys arrive at absolute positions."""

    def __init__(self, layers, inv_freq):
        super().__init__(layer_class_to_replicate=DynamicLayer)
        self.inv_freq, self.count = inv_freq, 0
        self.unturned, self.seen_values = [None] * layers, [None] * layers
        self.text = None  # [layer][head] lists of text positions

    def update(self, key_states, value_states, layer_idx, *args, **kwargs):
        arriving = key_states.shape[-2]
        key = turn(key_states, -torch.arange(self.count, self.count + arriving), self.inv_freq)
        if self.unturned[layer_idx] is not None:
            key = torch.cat([self.unturned[layer_idx], key], dim=-2)
            value_states = torch.cat([self.seen_values[layer_idx], value_states], dim=-2)
        self.unturned[layer_idx], self.seen_values[layer_idx] = key, value_states
        total = key.shape[-2]
        here = torch.arange(total) + self.count + arriving - total
        return turn(key, here, self.inv_freq).to(key_states.dtype), value_states

    def end_step(self, arriving, keep):
        """``keep[layer][head]``: the entries to keep, arrived ones included."""
        new = list(range(self.count, self.count + arriving))
        self.text = self.text or [[[] for _ in heads] for heads in keep]
        for layer, heads in enumerate(keep):
            index = torch.tensor(heads)[None, :, :, None]
            for held in (self.unturned, self.seen_values):
                part = held[layer]
                held[layer] = part.gather(2, index.expand(-1, -1, -1, part.shape[-1]))
            for head, entries in enumerate(heads):
                row = self.text[layer][head] + new
                self.text[layer][head] = [row[j] for j in entries]
        self.count += arriving

    def get_seq_length(self, layer_idx=0):
        return self.count

    def get_mask_sizes(self, query_length, layer_idx=0):
        held = 0 if self.unturned[0] is None else self.unturned[0].shape[-2]
        return held + query_length, self.count - held


@torch.no_grad()
def slow_run(model, rule, ids, chunks):
    """Logits of every token and what is held at the end; the model must run eager attention."""
    layers = model.config.num_hidden_layers
    cache = SlowHeads(layers, model.model.rotary_emb.inv_freq)
    out, first = [], 0
    for size in chunks:
        part = ids[:, first : first + size]
        found = model(part, past_key_values=cache, output_attentions=True)
        out.append(found.logits)
        first += size
        keep = [rule.keep(layer, found.attentions[layer][0]) for layer in range(layers)]
        cache.end_step(size, keep)
    return torch.cat(out, dim=1), cache.text


def best(scores, places, count):
    """The ``count`` of ``places`` with the greatest score, ascending.

    Max pooling makes equals, and ``topk`` in the published code leaves open which of them stay;
    here the newer do.
    """
    return sorted(sorted(places, key=lambda j: (-scores[j], -j))[:count])


class SlowH2O:
    """Scores add up over all queries; the best of the older entries and the recent ones stay."""

    def __init__(self, budget, recent, kv_heads):
        self.budget, self.recent, self.kv_heads, self.scores = budget, recent, kv_heads, {}

    def keep(self, layer, weights):  # [query heads, queries, entries]
        group = weights.shape[0] // self.kv_heads
        return [
            self.keep_of_head((layer, h), weights[h * group : (h + 1) * group])
            for h in range(self.kv_heads)
        ]

    def keep_of_head(self, head, weights):
        length = weights.shape[-1]
        scores = self.scores.get(head, [])
        scores = scores + [0.0] * (length - len(scores))
        for query in weights.double().mean(dim=0):
            scores = [a + b for a, b in zip(scores, query.tolist(), strict=True)]
        entries = list(range(length))
        if length > self.budget:
            older, newest = entries[: -self.recent], entries[-self.recent :]
            entries = best(scores, older, self.budget - self.recent) + newest
        self.scores[head] = [scores[j] for j in entries]
        return entries


class SlowTOVA:
    """The last query's weights, mean over heads; the newest token stays."""

    def __init__(self, budget, kv_heads):
        self.budget, self.kv_heads = budget, kv_heads

    def keep(self, layer, weights):
        length = weights.shape[-1]
        entries = list(range(length))
        if length > self.budget:
            scores = weights[:, -1].double().mean(dim=0).tolist()
            entries = [*best(scores, entries[:-1], self.budget - 1), length - 1]
        return [entries] * self.kv_heads


class SlowSnapKV:
    """The prompt is compressed once, by the pooled weights of its last ``window`` queries."""

    def __init__(self, budget, window, kernel, pooling, kv_heads, prompt):
        self.budget, self.window, self.kernel, self.kv_heads = budget, window, kernel, kv_heads
        self.pool = {"avg": F.avg_pool1d, "max": F.max_pool1d}[pooling]
        self.prompt = max(prompt, budget + 1)
        self.rows = {}  # layer -> weights of every query so far, [query heads, entries] each

    def keep(self, layer, weights):
        length, chosen = weights.shape[-1], self.budget - self.window
        rows = self.rows.setdefault(layer, [])
        if len(rows) >= self.prompt:  # compressed already: the window slides
            kept = [*range(chosen), *range(length - self.window, length)]
            return [kept] * self.kv_heads
        rows += [weights[:, q].double() for q in range(weights.shape[1])]
        if len(rows) < self.prompt:
            return [list(range(length))] * self.kv_heads
        assert length == len(rows) == self.prompt
        before = length - self.window
        seen = [F.pad(row, (0, length - row.shape[-1]))[:, :before] for row in rows[before:]]
        summed = torch.stack(seen).sum(dim=0)  # [query heads, before]
        summed = summed.view(self.kv_heads, -1, before).mean(dim=1)
        pooled = self.pool(summed, self.kernel, padding=self.kernel // 2, stride=1)
        newest = list(range(before, length))
        return [best(scores, range(before), chosen) + newest for scores in pooled.tolist()]
