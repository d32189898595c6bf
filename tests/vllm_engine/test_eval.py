"""`farsight eval --engine vllm`, as it is started in a terminal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner
from vllm_engine.engine_processes import below, engines, gone

from farsight.cli import app

COMMAND = [
    "eval", "--task", "scenes:test", "--count", "4", "--question-count", "8", "--batch-size", "2", "--json",
    "--methods", "greedy,farsight(sigma=0.05, horizon=infinite)", "--dtype", "float32",
]  # fmt: skip
VLLM = ["--engine", "vllm", "--enforce-eager"]
ANSWERS = 2 * 4 + 3 * 8
"""Of each method: two captions of each picture, and questions of three kinds."""


def rows(out: Path) -> list[dict[str, Any]]:
    if not (out / "answers.jsonl").exists():
        return []
    return [json.loads(line) for line in (out / "answers.jsonl").read_text().splitlines(keepends=True) if "\n" in line]


def started(out: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "farsight", *COMMAND, *VLLM, "--out", str(out)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def until(driver: subprocess.Popen[bytes], happened: Callable[[], bool]) -> None:
    while not happened():
        assert driver.poll() is None, driver.communicate()[1].decode()
        time.sleep(0.02)


@pytest.fixture(scope="module")
def small() -> Any:
    """Room for little, and none of what other tests have set for engines in their own process."""
    patch = pytest.MonkeyPatch()
    patch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    yield
    patch.undo()


def test_a_run_that_is_killed_goes_on_and_has_the_local_run_s_answers(small: None, tmp_path: Path) -> None:
    """Every answer, in float32 on a CPU: text, tokens, and whether it ended."""
    out, local = tmp_path / "vllm", tmp_path / "local"
    driver = started(out)
    until(driver, lambda: bool(engines(driver.pid)))
    [first] = engines(driver.pid)
    until(driver, lambda: len(rows(out)) > ANSWERS)
    [second] = engines(driver.pid)
    assert second != first  # greedy's engine ended before FarSight's began
    assert gone([first], 0)
    its = below(driver.pid)
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    begun = rows(out)
    assert ANSWERS < len(begun) < 2 * ANSWERS
    assert second in its
    assert gone(its)

    last = CliRunner().invoke(app, [*COMMAND, *VLLM, "--out", str(out)])
    assert last.exit_code == 0, last.stderr
    assert engines(os.getpid()) == []
    figures = json.loads(last.stdout)
    reference = CliRunner().invoke(app, [*COMMAND, "--out", str(local)])
    assert reference.exit_code == 0, reference.stderr

    found, expected = rows(out), rows(local)
    assert found[: len(begun)] == begun
    assert len(found) == 2 * ANSWERS
    assert all(row["absorbed"] is None for row in found)
    asked = [(row["method"], row["item"]) for row in found]  # method by method; here methods answer in turn
    expected.sort(key=lambda row: asked.index((row["method"], row["item"])))
    assert [{**row, "absorbed": None} for row in expected] == found
    assert {row["text"] for row in found if row["method"] == "greedy"} != {
        row["text"] for row in found if row["method"] != "greedy"
    }
    assert figures["config"]["engine"] == {
        "name": "vllm", "version": "0.32.0", "tensor_parallel_size": 1, "enforce_eager": True
    }  # fmt: skip
    for part in figures["parts"].values():
        assert part["figures"]["farsight(sigma=0.05, horizon=infinite)"]["absorbed"] is None

    again = CliRunner().invoke(app, [*COMMAND, *VLLM, "--out", str(out)])  # in seconds: no engine is started
    assert again.stdout == last.stdout
    mixed = CliRunner().invoke(app, [*COMMAND, "--out", str(out)])
    assert mixed.exit_code == 2
    assert "holds a run of another configuration: engine was" in mixed.stderr
    mixed = CliRunner().invoke(app, [*COMMAND, *VLLM, "--out", str(local)])
    assert mixed.exit_code == 2
    assert 'engine was not given, is {"name": "vllm"' in " ".join(mixed.stderr.split())
