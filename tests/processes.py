"""The real command as a process that ends with the test, also one that fails."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def started(*command: object, **how: Any) -> Iterator[subprocess.Popen[str]]:
    """Run ``farsight`` with its stdout in a pipe; what is still there at the end of the block is killed."""
    run = [sys.executable, "-m", "farsight", *map(str, command)]
    with subprocess.Popen(run, stdout=subprocess.PIPE, text=True, **how) as process:
        try:
            yield process
        finally:
            process.kill()
