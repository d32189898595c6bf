"""The command ``farsight``. PyTorch and Transformers are imported by the commands that need them, when they run."""

from farsight.cli.app import app


def main() -> None:
    """Run the command line and leave the process with its exit code: 0 done, 1 no, 2 wrong input, 130 interrupted."""
    app(prog_name="farsight")


__all__ = ["app", "main"]
