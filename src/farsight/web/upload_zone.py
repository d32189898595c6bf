"""A place to drop a file on."""

from __future__ import annotations

from typing import Any

import gradio as gr


def upload_zone(**how: Any) -> gr.File:
    """Make an upload field whose value is the path of the uploaded file, or None.

    Gradio's own reading of the value leaves an empty temporary file behind each time.
    """
    zone = gr.File(type="filepath", file_count="single", **how)
    vars(zone)["preprocess"] = _path
    return zone


def _path(payload: Any) -> str | None:
    return getattr(payload, "path", None)
