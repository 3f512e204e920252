"""Who competes, to be chosen: policies, budgets, and variants with settings of their own."""

from __future__ import annotations

import html
from typing import Any

import gradio as gr

from app.components.controls import control, fitting
from app.evaluation.requests import TITLES, variant
from app.preview import in_page_words
from lacache_core.errors import LaCacheError
from lacache_core.policies import POLICIES, SETTINGS

_BUDGETS = ["64", "128", "256", "512", "25%", "50%"]
_SUGGESTED = ["lacache:span=8,overlap=4", "lacache:arrangement=staircase"]
_OWN = tuple(name for name in SETTINGS if name != "budget")
"""Settings that a variant may have; budgets are chosen for all."""


def choose_contenders(prefix: str, policies: list[str], budgets: list[str]) -> dict[str, Any]:
    """The controls ``policies``, ``budgets`` and ``variants``.

    Parameters
    ----------
    prefix
        What each ``elem_id`` begins with.
    policies, budgets
        What is chosen at first.
    """
    lists: dict[str, Any] = {"multiselect": True, "allow_custom_value": True}
    chosen = gr.CheckboxGroup(
        [(policy.label, name) for name, policy in POLICIES.items()],
        value=policies,
        label=TITLES["policies"],
        elem_id=f"{prefix}-policies",
    )
    sizes = gr.Dropdown(
        _BUDGETS,
        value=budgets,
        label=TITLES["budgets"],
        info="Entries per layer, or a share of the text's length. Every policy runs with each.",
        elem_id=f"{prefix}-budgets",
        **lists,
    )
    variants = gr.Dropdown(
        _SUGGESTED,
        value=[],
        label=TITLES["variants"],
        info="Policies with settings of their own.",
        elem_id=f"{prefix}-variants",
        **lists,
    )
    with gr.Accordion("Build a variant", open=False, elem_classes="lx-variant"):
        ident = f"{prefix}-own-"
        own = {"policy": control("policy", ident), **{n: control(n, ident) for n in _OWN}}
        add = gr.Button("Add this variant", size="sm", elem_id=f"{prefix}-add")
        said = gr.HTML(elem_classes="lx-said", elem_id=f"{prefix}-add-said")

    def add_variant(before: Any, *given: Any) -> tuple[Any, str]:
        listed = [str(v) for v in before] if isinstance(before, list) else []
        try:
            new = variant(dict(zip(own, given, strict=True)))
        except LaCacheError as error:
            return gr.skip(), html.escape(in_page_words(error))
        if new in listed:
            return gr.skip(), "It is among the variants already."
        offered = list(dict.fromkeys([*_SUGGESTED, *listed, new]))
        return gr.update(value=[*listed, new], choices=offered), html.escape(f"Added {new}.")

    def fit(*given: Any) -> list[Any]:
        updates = fitting(dict(zip(own, given, strict=True)))
        return [updates[name] for name in _OWN]

    quiet: dict[str, Any] = {
        "show_progress": "hidden",
        "queue": False,
        "preprocess": False,
        "api_visibility": "private",
    }
    parts = list(own.values())
    add.click(add_variant, [variants, *parts], [variants, said], **quiet)
    gr.on(
        [own["policy"].change, own["span"].change],
        fit,
        parts,
        [own[n] for n in _OWN],
        trigger_mode="always_last",
        **quiet,
    )
    return {"policies": chosen, "budgets": sizes, "variants": variants}
