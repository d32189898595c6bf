"""The command behind docs/released.md, on files of captions that it has never seen."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "released_captions.py"
OBJECTS = {"1": ["dog", "cat"], "2": ["car", "truck"], "3": ["cup", "bowl"]}
LONG = {
    "1": "A dog and a cat near a chair.",
    "2": "A car and a truck near a chair.",
    "3": "A cup and a bowl.",
}
SHORT = {"1": "A dog.", "2": "A car and a truck.", "3": "A cup near a fork."}
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("released_captions", BENCHMARK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(
    benchmark: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    written(tmp_path / "objects.jsonl", OBJECTS, "objects")

    def called(*arguments: str | Path) -> tuple[int, str, str]:
        given = [str(BENCHMARK), *map(str, arguments), "--objects", str(tmp_path / "objects.jsonl")]
        monkeypatch.setattr(sys, "argv", given)
        try:
            benchmark.main()
            code = 0
        except SystemExit as left:
            code = int(left.code or 0)
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return called


def written(path: Path, rows: dict[str, Any], key: str = "caption") -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps({"image_id": one, key: value}) + "\n" for one, value in rows.items()))
    return path


def test_two_files_are_compared_as_a_folder_of_them_is(tmp_path: Path, run: Run) -> None:
    greedy = written(tmp_path / "mine" / "greedy.jsonl", LONG)
    method = written(tmp_path / "mine" / "method.jsonl", SHORT)
    code, named, _ = run(greedy, method)
    assert code == 0
    assert "| mine, greedy | method | 33.3 | 66.7 |" in named
    assert run(greedy.parent)[1] == named
    assert run(tmp_path)[1] == named


def test_captions_of_most_pictures_are_compared_on_the_pictures_of_both(tmp_path: Path, run: Run) -> None:
    greedy = written(tmp_path / "mine" / "greedy.jsonl", LONG)
    two = written(tmp_path / "mine" / "two.jsonl", {one: SHORT[one] for one in ("1", "2")})
    written(tmp_path / "other" / "greedy.jsonl", {one: LONG[one] for one in ("1", "2")})
    alike = run(tmp_path / "other" / "greedy.jsonl", two)[1]
    _, shown, _ = run(greedy, two)
    assert "on the pictures of both files: two (mine, greedy): 2 of 3." in shown
    assert [row for row in shown.splitlines() if "| two |" in row] == [
        row.replace("mine, greedy (other)", "mine, greedy") for row in alike.splitlines() if "| two |" in row
    ]


@pytest.mark.parametrize(
    ("rows", "error"),
    [
        ("", "mine.jsonl: is empty"),
        ('{"image_id": "1", "caption": ', "mine.jsonl:1: is cut off"),
        ('{"image_id": "1"}', "mine.jsonl:1: there is no 'caption'"),
        ('{"image_id": "9", "caption": "A dog."}', "mine.jsonl:1: image 9 is not among the 3 images"),
        (2 * '{"image_id": "1", "caption": "A dog."}\n', "mine.jsonl:2: image 1 has a caption already"),
    ],
)
def test_a_bad_file_is_named_with_its_line(tmp_path: Path, run: Run, rows: str, error: str) -> None:
    greedy = written(tmp_path / "greedy.jsonl", LONG)
    (tmp_path / "mine.jsonl").write_text(rows)
    code, shown, said = run(greedy, tmp_path / "mine.jsonl")
    assert code == 2
    assert not shown
    assert error in said


def test_what_cannot_be_compared_says_what_to_give(tmp_path: Path, run: Run) -> None:
    greedy = written(tmp_path / "mine" / "greedy.jsonl", LONG)
    (tmp_path / "empty").mkdir()
    for arguments, error in (
        ([greedy], "is one file"),
        ([tmp_path / "nothing"], "there is no such file"),
        ([tmp_path / "empty"], "has no captions"),
        ([greedy.parent], "nothing to compare with it"),
        ([greedy.parent, "--baseline", "x=y"], "has no folder 'x'"),
    ):
        code, _, said = run(*arguments)
        assert code == 2
        assert error in said
