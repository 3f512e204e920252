"""Choosing the next token and measuring losses, from logits."""

from __future__ import annotations

import torch
from transformers import (
    LogitsProcessor,
    PreTrainedModel,
    TemperatureLogitsWarper,
    TopPLogitsWarper,
)

from lacache_core.errors import InvalidSettingError
from lacache_core.trace import FloatArray


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
        self._greedy = temperature == 0
        self._warpers: list[LogitsProcessor] = []
        if not self._greedy:
            self._warpers.append(TemperatureLogitsWarper(temperature))
        if not self._greedy and top_p < 1:
            self._warpers.append(TopPLogitsWarper(top_p))
        self._random = torch.Generator().manual_seed(seed)

    def __call__(self, logits: torch.Tensor) -> int:
        """The next token for ``logits[V]``."""
        if self._greedy:
            return int(logits.argmax())
        scores = logits[None].float()
        for warper in self._warpers:
            scores = warper(torch.empty(0, dtype=torch.long), scores)  # type: ignore[arg-type]
        # Drawn on the CPU, so that a seed means the same on every device.
        share = scores[0].softmax(-1).cpu()
        return int(torch.multinomial(share, 1, generator=self._random))


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
