"""How the page looks: one typeface, the one of the reader's system; one colour; light and dark."""

from __future__ import annotations

import gradio as gr
from gradio.themes.utils import colors, sizes

FONT = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif")
ACCENT, ACCENT_DARK = "#0b6fb8", "#63b3ed"


def theme() -> gr.themes.Base:
    """Make the theme. No font is fetched from anywhere."""
    return gr.themes.Base(
        primary_hue=colors.blue,
        neutral_hue=colors.slate,
        text_size=sizes.text_md,
        radius_size=sizes.radius_md,
        font=FONT,
        font_mono=FONT,
    ).set(
        body_background_fill="#ffffff",
        body_background_fill_dark="#14181c",
        body_text_color="#1f2933",
        body_text_color_dark="#e6eaee",
        body_text_color_subdued="#5f6b76",
        body_text_color_subdued_dark="#a3adb7",
        background_fill_primary="#ffffff",
        background_fill_primary_dark="#14181c",
        background_fill_secondary="#f5f7f9",
        background_fill_secondary_dark="#1b2127",
        block_background_fill="#ffffff",
        block_background_fill_dark="#14181c",
        block_border_width="0px",
        block_shadow="none",
        block_label_background_fill="transparent",
        block_label_background_fill_dark="transparent",
        block_label_text_color="#5f6b76",
        block_label_text_color_dark="#a3adb7",
        block_title_text_color="#1f2933",
        block_title_text_color_dark="#e6eaee",
        block_title_text_weight="600",
        border_color_primary="#d9dfe4",
        border_color_primary_dark="#37414a",
        input_background_fill="#ffffff",
        input_background_fill_dark="#1b2127",
        input_border_width="1px",
        input_border_color="#b9c2ca",
        input_border_color_dark="#47525c",
        button_primary_background_fill=ACCENT,
        button_primary_background_fill_dark=ACCENT_DARK,
        button_primary_background_fill_hover="#095a96",
        button_primary_background_fill_hover_dark="#90cdf4",
        button_primary_text_color="#ffffff",
        button_primary_text_color_dark="#0d1114",
        button_secondary_background_fill="#eef2f5",
        button_secondary_background_fill_dark="#252d34",
        button_secondary_text_color="#1f2933",
        button_secondary_text_color_dark="#e6eaee",
        slider_color=ACCENT,
        slider_color_dark=ACCENT_DARK,
        color_accent=ACCENT,
        link_text_color=ACCENT,
        link_text_color_dark=ACCENT_DARK,
    )
