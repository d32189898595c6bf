"""Short videos as files: MP4, MOV and WebM, read with FFmpeg through PyAV."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image

from farsight.errors import FarSightError, InputError
from farsight.web.limits import Limits

_MP4, _MATROSKA = "mp4", "matroska"
_STILL = (b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1")


def movie_format(path: Path) -> str | None:
    """Say which kind of video a file is, by its first bytes; None if it is none that is read."""
    with path.open("rb") as file:
        first = file.read(12)
    if first[4:8] == b"ftyp" and first[8:12] not in _STILL:
        return _MP4
    return _MATROSKA if first[:4] == b"\x1aE\xdf\xa3" else None


def read_movie(path: Path, format: str, limits: Limits) -> list[Image.Image]:
    """Read frames at equal distances, the first and the last among them.

    FFmpeg is told which format the file has: of those that it knows some are lists of other files, which it would open.

    Raises
    ------
    InputError
        If the file is damaged, has no picture in it, too many pixels or frames, or if PyAV is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise InputError("videos are read with PyAV, which is not installed: pip install av; or pass a GIF") from error
    try:
        with av.open(str(path), format=format, options={"protocol_whitelist": "file"}) as container:
            stream = _stream(container, path, limits)
            count = 0
            for packet in container.demux(stream):
                count += bool(packet.size)
                if count > limits.frames:
                    raise InputError(f"'{path.name}' has more than the limit of {limits.frames} frames; cut it")
        with av.open(str(path), format=format, options={"protocol_whitelist": "file"}) as container:
            stream = _stream(container, path, limits)
            found = {
                number: limits.fitted(frame.to_image())
                for number, frame in zip(range(count), container.decode(stream), strict=False)
                if number in set(limits.evenly(count))
            }
    except FarSightError:
        raise
    except Exception as error:  # FFmpeg fails on damaged files in many ways
        raise InputError(f"video '{path.name}' is damaged or cut short; get it again") from error
    frames = [found[number] for number in limits.evenly(count) if number in found]
    if len(frames) < limits.shown_frames:
        raise InputError(f"video '{path.name}' is damaged or cut short; get it again")
    return frames


def _stream(container: Any, path: Path, limits: Limits) -> Any:
    if not container.streams.video:
        raise InputError(f"'{path.name}' has no picture in it; pass a video")
    stream = container.streams.video[0]
    limits.check_pixels(path.name, stream.codec_context.width, stream.codec_context.height)
    return stream
