"""How the page looks: Gradio's own parts. The live map brings its own style sheet."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

ASSETS = Path(__file__).resolve().parents[1] / "assets"
_FRAME = "frame.css"
PAGE_STYLES = {"page", "preview", "evaluate", "compare"}
"""Style sheets of what lies around the live map."""


def theme() -> gr.themes.Base:
    """A quiet theme with the system's fonts, so that nothing is fetched from elsewhere."""
    fonts = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]
    return gr.themes.Base(
        primary_hue=gr.themes.colors.blue,
        neutral_hue=gr.themes.colors.slate,
        radius_size=gr.themes.sizes.radius_md,
        spacing_size=gr.themes.sizes.spacing_md,
        text_size=gr.themes.sizes.text_md,
        font=fonts,
        font_mono=["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"],
    ).set(
        block_border_width="0px",
        block_shadow="none",
        block_padding="0px",
        # Fields stand on the page itself; a block of their own only shows as a stripe in the dark.
        block_background_fill="transparent",
        block_background_fill_dark="transparent",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_400",
        block_label_text_color="*neutral_800",
        block_label_text_color_dark="*neutral_200",
        block_title_text_color="*neutral_800",
        block_title_text_color_dark="*neutral_200",
        block_title_text_weight="600",
        # White on the theme's own blue is too faint to read.
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
    )


def head() -> str:
    """What stands in the head of every page as it is written."""
    style = (ASSETS / "css" / _FRAME).read_text(encoding="utf-8")
    script = (ASSETS / "js" / "page.js").read_text(encoding="utf-8")
    return f"<style>{style}</style><script type='module'>{script}</script>"


def early_script() -> str:
    """What every page does before anything else: see ``app.early``."""
    return (ASSETS / "js" / "early.js").read_text(encoding="utf-8")


def css_paths() -> list[Path]:
    """The style sheets of page and live map."""
    return sorted(path for path in (ASSETS / "css").glob("*.css") if path.name != _FRAME)


def instrument_css_paths() -> list[Path]:
    """Those of the live map alone, for a page that has nothing else."""
    return [path for path in css_paths() if path.stem not in PAGE_STYLES]
