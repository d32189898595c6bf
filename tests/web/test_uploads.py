"""Uploads are read once, within limits, and removed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from farsight.errors import InputError
from farsight.web.limits import Limits
from farsight.web.uploads import UploadFolder, read_picture

LIMITS = Limits(megabytes=1, megapixels=0.01, frames=20, shown_frames=4, unused_seconds=100)


@pytest.fixture
def folder(tmp_path: Path) -> UploadFolder:
    (tmp_path / "uploads").mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    return UploadFolder(tmp_path / "uploads", LIMITS)


def put(folder: UploadFolder, name: str = "red.png") -> Path:
    path = folder.path / f"hash{len(folder.files())}" / name
    path.parent.mkdir()
    Image.new("RGB", (20, 10), "red").save(path)
    return path


def test_a_file_is_there_in_the_block_and_gone_after_it(folder: UploadFolder) -> None:
    path = put(folder)
    with folder.taken(str(path)) as [given]:
        assert read_picture(given, LIMITS).size == (20, 10)  # type: ignore[union-attr]
    assert list(folder.path.iterdir()) == []


def test_a_file_is_gone_after_an_error_too(folder: UploadFolder) -> None:
    path = put(folder)
    with pytest.raises(ZeroDivisionError), folder.taken(str(path)):
        raise ZeroDivisionError
    assert list(folder.path.iterdir()) == []


@pytest.mark.parametrize("name", ["../secret.txt", "/etc/passwd", "", None, "missing.png", "\0", "."])
def test_nothing_else_is_given_or_removed(folder: UploadFolder, name: str | None) -> None:
    given = str(folder.path / name) if name else name
    with pytest.raises(InputError, match="upload"), folder.taken(given):
        pass
    assert (folder.path.parent / "secret.txt").read_text() == "secret"


def test_a_link_out_of_the_folder_is_not_followed(folder: UploadFolder) -> None:
    (folder.path / "link.png").symlink_to(folder.path.parent / "secret.txt")
    with pytest.raises(InputError, match="gone"), folder.taken(str(folder.path / "link.png")):
        pass
    assert not folder.holds(str(folder.path / "link.png"))
    assert not folder.holds(str(folder.path))
    assert (folder.path.parent / "secret.txt").exists()


def test_what_nobody_asked_about_is_swept(folder: UploadFolder) -> None:
    old, new = put(folder), put(folder)
    long_ago = old.stat().st_mtime - 101
    os.utime(old.parent, (long_ago, long_ago))
    folder.sweep()
    assert folder.files() == [new]


def test_limits_are_named_and_paths_are_not(folder: UploadFolder) -> None:
    Image.new("1", (200, 200)).save(folder.path / "wide.png")
    (folder.path / "big.png").write_bytes(bytes(1_000_001))
    (folder.path / "noise.png").write_bytes(b"noise")
    for name, said in (
        ("wide.png", "more than the limit of 0.01"),
        ("big.png", "limit of 1 MB"),
        ("noise.png", "not a"),
    ):
        with pytest.raises(InputError, match=said) as refused:
            read_picture(folder.path / name, LIMITS)
        assert name in str(refused.value)
        assert str(folder.path) not in str(refused.value)


@pytest.mark.parametrize("ending", ["gif", "webp", "png"])
def test_an_animation_gives_frames_at_equal_distances(folder: UploadFolder, ending: str) -> None:
    frames = [Image.new("RGB", (16, 16), (20 * number, 0, 0)) for number in range(10)]
    path = folder.path / f"short.{ending}"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=50, lossless=True)
    seen = read_picture(path, LIMITS)
    assert isinstance(seen, list)
    assert [round(frame.getpixel((3, 3))[0] / 20) for frame in seen] == [0, 3, 6, 9]  # type: ignore[index]


def test_too_many_frames_are_refused(folder: UploadFolder) -> None:
    frames = [Image.new("RGB", (16, 16), (9 * number, 0, 0)) for number in range(21)]
    frames[0].save(folder.path / "long.gif", save_all=True, append_images=frames[1:], duration=50)
    with pytest.raises(InputError, match="21 frames, more than the limit of 20"):
        read_picture(folder.path / "long.gif", LIMITS)


def test_frames_are_spread_from_the_first_to_the_last() -> None:
    assert Limits(shown_frames=3).evenly(9) == [0, 4, 8]
    assert Limits(shown_frames=4).evenly(2) == [0, 0, 1, 1]
    assert Limits(shown_frames=1).evenly(5) == [0]


def test_frames_are_kept_small() -> None:
    assert Limits(frame_side=50).fitted(Image.new("L", (200, 100))).size == (50, 25)
