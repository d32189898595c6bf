"""Videos as files: frames at equal distances, and nothing but the file is opened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from farsight.errors import InputError
from farsight.web.drawing import Seen
from farsight.web.limits import Limits
from farsight.web.pictures import decoded

av: Any = pytest.importorskip("av", reason="make test-web installs it")

LIMITS = Limits(shown_frames=4, frames=30, megapixels=0.1, film_megapixels=0.13)


def film(path: Path, codec: str, count: int = 10, side: int = 64) -> Path:
    """A film that becomes redder from frame to frame."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.width = stream.height = side
        stream.pix_fmt = "yuv420p"
        for number in range(count):
            pixels = np.zeros((side, side, 3), np.uint8)
            pixels[..., 0] = min(20 * number, 255)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path


def read(path: Path) -> Seen:
    return decoded(path.name, path.read_bytes(), LIMITS)


@pytest.mark.parametrize(("ending", "codec"), [("mp4", "mpeg4"), ("mov", "mpeg4"), ("mkv", "mpeg4")])
def test_frames_are_at_equal_distances(tmp_path: Path, ending: str, codec: str) -> None:
    seen = read(film(tmp_path / f"short.{ending}", codec))
    assert isinstance(seen, list)
    reds = [float(np.asarray(frame)[..., 0].mean()) for frame in seen]
    assert reds == pytest.approx([0, 60, 120, 180], abs=12)


def test_limits_hold_for_films(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="more frames than the limit of 30"):
        read(film(tmp_path / "long.mp4", "mpeg4", count=31))
    with pytest.raises(InputError, match=r"more than the limit of 0\.1"):
        read(film(tmp_path / "wide.mp4", "mpeg4", count=2, side=512))
    with pytest.raises(InputError, match=r"frames of 128 x 128, together more than the limit of 0\.13 megapixels"):
        read(film(tmp_path / "much.mp4", "mpeg4", count=10, side=128))


def test_a_damaged_film_is_refused(tmp_path: Path) -> None:
    whole = film(tmp_path / "short.mp4", "mpeg4").read_bytes()
    for content in (whole[:200], whole[:12] + b"noise" * 50):
        (tmp_path / "cut.mp4").write_bytes(content)
        with pytest.raises(InputError, match=r"cut\.mp4' is damaged"):
            read(tmp_path / "cut.mp4")


def test_a_list_of_other_files_is_no_film(tmp_path: Path) -> None:
    film(tmp_path / "secret.mp4", "mpeg4")
    lists = {"concat.mp4": "ffconcat version 1.0\nfile secret.mp4\n", "list.mp4": "#EXTM3U\n#EXTINF:1,\nsecret.mp4\n"}
    for name, content in lists.items():
        (tmp_path / name).write_text(content)
        with pytest.raises(InputError, match="is not a picture"):
            read(tmp_path / name)
