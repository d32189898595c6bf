"""The Makefile's environments can be asked for one at a time."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ENVIRONMENTS = re.findall(r"^[A-Z]+_VENV \?= (\S+)", (ROOT / "Makefile").read_text(), re.MULTILINE)

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="without make there is nothing to ask")


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_an_environment_is_installed_where_it_belongs_without_saying_so(environment: str) -> None:
    mark = f"{environment}/.installed-{environment.removeprefix('.venv-')}"
    alone = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "VENV", "MFLAGS"))}
    command = ["make", "-n", "-B", mark]  # these tests run under make themselves
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, env=alone)
    assert told.returncode == 0, told.stderr
    assert f"-m venv {environment}\n" in told.stdout
    assert f"{environment}/bin/python -m pip install" in told.stdout
    assert ".venv/" not in told.stdout
    assert told.stdout.rstrip().endswith(mark)
