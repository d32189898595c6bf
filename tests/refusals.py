"""What a refusal on the command line looks like."""

from __future__ import annotations

from typing import Any


def refused(result: Any, *because: str) -> None:
    """Check that a command ended with one line on stderr that has these parts, and with exit code 2."""
    assert result.exit_code == 2
    assert result.stdout == ""
    assert isinstance(result.exception, SystemExit)
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    for part in because:
        assert part in result.stderr
