"""What an engine may be given, checked before anything runs.

Knows a model's limits and a policy's needs; knows nothing of how a text is run.
"""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lacache_core.cache import LadderCache
from lacache_core.errors import InvalidSettingError
from lacache_core.plan import IntArray
from lacache_core.policies import Planner
from lacache_core.text import encode


def check_positions(cache: LadderCache, chunk: int, max_positions: int) -> None:
    """What is held and a chunk must fit into the model's positions.

    Raises
    ------
    InvalidSettingError
        Naming the budget.
    """
    capacity = cache.planner.capacity
    if capacity is not None and capacity + chunk > max_positions:
        raise InvalidSettingError(
            "budget",
            getattr(cache.policy, "budget", capacity),
            f"small enough that entries held ({capacity}) and the `chunk` ({chunk}) stay "
            f"within the model's {max_positions} positions",
        )


def check_room(planner: Planner, tokens: int, max_positions: int, *, prompt: bool = False) -> None:
    """A text that is held whole must fit into the model's positions.

    Parameters
    ----------
    prompt
        The text is a prompt, which some policies hold whole before they drop of it.

    Raises
    ------
    InvalidSettingError
        Naming the prompt.
    """
    whole = prompt and planner.holds_prompt
    if (planner.capacity is None or whole) and tokens > max_positions:
        kind = "that holds the prompt whole" if whole else "without a budget"
        raise InvalidSettingError(
            "prompt",
            f"{tokens:,} tokens",
            f"at most {max_positions:,} tokens under a policy {kind}: the model has no "
            "more positions (every other policy with a budget takes any length)",
        )


def known_ids(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase | None,
    text: str | Sequence[int],
    *,
    chat: bool = False,
) -> IntArray:
    """Token ids of a text, all of them known to the model.

    Raises
    ------
    InvalidSettingError
        Naming the prompt, when it is empty or has an id that the model does not know.
    """
    ids = encode(tokenizer, text, chat=chat)
    known = int(model.config.get_text_config().vocab_size)
    if int(ids.max()) >= known:
        raise InvalidSettingError(
            "prompt", int(ids.max()), f"token ids from 0 to {known - 1}, which the model knows"
        )
    return ids
