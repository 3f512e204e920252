"""Policies: what to keep when the budget is full. One file each; this is their registry.

How to add one: docs/adding-a-policy.md.
"""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any

from lacache_core.errors import InvalidSettingError
from lacache_core.ladder import LadderConfig
from lacache_core.policies.base import Arrival, AttentionNeed, Planner, Policy
from lacache_core.policies.full import Full
from lacache_core.policies.h2o import H2O
from lacache_core.policies.lacache import LaCache
from lacache_core.policies.random import Random
from lacache_core.policies.sliding_window import SlidingWindow
from lacache_core.policies.snapkv import SnapKV
from lacache_core.policies.streaming_llm import StreamingLLM
from lacache_core.policies.tova import TOVA

POLICIES: dict[str, type[Any]] = {
    policy.name: policy
    for policy in (Full, SlidingWindow, StreamingLLM, LaCache, H2O, TOVA, SnapKV, Random)
}

__all__ = [
    "H2O",
    "POLICIES",
    "TOVA",
    "Arrival",
    "AttentionNeed",
    "Full",
    "LaCache",
    "Planner",
    "Policy",
    "Random",
    "SETTINGS",
    "SlidingWindow",
    "SnapKV",
    "StreamingLLM",
    "as_policy",
    "make_policy",
    "policy_settings",
]


def policy_settings(name: str) -> tuple[str, ...]:
    """Names of the settings that a policy has, in order.

    Raises
    ------
    InvalidSettingError
        When there is no such policy.
    """
    if name not in POLICIES:
        raise InvalidSettingError("policy", name, "one of " + ", ".join(POLICIES))
    return tuple(field.name for field in fields(POLICIES[name]))


def make_policy(name: str, **settings: Any) -> Policy:
    """The named policy, given those of ``settings`` that it has; it ignores the others.

    Raises
    ------
    InvalidSettingError
        When there is no such policy, or a value is impossible for it.
    """
    wanted = policy_settings(name)
    for field in fields(POLICIES[name]):
        if field.default is MISSING and field.name not in settings:
            raise InvalidSettingError(field.name, None, f"given: {name} has no default for it")
    policy: Policy = POLICIES[name](**{k: v for k, v in settings.items() if k in wanted})
    return policy


SETTINGS = tuple(
    dict.fromkeys(
        name
        for policy in (LaCache.name, *POLICIES)
        for name in policy_settings(policy)
        if name != "seed"  # which a run has anyway
    )
)
"""The settings that some policy has, those of the ladder first."""


def as_policy(policy: Policy | LadderConfig) -> Policy:
    """A policy as it is; a plain ladder configuration as the ``lacache`` policy.

    Raises
    ------
    InvalidSettingError
        When it is neither: a name, a class that was not called, nothing at all.
    """
    if isinstance(policy, LadderConfig):
        return LaCache.from_config(policy)
    if isinstance(policy, type) or not callable(getattr(policy, "bind", None)):
        raise InvalidSettingError(
            "policy",
            policy,
            "a policy of lacache_core.policies, such as H2O(budget=256), or a LadderConfig",
        )
    return policy
