"""Who competes: policies, budgets, settings, from loose values to policies that can run.

Works on the registry and the one schema of settings, so a policy that joins them competes too.
Knows nothing of what is measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import Any

from lacache_core.errors import InvalidSettingError
from lacache_core.policies import POLICIES, Policy, make_policy, policy_settings
from lacache_core.settings import RunSettings, allowed

FRACTION = "a whole number of entries, or a share of the text's length above 0 and up to 1"


@dataclass(frozen=True)
class Contender:
    """A policy and a budget that may be a share of the text's length.

    Attributes
    ----------
    policy
        Name in the registry.
    budget
        Entries per layer (int), or a share of the text's length (float); None: the policy has none.
    settings
        Further settings of the policy; the schema's defaults for those that are not named.
    """

    policy: str
    budget: int | float | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The policy in words, as far as they can be told before its budget is known."""
        return _in_words(POLICIES[self.policy], self.settings)

    def entries(self, length: int) -> int | None:
        """The budget for a text of ``length`` tokens, as the published code counts a share."""
        return int(self.budget * length) if isinstance(self.budget, float) else self.budget

    def at(self, length: int) -> Policy:
        """The policy for a text of ``length`` tokens.

        Raises
        ------
        InvalidSettingError
            When a setting is impossible; what depends on the model is found when it is bound.
        """
        values = {**self.settings, "policy": self.policy}
        if self.budget is not None:
            values["budget"] = self.entries(length)
        chosen = RunSettings.validate_values(values)
        return make_policy(self.policy, **{n: getattr(chosen, n) for n in _known(self.policy)})


def _known(policy: str) -> list[str]:
    return [name for name in policy_settings(policy) if name in RunSettings.model_fields]


def contenders(
    policies: Sequence[str],
    budgets: Sequence[int | float] = (),
    settings: Mapping[str, Any] | None = None,
) -> list[Contender]:
    """Every policy with every budget; a policy without a budget once.

    Parameters
    ----------
    policies
        Names, each with settings of its own if wanted: ``"lacache:span=8,overlap=4"``.
    budgets
        Whole numbers are entries per layer; fractions are shares of the text's length. None given:
        the schema's default.
    settings
        For all policies that have them.

    Raises
    ------
    InvalidSettingError
        Naming the first value that is wrong.
    """
    if not policies:
        raise InvalidSettingError("policy", "", "given at least once")
    sizes = [as_budget(b) for b in budgets] or [RunSettings.model_fields["budget"].default]
    found: list[Contender] = []
    for text in policies:
        name, own = parse_policy(text)
        known = _known(name)
        values = {k: v for k, v in {**(settings or {}), **own}.items() if k in known}
        given = values.pop("budget", None)
        mine: list[Any] = [None]
        if "budget" in known:
            mine = sizes if given is None else [as_budget(given)]
        for budget in mine:
            one = Contender(name, budget, values)
            # A share cannot be checked before the length is known; everything else can.
            (one if isinstance(budget, int) else Contender(name, None, values)).at(0)
            if one not in found:
                found.append(one)
    return found


def as_budget(value: object) -> int | float:
    """A budget as it is meant: 256 or 256.0 entries, 0.5 of the text's length.

    Raises
    ------
    InvalidSettingError
        When it is neither.
    """
    if isinstance(value, float) and 0 < value <= 1:
        return value
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return value
    if isinstance(value, float) and value >= 1 and value.is_integer():
        return int(value)
    raise InvalidSettingError("budget", value, FRACTION)


def parse_policy(text: str) -> tuple[str, dict[str, Any]]:
    """``"lacache:span=8,overlap=4"`` to ``("lacache", {"span": 8, "overlap": 4})``.

    Raises
    ------
    InvalidSettingError
        When the policy or one of the settings is unknown to it, or not written like that.
    """
    name, _, rest = text.strip().partition(":")
    known = policy_settings(name)
    own: dict[str, Any] = {}
    for part in filter(None, (p.strip() for p in rest.split(","))):
        setting, equals, value = (x.strip() for x in part.partition("="))
        if not equals or setting not in known or setting not in RunSettings.model_fields:
            names = ", ".join(_known(name)) or "none: this policy has no settings"
            raise InvalidSettingError(
                "policy", text, f"{name}, or {name}:setting=value,... with settings of {names}"
            )
        own[setting] = _value(setting, value)
    return name, own


def _value(setting: str, text: str) -> Any:
    kind = RunSettings.model_fields[setting].annotation
    try:
        if setting == "budget":
            return parse_budget(text)
        if kind in (int, float):
            return kind(text)
    except ValueError:
        raise InvalidSettingError(setting, text, allowed(setting)) from None
    if kind is bool and text.lower() in ("true", "false"):
        return text.lower() == "true"
    return text


def parse_budget(text: str) -> int | float:
    """A budget as it is typed: "256" entries, "0.5" or "50%" of the text's length."""
    try:
        if text.endswith("%"):
            return as_budget(float(text[:-1]) / 100)
        return as_budget(float(text) if "." in text else int(text))
    except ValueError:
        raise InvalidSettingError("budget", text, FRACTION) from None


def describe(policy: Policy) -> str:
    """A policy in words: its label, and what of its settings is not the policy's own default."""
    mine: Any = policy
    return _in_words(type(mine), asdict(mine))


def _in_words(policy: Any, values: Mapping[str, Any]) -> str:
    """The label of a policy's class, and those of the values that are not its default."""
    said = [policy.label]
    for item in fields(policy):
        if item.name == "budget" or item.name not in values:
            continue
        value = values[item.name]
        if item.default is MISSING or value != item.default:
            said.append(str(value) if isinstance(value, str) else f"{item.name} {value}")
    return ", ".join(said)
