"""Controls for settings, made from the one schema: label, help, default, range and choices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args, get_origin

import gradio as gr

from lacache_core.models import known_layers
from lacache_core.policies import POLICIES, SETTINGS, policy_settings
from lacache_core.settings import RunSettings, limits

FIELDS = RunSettings.model_fields
MAIN = ("budget", "span", "overlap")
"""Those of them that decide most."""
COARSE = {
    "budget": 1024,
    "num_sink": 128,
    "slack": 128,
    "window": 128,
    "max_new_tokens": 2048,
    "chunk": 256,
    "read_chunk": 256,
}
"""How far a slider goes where the schema goes further than a hand can aim."""
_BEYOND = "The slider ends at {:,}; up to {:,} can be typed."
STEPS = {"temperature": 0.05, "top_p": 0.01, "recent_share": 0.05, "kernel": 2}


def control(name: str, prefix: str = "", **more: Any) -> Any:
    """The control of a setting.

    Parameters
    ----------
    name
        A field of ``RunSettings``.
    prefix
        What its ``elem_id`` begins with, where a page has the control more than once.
    more
        What the component is to be given instead of what the schema says.
    """
    info = FIELDS[name]
    kind = info.annotation
    about = {
        "value": info.default,
        "label": info.title,
        "info": info.description,
        "elem_id": prefix + name,
        "visible": name not in SETTINGS or name in policy_settings(FIELDS["policy"].default),
    }
    if name == "policy":
        choices = [(policy.label, policy_name) for policy_name, policy in POLICIES.items()]
        return gr.Dropdown(choices, **about | more)
    if get_origin(kind) is not None:
        return gr.Radio(**{"choices": list(get_args(kind)), **about, **more})
    if kind is bool:
        return gr.Checkbox(**about | more)
    if kind is str:
        return gr.Textbox(**about | more)
    low, high = limits(name)
    if name == "seed":  # a name for a choice, not an amount
        return gr.Number(minimum=low, maximum=high, precision=0, **about | more)
    least = low or 0
    step = STEPS.get(name, 1)
    ends = {
        "minimum": step if name == "top_p" else least,
        "maximum": _longest(name, high or 1),
        "step": step,
    }
    if name in COARSE and high is not None and high > ends["maximum"]:
        about["info"] = f"{info.description} {_BEYOND.format(ends['maximum'], high)}"
    given = ends | about | more
    given["value"] = min(given["value"], given["maximum"])
    return gr.Slider(**given)


def _longest(name: str, high: float) -> float:
    """Where a slider ends."""
    layers = known_layers(FIELDS["model"].default)
    if name == "span" and layers is not None:
        return layers - 1
    return FIELDS["span"].default - 1 if name == "overlap" else COARSE.get(name, high)


def fitting(values: Mapping[str, Any]) -> dict[str, Any]:
    """Updates of the policy's controls by name: only those that the chosen policy has are shown."""
    policy = values.get("policy")
    known = isinstance(policy, str) and policy in POLICIES
    has = policy_settings(str(policy)) if known else ()
    updates = {name: gr.update(visible=name in has) for name in SETTINGS}
    span = values.get("span")
    if isinstance(span, (int, float)) and span >= 1:
        updates["overlap"] |= {"maximum": max(1, int(span) - 1)}
    return updates


def policy_info(policy: Any) -> str:
    """What the chosen policy keeps; what policies are for, where none is known."""
    known = isinstance(policy, str) and policy in POLICIES
    return str(POLICIES[policy].about if known else FIELDS["policy"].description)


def restored(components: Mapping[Any, Any], found: Mapping[Any, Any]) -> list[Any]:
    """Updates that set controls to the values of a link, which may go further than a slider."""
    updates = []
    for name, component in components.items():
        if name not in found:
            updates.append(gr.skip())
        elif isinstance(component, gr.Slider):
            value = found[name]
            low, high = min(component.minimum, value), max(component.maximum, value)
            updates.append(gr.update(value=value, minimum=low, maximum=high))
        else:
            updates.append(gr.update(value=found[name]))
    return updates
