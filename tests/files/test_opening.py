"""A file is opened as what it is: no pipe hangs, none is taken for an empty file, and nothing takes all memory."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from farsight.errors import InputError, SettingError
from farsight.files import opened, read_bytes, read_text, reading

posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


def written(path: Path, parts: list[bytes], pause: float = 0.0) -> threading.Thread:
    """Another program that writes to a pipe."""

    def write() -> None:
        with path.open("wb", buffering=0) as file:
            for part in parts:
                file.write(part)
                time.sleep(pause)

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    return thread


@posix
@pytest.mark.parametrize("parts", [[b"one\n", b"two\n"], [b"x" * 1000] * 500])
def test_a_pipe_is_read_whole_however_slowly_it_is_written(pipe: Path, parts: list[bytes]) -> None:
    writer = written(pipe, parts, pause=0.2 if len(parts) == 2 else 0)
    with opened(pipe) as file:
        assert file.read() == b"".join(parts)
        file.seek(0)
        assert file.read(1) == parts[0][:1]
    writer.join()


@posix
def test_what_came_out_of_a_command_is_there_after_the_command_is_gone(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"text")
    os.close(writer)
    assert read_text(f"/dev/fd/{reader}") == "text"
    with pytest.raises(InputError, match="can be read only once"):
        read_text(f"/dev/fd/{reader}")
    os.close(reader)


@posix
def test_a_pipe_that_nobody_writes_to_is_refused_soon(pipe: Path) -> None:
    start = time.monotonic()
    with pytest.raises(InputError, match=r"nothing comes out of this pipe.*write it to a file and give that"):
        read_bytes(pipe)
    assert time.monotonic() - start < 30


@posix
def test_a_writer_that_says_nothing_is_not_waited_for_for_ever(pipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("farsight.files.opening.PATIENCE", 0.2)
    holder = os.open(pipe, os.O_RDWR)
    with pytest.raises(InputError, match="nothing comes out of this pipe"):
        read_bytes(pipe)
    os.close(holder)


@posix
def test_a_device_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("farsight.files.opening.MOST_PIPED", 10_000_000)
    with pytest.raises(InputError, match="zero: is larger than the 10 MB"):
        read_bytes("/dev/zero")
    assert read_bytes("/dev/null") == b""


def loop(folder: Path) -> Path:
    (folder / "loop").symlink_to(folder / "loop")
    return folder / "loop"


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        (lambda folder: folder / "gone", "gone: cannot be read .*check the name"),
        (lambda folder: folder, "it is a folder"),
        (lambda folder: folder / ("a" * 5000), "cannot be read .*too long"),
        (lambda folder: folder / "a\0b", "is not a file that can be read"),
        pytest.param(loop, "loop: cannot be read", marks=posix),
    ],
    ids=["missing", "folder", "long name", "zero byte", "loop of links"],
)
def test_what_is_no_file_is_one_line(tmp_path: Path, path: Callable[[Path], Path], problem: str) -> None:
    with pytest.raises(InputError, match=problem) as caught:
        read_bytes(path(tmp_path))
    assert "\n" not in str(caught.value)


def test_a_file_that_is_too_large_is_refused_before_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "large").touch()
    os.truncate(tmp_path / "large", 3_000_000_000)
    with pytest.raises(InputError, match="large: is larger than the 2000 MB"), opened(tmp_path / "large"):
        pass
    with pytest.raises(InputError, match="large: is larger than the 16 MB"):
        read_text(tmp_path / "large")
    os.truncate(tmp_path / "large", 2_000_000)
    with pytest.raises(InputError, match="larger than the 1 MB"):
        read_bytes(tmp_path / "large", most=1_000_000)


@pytest.mark.parametrize(
    ("data", "problem"), [("é".encode("utf-16"), "UTF-16 text; save it as UTF-8"), (b"\xe9", "is not UTF-8")]
)
def test_text_is_utf_8(tmp_path: Path, data: bytes, problem: str) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbf" + "é".encode())
    assert read_text(tmp_path / "a.txt") == "é"
    (tmp_path / "a.txt").write_bytes(data)
    with pytest.raises(InputError, match=problem):
        read_text(tmp_path / "a.txt")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (KeyError("id"), "a.json: is not a list (there is no 'id'); correct it"),
        (OverflowError("too\nlarge"), "a.json: has a number that is too large (too large); correct it"),
        (RecursionError("..."), "a.json: is nested too deeply; correct it"),
        (MemoryError(), "a.json: needs more memory than there is; correct it"),
        (AssertionError(), "a.json: is not a list (AssertionError); correct it"),
        (SettingError("sigma is wrong"), "sigma is wrong"),
    ],
)
def test_whatever_goes_wrong_while_something_is_read_is_one_line(error: Exception, line: str) -> None:
    with pytest.raises((InputError, SettingError)) as caught, reading("a.json", "a list"):
        raise error
    assert str(caught.value) == line


def test_who_wants_to_leave_may_leave() -> None:
    with pytest.raises(KeyboardInterrupt), reading("a.json"):
        raise KeyboardInterrupt
