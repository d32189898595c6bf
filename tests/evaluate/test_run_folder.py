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
    text = f"A line\nand\u2028 é 🐶 {item}"
    said = {"text": text, "tokens": 3, "ended": True, "absorbed": None, "failed": None}
    return {"method": "greedy", "item": f"i{item}", **said}


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


def test_what_failed_before_its_first_answer_holds_no_other_to_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such model"), opened(tmp_path, CONFIG):
        raise InputError("no such model")
    other = {**CONFIG, "batch": 3}
    with opened(tmp_path, other) as folder:
        folder.append([row(0)])
    with pytest.raises(InputError, match="batch was 3"), opened(tmp_path, CONFIG):
        pass


def test_a_method_whose_file_has_changed_is_refused_in_a_line(tmp_path: Path) -> None:
    mine = {"name": "mine", "source": "5ec1" * 16, "much": 1.0}
    with opened(tmp_path, {"methods": {"mine": mine}}):
        pass
    changed = {"methods": {"mine": {**mine, "source": "ab12" * 16}}}
    said = r"the file of the method 'mine' has changed since, or is another; choose another folder$"
    with pytest.raises(InputError, match=said), opened(tmp_path, changed):
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


@pytest.mark.parametrize("field", ["method", "item", "text", "tokens", "ended", "absorbed", "failed"])
@pytest.mark.parametrize("value", [5, -1, 2.5, True, "words", None, [], {}, [[1]], float("nan"), "missing"])
def test_a_row_with_another_type_of_value_is_named(tmp_path: Path, field: str, value: object) -> None:
    """Or it is one that the field may have."""
    allowed = {
        "tokens": lambda: type(value) is int and value >= 0,
        "ended": lambda: type(value) is bool,
        "absorbed": lambda: value is None or (type(value) in (int, float) and value == value),
        "failed": lambda: value is None or (isinstance(value, str) and value != "missing"),
    }.get(field, lambda: isinstance(value, str) and value != "missing")
    with opened(tmp_path, CONFIG) as folder:
        folder.append([row(0)])
    edited = {name: one for name, one in (row(1) | {field: value}).items() if value != "missing" or name != field}
    with folder.answers.open("a") as file:
        file.write(json.dumps(edited) + "\n")
    if allowed():
        with opened(tmp_path, CONFIG) as folder:
            assert len(folder.rows) == 2
    else:
        with (
            pytest.raises(InputError, match=rf"answers\.jsonl:2: is not an answer \(.*{field}"),
            opened(tmp_path, CONFIG),
        ):
            pass


def test_an_answer_that_is_there_twice_is_named(tmp_path: Path) -> None:
    with opened(tmp_path, CONFIG) as folder:
        folder.append([row(0)])
    folder.answers.write_bytes(folder.answers.read_bytes() * 2)
    with pytest.raises(InputError, match=r"answers\.jsonl:2: .*i0 is answered before"), opened(tmp_path, CONFIG):
        pass


@pytest.mark.parametrize("content", ["[]", "5", "null", '{"model": []}', "{", '{"model": ' + "[" * 5000, "1" * 5000])
def test_a_damaged_configuration_is_one_line(tmp_path: Path, content: str) -> None:
    with opened(tmp_path, CONFIG):
        pass
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(InputError, match="choose another folder"), opened(tmp_path, CONFIG):
        pass


def test_a_folder_that_was_only_judged_in_is_taken_and_one_with_other_files_is_not(tmp_path: Path) -> None:
    for name in ("judgements.jsonl", ".judgements.jsonl.lock", "synonyms.txt", "scores.jsonl"):
        (tmp_path / name).touch()
    (tmp_path / "mine.jsonl").touch()
    with pytest.raises(InputError, match=r"has files \(mine\.jsonl\) but no run\.json"), opened(tmp_path, CONFIG):
        pass
    (tmp_path / "mine.jsonl").unlink()
    with opened(tmp_path, CONFIG):
        assert (tmp_path / "judgements.jsonl").exists()


def test_what_a_kill_left_behind_is_cleared_away_and_nothing_else(tmp_path: Path) -> None:
    """Pictures that were being drawn, and files that were being written."""
    left = [tmp_path / ".pictures.ab_3x9yz", tmp_path / ".run.json.0123abcd.tmp", tmp_path / ".a%2Fb.png.0123abcd.tmp"]
    (left[0] / "fresh").mkdir(parents=True)
    for one in left[1:]:
        one.write_text("half")
    with opened(tmp_path, CONFIG):
        assert not any(one.exists() for one in left)
    (tmp_path / ".pictures.backup.tar").write_text("mine")
    with opened(tmp_path, CONFIG):
        assert (tmp_path / ".pictures.backup.tar").exists()


def test_of_many_starts_on_one_new_folder_one_has_it(tmp_path: Path) -> None:
    script = (
        "import sys; from farsight.evaluate.run_folder import claimed; from farsight import InputError\n"
        "from pathlib import Path\n"
        "sys.stdin.readline()\n"
        "try:\n"
        f"    with claimed(Path({str(tmp_path / 'new' / 'run')!r})): print('mine', flush=True); sys.stdin.readline()\n"
        "except InputError as error: print(error, flush=True)"
    )
    starts = [
        subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for one in starts:
        assert one.stdin is not None
        one.stdin.write("\n")
        one.stdin.flush()
    said = [one.stdout.readline().strip() for one in starts if one.stdout is not None]
    for one in starts:
        one.communicate("\n")
    assert said.count("mine") == 1
    assert sum("another run is writing to this folder" in one for one in said) == 2
