"""What became of a fact that a run's text says early and asks for at its end.

Told by the run alone: which layers still held the fact when it was asked for, and what the model
wrote then. Knows nothing of how it is shown.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

from lacache_core.manifest import Manifest
from lacache_core.trace import Trace

SHORT = {"lacache": "Ladder", "streaming_llm": "Window", "full": "Everything"}
"""A word for what a policy keeps, for readers who know no policies."""
_LONGEST_ANSWER = 60


def offer(run_id: str, trace: Trace) -> dict[str, Any]:
    """A recording as menu, switch and tour need it before they open it.

    ``text`` is equal for recordings of the same text.
    """
    manifest = Manifest.of(trace)
    given = trace.token_ids[: manifest.prompt_tokens]
    return {
        "id": run_id,
        "label": manifest.title,
        "about": manifest.about,
        "policy": manifest.policy,
        "short": SHORT.get(manifest.policy, manifest.label),
        "text": hashlib.sha256(given.tobytes()).hexdigest()[:16],
        "outcome": outcome(trace, manifest),
    }


def outcome(trace: Trace, manifest: Manifest) -> dict[str, Any] | None:
    """What the run did with its fact; None when it has none, or wrote nothing.

    ``said`` is the fact, ``wrote`` how the model's text begins, ``recalled`` whether the fact's
    last word is in that; ``holders`` the fewest and the most layers that hold a token of the fact
    when it is asked for, of ``layers``.
    """
    given = manifest.prompt_tokens
    if manifest.fact is None or manifest.mode != "generate" or not 0 < given < trace.num_tokens:
        return None
    first, last = manifest.fact
    said = "".join(manifest.tokens[first : last + 1]).strip()
    wrote = _beginning(manifest.text)
    held = trace.held_at(int(trace.joined_at[given - 1]))[:, first : last + 1].sum(axis=0)
    words = re.findall(r"\w+", said.lower())
    return {
        "said": said,
        "wrote": wrote,
        "recalled": bool(words) and words[-1] in re.findall(r"\w+", wrote.lower()),
        "holders": [int(held.min()), int(held.max())],
        "layers": trace.num_layers,
    }


def _beginning(text: str) -> str:
    """Up to the end of the first sentence, or a few words."""
    found = re.match(r"[^.!?\n]+", text.strip())
    sentence = found[0].strip() if found else ""
    if len(sentence) <= _LONGEST_ANSWER:
        return sentence
    return sentence[:_LONGEST_ANSWER].rpartition(" ")[0] + " …"
