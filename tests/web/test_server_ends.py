"""The real command, ended as a service manager ends it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("gradio", reason="make test-web installs it")


def test_sigterm_leaves_no_temporary_folder_behind(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "farsight", "web", "--port", "0", "--device", "cpu"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("FarSight is at http://127.0.0.1:")
    assert list(tmp_path.glob("farsight-web-*"))
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=120) == 128 + signal.SIGTERM
    assert not list(tmp_path.glob("farsight-web-*"))
