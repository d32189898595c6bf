"""Files are written whole or not at all."""

import json
import os
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from farsight.errors import InputError
from farsight.files import make_folder, write, write_lines


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
    for name in ("a" * 300, "a\0b"):
        with pytest.raises(InputError, match=r"cannot be written \(.*\); choose another place"):
            write_lines(tmp_path / name, ["a"])


def test_a_folder_is_made_with_those_above_it_but_not_over_a_file(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").touch()
    for name in ("file", "a" * 5000, "a\0b"):
        with pytest.raises(InputError, match=f"{name}: no folder can be made there"):
            make_folder(tmp_path / name)


posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")


@posix
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755, 0o666])
@pytest.mark.parametrize("linked", [False, True])
def test_a_file_that_is_written_again_keeps_its_permissions(tmp_path: Path, mode: int, linked: bool) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    path.chmod(mode)
    (tmp_path / "link").symlink_to("a.txt")
    write_lines(tmp_path / "link" if linked else path, ["new"])
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("new\n", mode)


@posix
def test_what_is_private_is_private_while_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.touch(mode=0o600)

    def parts() -> Iterator[bytes]:
        yield b"secret"
        [temporary] = [one for one in tmp_path.iterdir() if one != path]
        assert stat.S_IMODE(temporary.stat().st_mode) == 0o600

    write(path, parts())
    assert path.read_bytes() == b"secret"


@posix
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write every file")
def test_a_file_that_may_not_be_written_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    path.chmod(0o400)
    with pytest.raises(InputError, match="may not be written"):
        write_lines(path, ["new"])
    assert path.read_text() == "old"


@posix
def test_a_device_stays_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/dev/null")
    for path in (Path("/dev/null"), tmp_path / "link"):
        write_lines(path, ["a"])
        assert path.is_char_device()
    with pytest.raises(InputError, match=r"/dev/full: cannot be written \(No space left on device\)"):
        write_lines(Path("/dev/full"), ["a"])


@posix
def test_a_pipe_is_written_to_if_somebody_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(InputError, match=r"pipe: nobody reads this pipe"):
        write_lines(path, ["a"])
    heard: list[bytes] = []
    listener = threading.Thread(target=lambda: heard.append(path.read_bytes()), daemon=True)
    listener.start()
    for _ in range(100):  # until the other side has opened it
        try:
            write(path, [b"x" * 100_000, b"y" * 100_000])
            break
        except InputError:
            time.sleep(0.05)
    listener.join(timeout=30)
    assert heard == [b"x" * 100_000 + b"y" * 100_000]
    assert path.is_fifo()


@posix
def test_links_in_a_circle_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(InputError, match="loop: cannot be written"):
        write_lines(tmp_path / "loop", ["a"])


def test_a_name_may_be_as_long_as_names_may_be(tmp_path: Path) -> None:
    for name in ("a" * 255, "é" * 127):
        write_lines(tmp_path / name, ["a"])
        assert (tmp_path / name).read_text() == "a\n"
