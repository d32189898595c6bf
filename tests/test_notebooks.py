"""The notebooks of `examples/`: they run offline, what they assert holds, and what is committed is what they show."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "examples").glob("*.ipynb"))
LARGEST_PICTURE = 200_000


def ids(path: Path) -> str:
    return path.stem


@pytest.fixture(params=NOTEBOOKS, ids=ids)
def cells(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    return list(json.loads(request.param.read_text(encoding="utf-8"))["cells"])


def outputs(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [output for cell in cells for output in cell.get("outputs", [])]


def test_there_are_four() -> None:
    assert [path.stem[0] for path in NOTEBOOKS] == ["1", "2", "3", "4"]


def test_each_was_run_from_top_to_bottom_before_it_was_committed(cells: list[dict[str, Any]]) -> None:
    counts = [cell["execution_count"] for cell in cells if cell["cell_type"] == "code"]
    assert counts == list(range(1, len(counts) + 1))
    assert outputs(cells)
    assert not [output for output in outputs(cells) if output["output_type"] == "error"]


def test_each_asserts_something(cells: list[dict[str, Any]]) -> None:
    assert sum("assert " in "".join(cell["source"]) for cell in cells if cell["cell_type"] == "code") >= 2


def test_pictures_are_small(cells: list[dict[str, Any]]) -> None:
    pictures = [output["data"]["image/png"] for output in outputs(cells) if "image/png" in output.get("data", {})]
    assert all(len(base64.b64decode("".join(picture))) < LARGEST_PICTURE for picture in pictures)


def test_nothing_of_the_machine_is_in_them(cells: list[dict[str, Any]]) -> None:
    shown = ["".join(output.get("text", output.get("data", {}).get("text/plain", ""))) for output in outputs(cells)]
    assert not [text for text in shown if str(Path.home()) in text or str(Path(__file__).parents[1]) in text]
    assert not [output for output in outputs(cells) if output.get("name") == "stderr"]


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=ids)
def test_each_runs_offline_and_what_it_asserts_holds(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    from notebooks import executed

    for scheme in ("http_proxy", "https_proxy"):  # whatever asks the network gets no answer
        monkeypatch.setenv(scheme, "http://127.0.0.1:9")
        monkeypatch.setenv(scheme.upper(), "http://127.0.0.1:9")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)  # the notebook sets it
    monkeypatch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
    made = executed(path)
    assert all(cell.execution_count for cell in made.cells if cell.cell_type == "code")
