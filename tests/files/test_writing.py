"""Files are written whole or not at all."""

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from farsight.errors import InputError
from farsight.files import make_folder, write_lines


def failing(error: BaseException) -> Iterator[str]:
    yield "half"
    raise error


def test_lines_are_written_in_utf_8_with_plain_line_ends(tmp_path: Path) -> None:
    write_lines(tmp_path / "a.txt", ["één", "🐶"])
    assert (tmp_path / "a.txt").read_bytes() == "één\n🐶\n".encode()
    assert list(tmp_path.iterdir()) == [tmp_path / "a.txt"]


def test_what_utf_8_cannot_hold_is_still_json_that_says_the_same(tmp_path: Path) -> None:
    write_lines(tmp_path / "a.jsonl", [json.dumps({"answer": "\ud800"}, ensure_ascii=False)])
    assert json.loads((tmp_path / "a.jsonl").read_text(encoding="utf-8")) == {"answer": "\ud800"}


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_a_failure_half_way_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(type(error)):
        write_lines(path, failing(error))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_a_new_file_may_be_read_by_those_who_may_read_other_new_files(tmp_path: Path) -> None:
    (tmp_path / "other.txt").write_text("")
    write_lines(tmp_path / "a.txt", ["a"])
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a.txt", "other.txt")}
    assert len(modes) == 1


@pytest.mark.skipif(os.name == "nt", reason="Windows lets few users make links")
def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to(tmp_path / "real.txt")
    write_lines(tmp_path / "link.txt", ["new"])
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "real.txt").read_text() == "new\n"


def test_places_where_nothing_can_be_written_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone.a\.txt: cannot be written, there is no folder .*; create it first"):
        write_lines(tmp_path / "gone" / "a.txt", ["a"])
    with pytest.raises(InputError, match="is a folder; give the name of a file"):
        write_lines(tmp_path, ["a"])
    with pytest.raises(InputError, match=r"cannot be written \(.*\); choose another place"):
        write_lines(tmp_path / ("a" * 300), ["a"])


def test_a_folder_is_made_with_those_above_it_but_not_over_a_file(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file: no folder can be made there"):
        make_folder(tmp_path / "file")
