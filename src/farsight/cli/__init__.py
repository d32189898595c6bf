"""The command ``farsight``. PyTorch and Transformers are imported by the commands that need them, when they run."""

import os

from farsight.cli.app import app


def main() -> None:
    """Run the command line and leave the process with its exit code: 0 done, 1 no, 2 wrong input, 130 interrupted."""
    # Threads that spin while they wait make a small model many times slower as soon as another process runs.
    os.environ.setdefault("KMP_BLOCKTIME", "0")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    app(prog_name="farsight")


__all__ = ["app", "main"]
