"""Choosing the next token and measuring losses, from logits."""

from __future__ import annotations

import torch
from transformers import PreTrainedModel

from lacache_core.errors import InvalidSettingError
from lacache_core.trace import FloatArray

LIKELY = 1024
"""Tokens among which those of ``top_p`` are looked for first: sorting a vocabulary of 49,152 took
2.8 of the 47 ms of a small model's step on a CPU."""


class Chooser:
    """Takes the likeliest token, or samples with a seed of its own.

    Parameters
    ----------
    temperature
        0 takes the likeliest; otherwise logits are divided by it.
    top_p
        Sample among the likeliest tokens that add up to this probability.
    seed
        Equal seeds choose equal tokens from equal logits, on every device.
    """

    def __init__(self, temperature: float, top_p: float, seed: int) -> None:
        if not _is_number(temperature) or not 0 <= temperature < float("inf"):
            raise InvalidSettingError("temperature", temperature, "a number, 0 or more")
        if not _is_number(top_p) or not 0 < top_p <= 1:
            raise InvalidSettingError("top_p", top_p, "a number above 0, up to 1")
        if type(seed) is not int or not 0 <= seed < 2**63:
            raise InvalidSettingError("seed", seed, "a whole number from 0 to 2**63 - 1")
        self._temperature, self._top_p = temperature, top_p
        self._random = torch.Generator().manual_seed(seed)

    def __call__(self, logits: torch.Tensor) -> int:
        """The next token for ``logits[V]``."""
        if self._temperature == 0:
            return int(logits.argmax())
        shares, tokens = nucleus((logits.float() / self._temperature).softmax(-1), self._top_p)
        # Drawn on the CPU, so that a seed means the same on every device.
        drawn = int(torch.multinomial(shares.cpu(), 1, generator=self._random))
        return drawn if tokens is None else int(tokens[drawn])


def nucleus(shares: torch.Tensor, top_p: float) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The likeliest tokens that add up to ``top_p``, as transformers' ``TopPLogitsWarper`` has it.

    Parameters
    ----------
    shares
        ``[V]``, adding up to 1.

    Returns
    -------
    tuple
        Their shares ``[n]``, the largest first, and the tokens ``[n]``; None: all, in order.
    """
    if top_p >= 1:
        return shares, None
    best, tokens = shares.topk(min(LIKELY, len(shares)))
    if float(best.sum()) < top_p:
        best, tokens = shares.sort(descending=True)
    before = best.cumsum(-1) - best  # what those that are likelier add up to
    few = int((before < top_p).sum())
    return best[:few], tokens[:few]


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def losses(logits: torch.Tensor, targets: torch.Tensor) -> FloatArray:
    """Negative log-probability in nats of ``targets[n]`` under ``logits[n, V]``: ``float32[n]``."""
    nll = torch.nn.functional.cross_entropy(logits.float(), targets, reduction="none")
    found: FloatArray = nll.cpu().numpy()
    return found


def stop_tokens(model: PreTrainedModel) -> list[int]:
    """The tokens with which the model itself ends a text."""
    stops = model.generation_config.eos_token_id if model.generation_config else None
    if stops is None:
        return []
    return list(stops) if isinstance(stops, (list, tuple)) else [int(stops)]
