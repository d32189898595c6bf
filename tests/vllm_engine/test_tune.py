"""`farsight tune --engine vllm`, as it is started in a terminal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from farsight.cli import app
from farsight.methods.grammar import load_method, parse_method

REGISTERS = "farsight(sigma=0.1, horizon=infinite, rows=generated)"
COMMAND = [
    "tune", "--task", "scenes:test", "--count", "8", "--question-count", "8", "-n", "12", "--batch-size", "4",
    "--dtype", "float32", "--guard", "words=off, repetition=off", "--json",
]  # fmt: skip


def test_the_race_in_vllm_is_the_race_here_and_what_it_does_not_take_is_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")

    def rows(name: str, *more: str) -> tuple[Any, dict[tuple[str, str], str]]:
        result = CliRunner().invoke(app, [*COMMAND, "--out", str(tmp_path / name), *more])
        assert result.exit_code == 0, result.stderr
        lines = (tmp_path / name / "answers.jsonl").read_text().splitlines()
        return json.loads(result.stdout), {
            (row["method"], row["item"]): row["text"] for row in map(json.loads, lines) if row["method"] != "beam"
        }

    found, there = rows("vllm", "--methods", f"{REGISTERS},beam,farsight", "--engine", "vllm", "--enforce-eager")
    assert set(found["race"][0]["methods"]) == {REGISTERS}
    assert "does not run in vLLM" in found["costs"]["beam"]["refused"]
    assert "horizon=generation is no constant per head" in found["costs"]["farsight"]["refused"]
    assert found["config"]["engine"]["name"] == "vllm"
    _, here = rows("here", "--methods", REGISTERS)
    assert here.items() >= there.items()
    assert load_method(tmp_path / "vllm" / "method.yaml") in (parse_method("plain"), parse_method(REGISTERS))


def test_all_that_vllm_takes_races_as_it_takes_it_in_one_rung() -> None:
    command = [*COMMAND[:-3], "--guard", "words=off", "--engine", "vllm", "--enforce-eager", "--plan", "--json"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.stderr
    race, final = json.loads(result.stdout)["stages"]
    assert (race["methods"], race["pictures"], final["methods"], final["pictures"]) == (1 + 8, 4, 2, 4)
