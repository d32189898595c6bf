"""The file of judgements: nothing that was judged is lost, whoever writes and whatever is killed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from farsight.errors import InputError, SettingError
from farsight.judging.judgements import Judgement, Judgements, check_judge

DOG = Judgement("1.jpg", "dog", "there", "ann")


def test_the_last_row_of_a_judge_counts(tmp_path: Path) -> None:
    file = Judgements(tmp_path / "j.jsonl")
    file.append([DOG, DOG._replace(verdict="not there"), DOG._replace(judge="bob")])
    assert file.read() == [DOG._replace(verdict="not there"), DOG._replace(judge="bob")]
    assert len((tmp_path / "j.jsonl").read_text().splitlines()) == 3


@pytest.mark.parametrize("torn", ['{"image_id": "2.jpg", "obj', "{", "\ufeff"], ids=["row", "brace", "mark"])
def test_a_torn_last_line_is_not_read_and_goes_with_the_next_row(tmp_path: Path, torn: str) -> None:
    path = tmp_path / "j.jsonl"
    Judgements(path).append([DOG])
    with path.open("a", encoding="utf-8") as file:
        file.write(torn)
    assert Judgements(path).read() == [DOG]
    Judgements(path).append([DOG._replace(object="cat")])
    assert [one.object for one in Judgements(path).read()] == ["dog", "cat"]


def test_a_last_row_without_its_line_end_counts(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    path.write_text(json.dumps(DOG._asdict()))
    assert Judgements(path).read() == [DOG]
    Judgements(path).append([DOG._replace(object="cat")])
    assert [one.object for one in Judgements(path).read()] == ["dog", "cat"]


def test_two_processes_write_to_one_file(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    script = (
        "import sys; from pathlib import Path; from farsight.judging.judgements import Judgement, Judgements\n"
        "file = Judgements(Path(sys.argv[1]))\n"
        "for number in range(40): file.append([Judgement(str(number), 'dog', 'there', sys.argv[2])])"
    )
    both = [subprocess.Popen([sys.executable, "-c", script, str(path), judge]) for judge in ("ann", "bob")]
    assert [one.wait(120) for one in both] == [0, 0]
    assert {(one.image_id, one.judge) for one in Judgements(path).read()} == {
        (str(number), judge) for number in range(40) for judge in ("ann", "bob")
    }


def test_rows_of_another_process_are_seen(tmp_path: Path) -> None:
    mine, theirs = Judgements(tmp_path / "j.jsonl"), Judgements(tmp_path / "j.jsonl")
    assert mine.read() == []
    theirs.append([DOG])
    assert mine.read() == [DOG]
    theirs.append([DOG._replace(object="cat")])
    assert len(mine.read()) == 2


@pytest.mark.parametrize(
    ("row", "because"),
    [
        ('{"image_id": "1", "object": "dog", "verdict": "yes", "judge": "a"}', "there, not there, unsure"),
        ('{"image_id": 1, "object": "dog", "verdict": "there", "judge": "a"}', "'image_id' is no text"),
        ('{"object": "dog", "verdict": "there", "judge": "a"}', "image_id"),
        ("[1]", "no JSON object"),
        ("[" * 200 + "]" * 200, "nested"),
    ],
    ids=["verdict", "number", "missing", "list", "deep"],
)
def test_a_bad_line_is_named_with_what_to_do(tmp_path: Path, row: str, because: str) -> None:
    path = tmp_path / "j.jsonl"
    path.write_text(f"{json.dumps(DOG._asdict())}\n{row}\n")
    with pytest.raises(InputError, match=r"j\.jsonl:2: .*delete this line") as caught:
        Judgements(path).read()
    assert because in str(caught.value)


def test_what_cannot_be_written_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "nowhere").write_text("")
    with pytest.raises(InputError, match=r"no judgement can be written.*--judgements"):
        Judgements(tmp_path / "nowhere" / "j.jsonl").append([DOG])


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 101])
def test_a_judge_has_a_name(name: str) -> None:
    with pytest.raises(SettingError, match="--judge"):
        check_judge(name)
