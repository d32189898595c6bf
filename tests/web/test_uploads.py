"""Uploads lie in a folder that holds only so much, each where nobody else finds it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from farsight.errors import InputError
from farsight.web.limits import Limits
from farsight.web.uploads import UploadFolder

LIMITS = Limits(megabytes=0.001, stored_megabytes=0.01, unused_seconds=100)


@pytest.fixture
def folder(tmp_path: Path) -> UploadFolder:
    (tmp_path / "uploads").mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    return UploadFolder(tmp_path / "uploads", LIMITS)


def aged(path: Path, seconds: float) -> Path:
    then = path.stat().st_mtime - seconds
    os.utime(path, (then, then))
    return path


def test_the_same_bytes_of_two_visitors_are_two_files(folder: UploadFolder) -> None:
    one, other = folder.store("red.png", b"same"), folder.store("red.png", b"same")
    folder.remove(*folder.found(str(one)))
    assert [path.read_bytes() for path in folder.found(str(other))] == [b"same"]
    folder.remove(other)
    assert list(folder.path.iterdir()) == []


@pytest.mark.parametrize(
    "name",
    [
        "../../x.png",
        "a\\b.png",
        "/etc/passwd",
        "",
        ".",
        "..",
        "\0",
        "a" * 999 + ".png",
        "ü" * 300,
        "x." + "y" * 300,
        "a\nb",
    ],
)
def test_whatever_a_file_is_called_it_lies_in_a_folder_of_its_own(folder: UploadFolder, name: str) -> None:
    path = folder.store(name, b"x")
    assert path.parent.parent == folder.path
    assert path.name.isprintable()
    assert folder.found(str(path)) == [path]


@pytest.mark.parametrize("name", ["../secret.txt", "/etc/passwd", "", None, "missing.png", "\0", "."])
def test_nothing_else_is_given_or_removed(folder: UploadFolder, name: str | None) -> None:
    given = str(folder.path / name) if name else name
    with pytest.raises(InputError, match="upload"):
        folder.found(given)
    assert (folder.path.parent / "secret.txt").read_text() == "secret"


def test_a_link_out_of_the_folder_is_not_followed(folder: UploadFolder) -> None:
    (folder.path / "link.png").symlink_to(folder.path.parent / "secret.txt")
    with pytest.raises(InputError, match="gone"):
        folder.found(str(folder.path / "link.png"))
    assert not folder.holds(str(folder.path / "link.png"))
    assert not folder.holds(str(folder.path))


def test_what_nobody_asked_about_is_swept(folder: UploadFolder) -> None:
    aged(folder.store("old.png", b"x"), 101)
    new = folder.store("new.png", b"x")
    folder.sweep()
    assert folder.files() == [new]


def test_unasked_uploads_take_only_so_much_room_and_the_oldest_makes_it(folder: UploadFolder) -> None:
    for number in range(30):
        aged(folder.store(f"{number}.bin", bytes(1000)), 50 - number)
    assert sorted(int(path.stem) for path in folder.files()) == list(range(20, 30))
    assert len(list(folder.path.iterdir())) == 10
