"""The command ``farsight``. PyTorch and Transformers are imported by the commands that need them, when they run."""

import os
import signal

from farsight.cli.app import app


def main() -> None:
    """Run the command line and leave the process with its exit code: 0 done, 1 no, 2 wrong input, 130 interrupted."""
    if os.getpid() == 1:  # of a container, which a signal ends only if the process itself says so
        signal.signal(signal.SIGTERM, lambda number, _: os._exit(128 + number))
    # Threads that spin while they wait make a small model many times slower as soon as another process runs.
    os.environ.setdefault("KMP_BLOCKTIME", "0")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    app(prog_name="farsight")


__all__ = ["app", "main"]
