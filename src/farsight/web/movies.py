"""Short videos as files: MP4, MOV and WebM, read with FFmpeg through PyAV."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from PIL import Image

from farsight.errors import FarSightError, InputError
from farsight.web.limits import Limits

_MP4, _MATROSKA = "mp4", "matroska"
_STILL = (b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1")


def movie_format(data: bytes) -> str | None:
    """Say which kind of video a file is, by its first bytes; None if it is none that is read."""
    first = data[:12]
    if first[4:8] == b"ftyp" and first[8:12] not in _STILL:
        return _MP4
    return _MATROSKA if first[:4] == b"\x1aE\xdf\xa3" else None


def read_movie(name: str, data: bytes, format: str, limits: Limits) -> list[Image.Image]:
    """Read frames at equal distances, the first and the last among them.

    FFmpeg gets bytes, and is told which format they have: of those that it knows some are lists of files.

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
        with _opened(av, data, format) as container:
            stream = _stream(container, name, limits)
            width, height = stream.codec_context.width, stream.codec_context.height
            count = 0
            for packet in container.demux(stream):
                count += bool(packet.size)
                limits.check_frames(name, count, width, height)
        with _opened(av, data, format) as container:
            stream = _stream(container, name, limits)
            found = {}
            for number, frame in zip(range(count), container.decode(stream), strict=False):
                limits.check_pixels(name, frame.width, frame.height)
                if number in set(limits.evenly(count)):
                    found[number] = limits.fitted(frame.to_image())
    except FarSightError:
        raise
    except Exception as error:  # FFmpeg fails on damaged files in many ways
        raise InputError(f"video '{name}' is damaged or cut short; get it again") from error
    frames = [found[number] for number in limits.evenly(count) if number in found]
    if len(frames) < limits.shown_frames:
        raise InputError(f"video '{name}' is damaged or cut short; get it again")
    return frames


def _opened(av: Any, data: bytes, format: str) -> Any:
    return av.open(BytesIO(data), format=format, options={"protocol_whitelist": ""})


def _stream(container: Any, name: str, limits: Limits) -> Any:
    if not container.streams.video:
        raise InputError(f"'{name}' has no picture in it; pass a video")
    stream = container.streams.video[0]
    stream.codec_context.options = {"max_pixels": str(limits.pixels)}  # also where frames grow on the way
    limits.check_pixels(name, stream.codec_context.width, stream.codec_context.height)
    return stream
