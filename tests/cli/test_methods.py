"""The methods as a table and as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from refusals import refused

from farsight import METHODS, FarSight
from farsight.methods.opera import OPERA


def test_every_method_is_listed_with_its_paper_and_parameters(run: Any) -> None:
    result = run("methods", columns=200)
    assert result.exit_code == 0
    for name, kind in METHODS.items():
        assert name in result.stdout
        assert kind.paper in result.stdout
    assert "num_attn_candidates=5" in result.stdout
    assert "Extra forwards" in result.stdout


def test_a_narrow_terminal_cuts_nothing_off(run: Any) -> None:
    narrow = run("methods", columns=80).stdout
    assert max(len(line) for line in narrow.splitlines()) <= 80
    assert "image_tokens_first=10" in narrow


def test_json_has_what_the_classes_say(run: Any) -> None:
    rows = {row["name"]: row for row in json.loads(run("methods", "--json").stdout)}
    assert set(rows) == {*METHODS, "greedy"} - {"plain"}
    assert rows["farsight"]["parameters"]["sigma"] == FarSight().sigma
    assert rows["farsight"]["changes"] == ["gate"]
    assert rows["farsight"]["extra_forwards"] == 0
    assert rows["opera"] == {
        "name": "opera",
        "paper": OPERA.paper,
        "changes": ["search"],
        "extra_forwards": 0,
        "parameters": {
            "num_beams": 5,
            "scale_factor": 50.0,
            "threshold": 15,
            "num_attn_candidates": 5,
            "penalty_weights": 1.0,
            "window": 512,
            "max_rollbacks": 5,
            "image_tokens_first": 10,
            "candidates_at_once": 5,
        },
    }
    assert rows["greedy"]["changes"] == ["nothing"]


@pytest.mark.parametrize("method", ["beam", "farsight(sigma=0.3)+beam(num_beams=2)"])
def test_a_search_is_described_at_its_end(run: Any, model: Any, picture: Any, method: str) -> None:
    result = run("describe", picture, "--model", model, "--method", method, "--max-new-tokens", 5)
    assert result.exit_code == 0, result.stderr
    record = run("describe", picture, "--model", model, "--method", method, "--max-new-tokens", 5, "--json").stdout
    [described] = json.loads(record)
    assert described["text"] in result.stdout
    assert described["method"]["name"] == "+".join(part.partition("(")[0] for part in method.split("+"))


def test_a_composed_method_is_described_with_all_its_settings(run: Any, model: Any, picture: Any) -> None:
    method = "farsight(sigma=0.3)+beam(num_beams=2)"
    result = run("describe", picture, "--model", model, "--method", method, "--max-new-tokens", 4, "--json")
    [described] = json.loads(result.stdout)
    attention, search = described["method"]["methods"]
    assert attention["name"] == "farsight"
    assert attention["sigma"] == 0.3
    assert search == {"name": "beam", "num_beams": 2}


def test_a_method_is_read_from_a_file_that_has_one(run: Any, model: Any, picture: Any, tmp_path: Path) -> None:
    file = tmp_path / "tuned.yaml"
    ask = ["describe", picture, "--model", model, "-n", 2, "--json", "--method", f"@{file}"]
    file.write_text("{method: farsight, sigma: 0.25, label: tuned}")
    [described] = json.loads(run(*ask).stdout)
    assert described["method"]["sigma"] == 0.25
    file.write_text("- greedy\n- farsight\n")
    refused(run(*ask), f"{file}: has 2 methods, and one is asked for")


def test_methods_that_do_not_go_together_are_one_line(run: Any, picture: Any) -> None:
    result = run("describe", picture, "--method", "beam+opera")
    assert result.exit_code == 2
    assert "beam and opera both change the search" in result.stderr
