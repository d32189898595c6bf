"""Silence what libraries say while they work; pass on what this package has to say."""

from __future__ import annotations

import logging as stdlib_logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from farsight.cli.terminal import note

_PACKAGE = str(Path(__file__).resolve().parent.parent)


@contextmanager
def quiet() -> Iterator[None]:
    """No log lines, progress bars and warnings of libraries; each warning of this package once, on one line."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    if "transformers" in sys.modules:  # which has read its environment already; nothing else is worth a wait for it
        from transformers.utils import logging

        logging.set_verbosity_error()
        logging.disable_progress_bar()
    said = set()

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: object = None,
        line: object = None,
    ) -> None:
        text = " ".join(str(message).split())
        if filename.startswith(_PACKAGE) and text not in said:
            said.add(text)
            note(f"warning: {text}")

    before = stdlib_logging.root.manager.disable
    stdlib_logging.disable(max(before, stdlib_logging.WARNING))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.showwarning = show
            yield
    finally:
        stdlib_logging.disable(before)
