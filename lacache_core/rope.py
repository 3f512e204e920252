"""Rotary positions: turning a stored key from one position to another, and which models allow it.

Whether a model fits is measured, not assumed. A single token at position ``p`` attends to itself
only, so in every layer its key is the key it has at position 0, turned by ``p``; two tiny forward
passes therefore show for each layer which dimensions turn and how they are paired (Su et al.,
RoFormer, arXiv 2104.09864), or that it does not turn at all. What two passes cannot show (sliding
windows, frequencies that change with length) is read from the configuration.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal
from weakref import WeakKeyDictionary

import torch
from transformers import Cache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from lacache_core.errors import UnsupportedModelError

STEADY_ROPE_TYPES = ("default", "linear", "llama3", "yarn")
Pairing = Literal["halves", "neighbours"]


@dataclass(frozen=True, eq=False)
class Rotary:
    """How a model turns its keys.

    Attributes
    ----------
    inv_freq
        ``float64[r / 2]``: angle per position of each turned pair; ``r`` dimensions turn.
    pairing
        ``"halves"``: dimension ``i`` pairs with ``i + r / 2``; ``"neighbours"``: ``2i`` with
        ``2i + 1``.
    turned_layers
        ``bool[L]``: False for layers without positions (NoPE).
    """

    inv_freq: torch.Tensor
    pairing: Pairing
    turned_layers: torch.Tensor

    @property
    def num_layers(self) -> int:
        return int(self.turned_layers.shape[0])

    def cos_sin(self, delta: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosine and sine for position differences: ``[...] -> two float32[..., r / 2]``.

        They are where ``delta`` is. The angle is taken in float64: an absolute angle in float32 is
        off by 5e-3 rad at position 131,072. ``attention_scaling`` (YaRN) is on the key already and
        must not come in again.
        """
        if delta.device.type == "cuda":
            angle = delta.to(torch.float64)[..., None] * self.inv_freq.to(delta.device)
            return angle.cos().float(), angle.sin().float()
        # Few differences are distinct, and looking an angle up is far cheaper than a cosine.
        distinct, places = delta.cpu().unique(return_inverse=True)
        angle = distinct.to(torch.float64)[:, None] * self.inv_freq
        cos, sin = angle.cos().float(), angle.sin().float()
        return cos[places].to(delta.device), sin[places].to(delta.device)

    def turn(
        self,
        keys: torch.Tensor,
        cos: torch.Tensor,
        sin: torch.Tensor,
        out: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Turn ``keys[..., n, D]`` by angles that broadcast as ``[..., n, r / 2]``.

        Computed in at least float32. Written to ``out``, which may overlap ``keys``; to a new
        tensor in the dtype of ``keys`` without one.
        """
        half = self.inv_freq.shape[0]
        out = torch.empty_like(keys) if out is None else out
        wide = keys[..., : 2 * half]
        wide = wide if keys.dtype in (torch.float32, torch.float64) else wide.float()
        still = keys[..., 2 * half :].clone() if 2 * half < keys.shape[-1] else None
        if self.pairing == "halves":
            a, b = slice(0, half), slice(half, 2 * half)
        else:
            a, b = slice(0, 2 * half, 2), slice(1, 2 * half, 2)
        first, second = wide[..., a], wide[..., b]
        turned_first = torch.mul(first, cos).addcmul_(second, sin, value=-1)
        turned_second = torch.mul(second, cos).addcmul_(first, sin)
        out[..., a], out[..., b] = turned_first, turned_second
        if still is not None:
            out[..., 2 * half :] = still
        return out


_measured: WeakKeyDictionary[PreTrainedModel, Rotary] = WeakKeyDictionary()


def rotary_of(model: PreTrainedModel) -> Rotary:
    """How ``model`` turns its keys; measured once per model.

    Raises
    ------
    UnsupportedModelError
        When the model's attention or positions do not fit the method; the text says why.
    """
    if model not in _measured:
        check_config(model.config)
        _measured[model] = _measure(model)
    return _measured[model]


def check_config(config: Any) -> None:
    """Refuse what the configuration alone rules out.

    Raises
    ------
    UnsupportedModelError
        Naming the model type and the reason.
    """
    text = config.get_text_config(decoder=True)
    kind = text.model_type

    def refuse(reason: str) -> UnsupportedModelError:
        return UnsupportedModelError(f"Models of type {kind!r} do not fit this cache: {reason}.")

    if getattr(config, "is_encoder_decoder", False):
        raise refuse("it is an encoder-decoder; the method is for decoder-only models")
    if getattr(text, "kv_lora_rank", None):
        raise refuse("multi-head latent attention stores no key per head that could be moved")
    if getattr(text, "alibi", False):
        raise refuse("it uses ALiBi, whose bias is tied to absolute positions")
    layer_types = getattr(text, "layer_types", None)
    if layer_types is None and getattr(text, "sliding_window", None) is not None:
        layer_types = ["sliding_attention"]
    other = sorted({t for t in layer_types or () if t != "full_attention"})
    if other:
        raise refuse(
            f"it has {', '.join(other)} layers; the ladder needs full attention in every layer"
        )
    rope = getattr(text, "rope_parameters", None)
    if not rope and getattr(text, "rotary_dim", None):
        raise refuse(
            "it turns keys by a table of sines and cosines of its own, not by the rotary module "
            "and rope_parameters from which this cache reads the angles"
        )
    if not rope:
        raise refuse(
            "it has no rotary position embedding (learned absolute positions and ALiBi cannot be "
            "moved)"
        )
    if "rope_type" not in rope:
        raise refuse("its rotary frequencies differ between kinds of layers")
    if rope["rope_type"] not in STEADY_ROPE_TYPES:
        raise refuse(
            f"its rotary type {rope['rope_type']!r} changes with the length of the text, so stored "
            f"keys cannot be moved (possible: {', '.join(STEADY_ROPE_TYPES)})"
        )


class _Recorder(Cache):
    """A cache that only shows what it was given."""

    def __init__(self) -> None:
        super().__init__(layer_class_to_replicate=DynamicLayer)

    def keys(self) -> list[torch.Tensor]:
        layers: list[Any] = self.layers
        return [layer.keys[0, :, 0].double() for layer in layers]


def _measure(model: PreTrainedModel) -> Rotary:
    kind = model.config.model_type
    source = next((m for m in model.modules() if hasattr(m, "inv_freq")), None)
    if source is None:
        raise UnsupportedModelError(
            f"Models of type {kind!r} do not fit this cache: no rotary frequencies were found."
        )
    frequencies: torch.Tensor = source.inv_freq  # type: ignore[assignment]
    inv_freq = frequencies.detach().to("cpu", torch.float64)
    position = 3
    still, moved = _keys_at(model, 0), _keys_at(model, position)
    # bf16 keys are good to about 0.4 %; a wrong pairing is off by far more than a tenth.
    tolerance = 1e-3 if model.dtype in (torch.float32, torch.float64) else 3e-2

    def fits(expected: torch.Tensor, got: torch.Tensor) -> bool:
        return bool((expected - got).norm() <= tolerance * got.norm())

    for pairing in ("halves", "neighbours"):
        every = torch.ones(len(still), dtype=torch.bool, device="cpu")
        rotary = Rotary(inv_freq, pairing, every)  # type: ignore[arg-type]
        if 2 * inv_freq.shape[0] > still[0].shape[-1]:
            break
        cos, sin = rotary.cos_sin(torch.tensor([position], device="cpu"))
        turned = [
            fits(rotary.turn(a.cpu(), cos, sin), b.cpu()) for a, b in zip(still, moved, strict=True)
        ]
        fixed = [fits(a, b) for a, b in zip(still, moved, strict=True)]
        if any(turned) and all(t or f for t, f in zip(turned, fixed, strict=True)):
            return Rotary(inv_freq, rotary.pairing, torch.tensor(turned, device="cpu"))
    raise UnsupportedModelError(
        f"Models of type {kind!r} do not fit this cache: their keys do not follow a rotary "
        "position embedding that this cache knows, so it could not move them."
    )


@torch.no_grad()
def _keys_at(model: PreTrainedModel, position: int) -> list[torch.Tensor]:
    """Keys that one token has in every layer when it stands alone at ``position``."""
    recorder = _Recorder()
    # The middle of the vocabulary: an ordinary token, since special ones may have zero embeddings.
    token = torch.tensor([[model.config.get_text_config().vocab_size // 2]], device=model.device)
    where = torch.tensor([[position]], device=model.device)
    model(input_ids=token, position_ids=where, past_key_values=recorder, use_cache=True)
    return recorder.keys()
