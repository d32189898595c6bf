"""Uploads become pictures within limits, for all visitors together, and are kept as small as they came."""

from __future__ import annotations

import threading
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from farsight.errors import InputError
from farsight.images import open_image
from farsight.web import pictures
from farsight.web.drawing import Seen
from farsight.web.limits import Limits
from farsight.web.pictures import decoded, uploaded

LIMITS = Limits(megabytes=1, megapixels=0.01, frames=20, shown_frames=4)


def read(path: Path) -> Seen:
    return decoded(path.name, path.read_bytes(), LIMITS)


def png(*size: int) -> bytes:
    file = BytesIO()
    Image.linear_gradient("L").resize(size).save(file, "PNG")
    return file.getvalue()


def test_an_upload_is_kept_as_its_bytes_and_read_as_any_other_picture(tmp_path: Path) -> None:
    data = png(90, 80)
    (tmp_path / "grey.png").write_bytes(data)
    shown = uploaded("grey.png", data, LIMITS)
    assert (shown.size, shown.is_video, shown.name) == (len(data), False, "grey.png")
    assert shown.seen().tobytes() == open_image(tmp_path / "grey.png").tobytes()  # type: ignore[union-attr]
    assert shown.seen() is not shown.seen()


def test_visitors_pictures_are_decoded_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    busy, most, decode = [0], [0], pictures.decode_image

    def counted(*given: Any, **how: Any) -> Image.Image:
        busy[0] += 1
        most[0] = max(most[0], busy[0])
        threading.Event().wait(0.02)
        busy[0] -= 1
        return decode(*given, **how)

    monkeypatch.setattr(pictures, "decode_image", counted)
    visitors = [threading.Thread(target=uploaded, args=("grey.png", png(9, 9), LIMITS)) for _ in range(5)]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join(60)
    assert most == [1]


@pytest.mark.parametrize("ending", ["gif", "webp", "png"])
def test_an_animation_that_is_small_as_a_file_only_is_refused(tmp_path: Path, ending: str) -> None:
    frames = [Image.new("RGB", (100, 100), (9 * number, 0, 0)) for number in range(15)]
    frames[0].save(tmp_path / f"bomb.{ending}", save_all=True, append_images=frames[1:], duration=50)
    tight = Limits(megapixels=0.01, film_megapixels=0.14)
    with pytest.raises(InputError, match=r"frames of 100 x 100, together more than the limit of 0\.14 megapixels"):
        decoded(f"bomb.{ending}", (tmp_path / f"bomb.{ending}").read_bytes(), tight)


def test_limits_are_named_with_the_file(tmp_path: Path) -> None:
    Image.new("1", (200, 200)).save(tmp_path / "wide.png")
    (tmp_path / "big.png").write_bytes(bytes(1_000_001))
    (tmp_path / "noise.png").write_bytes(b"noise")
    for name, said in (
        ("wide.png", "more than the limit of 0.01"),
        ("big.png", "limit of 1 MB"),
        ("noise.png", "not a"),
    ):
        with pytest.raises(InputError, match=said) as refused:
            read(tmp_path / name)
        assert name in str(refused.value)


@pytest.mark.parametrize("ending", ["gif", "webp", "png"])
def test_an_animation_gives_frames_at_equal_distances(tmp_path: Path, ending: str) -> None:
    frames = [Image.new("RGB", (16, 16), (20 * number, 0, 0)) for number in range(10)]
    path = tmp_path / f"short.{ending}"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=50, lossless=True)
    seen = read(path)
    assert isinstance(seen, list)
    assert [round(frame.getpixel((3, 3))[0] / 20) for frame in seen] == [0, 3, 6, 9]  # type: ignore[index]


def test_too_many_frames_are_refused(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (16, 16), (9 * number, 0, 0)) for number in range(21)]
    frames[0].save(tmp_path / "long.gif", save_all=True, append_images=frames[1:], duration=50)
    with pytest.raises(InputError, match="more frames than the limit of 20"):
        read(tmp_path / "long.gif")


def test_frames_are_spread_from_the_first_to_the_last() -> None:
    assert Limits(shown_frames=3).evenly(9) == [0, 4, 8]
    assert Limits(shown_frames=4).evenly(2) == [0, 0, 1, 1]
    assert Limits(shown_frames=1).evenly(5) == [0]


def test_frames_are_kept_small() -> None:
    assert Limits(frame_side=50).fitted(Image.new("L", (200, 100))).size == (50, 25)
