"""One line that says what is going on."""

from __future__ import annotations

from farsight.web.fragments import fragment


def status(text: str, *, step: int = 0, steps: int = 0) -> str:
    """Say what is being done, with a bar if there are steps."""
    return fragment("status", text=text, kind="", step=step, steps=steps)


def failure(text: str) -> str:
    """Say what went wrong; screen readers say it at once."""
    return fragment("status", text=text, kind="error", step=0, steps=0)
