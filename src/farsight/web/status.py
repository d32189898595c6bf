"""One line that says what is going on."""

from __future__ import annotations

import logging

from farsight.errors import FarSightError
from farsight.files import told
from farsight.web.fragments import fragment


def status(text: str, *, step: int = 0, steps: int = 0) -> str:
    """Say what is being done, with a bar if there are steps."""
    return fragment("status", text=text, kind="", step=step, steps=steps)


def failure(error: Exception) -> str:
    """Say what went wrong; screen readers say it at once.

    What is not the package's own error has its traceback in the terminal of the server.
    """
    text = str(error)
    if not isinstance(error, FarSightError):
        logging.getLogger(__name__).error("the page could not do what was asked", exc_info=error)
        text = f"That did not work: {told(error)} ({type(error).__name__}; the server's terminal has more)."
    return fragment("status", text=text, kind="error", step=0, steps=0)
