"""`farsight eval --engine ray`, as it is started in a terminal."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image
from tiny_checkpoint import save_tiny_llava
from typer.testing import CliRunner

pytest.importorskip("ray")

from ray_processes import answering, gone

from farsight.cli import app

PICTURES = 30


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    images, objects = tmp_path / "images", tmp_path / "objects.jsonl"
    images.mkdir()
    for number in range(PICTURES):
        Image.new("RGB", (30, 20), (8 * number, 0, 0)).save(images / f"{number}.png")
    rows = [{"image_id": number, "objects": ["dog"]} for number in range(PICTURES)]
    objects.write_text("".join(json.dumps(row) + "\n" for row in rows))
    model = save_tiny_llava(tmp_path / "model")
    return [
        "eval", "--task", "chair", "--model", str(model), "--images", str(images), "--objects", str(objects),
        "-n", "40", "--batch-size", "2", "--device", "cpu", "--methods", "greedy,farsight(sigma=0.1)",
    ]  # fmt: skip


def answers(out: Path) -> list[bytes]:
    return (out / "answers.jsonl").read_bytes().splitlines() if (out / "answers.jsonl").exists() else []


def test_a_run_whose_driver_is_killed_goes_on_and_has_the_local_run_s_answers(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And its workers go with it."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    local, out = tmp_path / "local", tmp_path / "ray"

    def start(*options: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-m", "farsight", *command, *options], stdout=subprocess.PIPE)

    assert start("--out", str(local), "--json").communicate()[0]
    driver, workers = start("--out", str(out), "--engine", "ray", "--workers", "1"), []
    while driver.poll() is None and not (workers and answers(out)):
        workers = answering(driver.pid)
        time.sleep(0.05)
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    begun = answers(out)
    assert 0 < len(begun) < 2 * PICTURES
    assert gone(workers)
    again = start("--out", str(out), "--engine", "ray", "--workers", "2", "--gpus-per-worker", "0", "--json")
    figures = json.loads(again.communicate()[0])
    assert again.returncode == 0
    assert answers(out)[: len(begun)] == begun
    assert sorted(answers(out)) == sorted(answers(local))
    assert figures == json.loads((local / "results.json").read_text())


@pytest.mark.parametrize(
    ("options", "because"),
    [
        (["--address", "127.0.0.1:9"], "--address '127.0.0.1:9': nothing answers there"),
        (["--address", "127.0.0.1:99999"], "--address '127.0.0.1:99999': nothing answers there"),
        (["--address", "ray://127.0.0.1:10001"], "is one of Ray Client"),
        (["--address", "auto"], "--address 'auto': the cluster cannot be joined"),
    ],
)
def test_a_cluster_that_is_not_there_is_one_line(
    command: list[str], tmp_path: Path, options: list[str], because: str
) -> None:
    result = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "run"), "--engine", "ray", *options])
    assert result.exit_code == 2
    error = result.stderr.splitlines()[-1]
    assert error.startswith("error: ")
    assert because in error
    assert answers(tmp_path / "run") == []


def test_a_finished_run_needs_no_cluster(command: list[str], tmp_path: Path) -> None:
    run = [*command, "--out", str(tmp_path / "run"), "--json"]
    first = CliRunner().invoke(app, run)
    again = CliRunner().invoke(app, [*run, "--engine", "ray", "--address", "127.0.0.1:9"])
    assert (first.exit_code, again.exit_code) == (0, 0)
    assert again.stdout == first.stdout
