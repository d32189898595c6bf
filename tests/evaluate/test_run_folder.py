"""A run folder keeps every answer once, whatever happens to the process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from farsight import InputError
from farsight.evaluate.run_folder import RunFolder, opened

CONFIG = {"model": "m", "methods": {"greedy": {"sigma": 0.8}}}


def row(item: int) -> dict[str, Any]:
    return {"method": "greedy", "item": f"i{item}", "text": f"A line\nand\u2028 é 🐶 {item}"}


def test_answers_are_there_when_the_folder_is_opened_again(tmp_path: Path) -> None:
    with opened(tmp_path / "run", CONFIG) as folder:
        folder.append([row(0), row(1)])
    with opened(tmp_path / "run", CONFIG) as folder:
        assert folder.rows == {("greedy", "i0"): row(0), ("greedy", "i1"): row(1)}


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_torn_last_line_is_dropped_and_nothing_else(tmp_path: Path, cut: int) -> None:
    with opened(tmp_path, CONFIG) as folder:
        folder.append([row(0), row(1)])
    data = folder.answers.read_bytes()
    folder.answers.write_bytes(data[:-cut])
    with opened(tmp_path, CONFIG) as folder:
        assert list(folder.rows) == [("greedy", "i0")]
        folder.append([row(1)])
    assert folder.answers.read_bytes() == data


def test_a_damaged_line_in_the_middle_is_named(tmp_path: Path) -> None:
    with opened(tmp_path, CONFIG) as folder:
        folder.append([row(0), row(1)])
    folder.answers.write_bytes(b"oops\n" + folder.answers.read_bytes())
    with pytest.raises(InputError, match=r"answers\.jsonl:1: is not an answer"), opened(tmp_path, CONFIG):
        pass


def test_another_configuration_is_refused_with_the_difference(tmp_path: Path) -> None:
    with opened(tmp_path, CONFIG):
        pass
    other = {"model": "m", "methods": {"greedy": {"sigma": 0.1}}, "batch": 3}
    difference = r"batch was not given, is 3; methods\.greedy\.sigma was 0\.8, is 0\.1"
    with pytest.raises(InputError, match=difference), opened(tmp_path, other):
        pass


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(InputError, match=r"thesis\.tex"), opened(tmp_path, CONFIG):
        pass
    assert not (tmp_path / "run.json").exists()


def test_two_runs_cannot_have_one_folder(tmp_path: Path) -> None:
    script = (
        "import sys; from farsight.evaluate.run_folder import opened; from pathlib import Path\n"
        f"with opened(Path({str(tmp_path)!r}), {CONFIG!r}): print('open', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert other.stdout is not None
    assert other.stdout.readline() == b"open\n"
    with pytest.raises(InputError, match="another run"), opened(tmp_path, CONFIG):
        pass
    other.kill()
    other.communicate()
    with opened(tmp_path, CONFIG):
        pass


def test_a_full_disk_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path, CONFIG) as folder:
        folder.append([row(0)])
        before = folder.answers.read_bytes()
        full = Path("/dev/full")
        if not full.exists():
            pytest.skip("no /dev/full here")
        monkeypatch.setattr(RunFolder, "answers", full)
        with pytest.raises(InputError, match=r"No space left on device.*1 answers so far are safe"):
            folder.append([row(1)])
    monkeypatch.undo()
    assert (tmp_path / "answers.jsonl").read_bytes() == before


def test_rows_are_one_line_each(tmp_path: Path) -> None:
    with opened(tmp_path, CONFIG) as folder:
        folder.append([row(n) for n in range(5)])
    lines = folder.answers.read_bytes().splitlines()
    assert [json.loads(line)["item"] for line in lines] == ["i0", "i1", "i2", "i3", "i4"]
