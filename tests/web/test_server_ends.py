"""The real command, ended as a service manager ends it."""

from __future__ import annotations

import os
import signal
import subprocess
import urllib.request
from pathlib import Path

import pytest
from processes import started

pytest.importorskip("gradio", reason="make test-web installs it")


def test_sigterm_leaves_no_temporary_folder_behind(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with started("web", "--port", "0", "--device", "cpu", env=environment, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        said = process.stdout.readline()
        assert said.startswith("FarSight is at http://127.0.0.1:")
        assert list(tmp_path.glob("farsight-web-*"))
        session = f"{said.split()[3]}/gradio_api/heartbeat/abc"  # what an open page asks without an end
        with urllib.request.urlopen(session, timeout=60) as heartbeat:
            assert heartbeat.read(1)
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=120) == 128 + signal.SIGTERM
        assert "Traceback" not in process.stderr.read()
    assert not list(tmp_path.glob("farsight-web-*"))
