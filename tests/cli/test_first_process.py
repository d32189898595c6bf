"""As the first process of a container, which no signal ends by itself, a command ends as it does elsewhere."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ALONE = ["unshare", "--map-root-user", "--fork", "--pid", "--kill-child"]
"""Runs what follows as process 1, as the entry point of a container is."""


@pytest.fixture(scope="module", autouse=True)
def needs_namespaces() -> None:
    if shutil.which(ALONE[0]) is None or subprocess.run([*ALONE, "true"], capture_output=True).returncode:
        pytest.skip("this machine lends no process namespaces")


def child_of(process: subprocess.Popen[str]) -> int | None:
    found = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return int(found[0]) if found else None


def catches_sigterm(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


@pytest.mark.parametrize("command", [["serve", "--port", "0"], ["doctor"]], ids=lambda command: command[0])
def test_it_ends_while_it_loads_the_model(command: list[str]) -> None:
    run = [*ALONE, sys.executable, "-m", "farsight", *command, "--device", "cpu"]
    with subprocess.Popen(run, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            end = time.monotonic() + 120
            while (pid := child_of(process)) is None or not catches_sigterm(pid):
                assert time.monotonic() < end, "it does not listen"
                time.sleep(0.01)
            os.kill(pid, signal.SIGTERM)
            said, wrong = process.communicate(timeout=120)
        finally:
            process.kill()
    assert (said, wrong) == ("", "")  # before it had anything to say
    assert process.returncode == 128 + signal.SIGTERM
