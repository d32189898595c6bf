"""An upload's bytes become a picture, or frames of a video: within limits, and one upload at a time.

A small file can be a large picture, and four visitors together could take all memory; so each waits until the one
before is decoded.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

from PIL import Image, ImageSequence

from farsight.errors import InputError
from farsight.images import FORMATS, decode_image
from farsight.web.drawing import Seen, shown_uri
from farsight.web.limits import Limits
from farsight.web.movies import movie_format, read_movie
from farsight.web.sessions import Shown

_DECODER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="decoder")
"""One thread, since each that has decoded keeps memory."""


def uploaded(name: str, data: bytes, limits: Limits) -> Shown:
    """Take an upload for a visitor: seen once, to refuse what cannot be, and kept as its bytes; raises as `decoded`."""
    seen, source = _DECODER.submit(_decoded, name, data, limits).result()
    return Shown(
        name=name,
        seen=lambda: decoded(name, data, limits),
        source=source,
        is_video=isinstance(seen, list),
        size=len(data),
    )


def decoded(name: str, data: bytes, limits: Limits) -> Seen:
    """Read an uploaded picture, or of a video or an animated picture frames at equal distances.

    Raises
    ------
    InputError
        If it is no picture, damaged, or has too many pixels or frames.
    """
    return _DECODER.submit(_decoded, name, data, limits).result()[0]


def _decoded(name: str, data: bytes, limits: Limits) -> tuple[Seen, str]:
    if len(data) > limits.bytes:
        raise InputError(f"'{name}' is larger than the limit of {limits.megabytes:g} MB; scale it down first")
    if (format := movie_format(data)) is not None:
        seen: Seen = read_movie(name, data, format, limits)
    else:
        seen = _frames(name, data, limits) or decode_image(data, f"'{name}'", max_pixels=limits.pixels)
    return seen, shown_uri(seen)


def _frames(name: str, data: bytes, limits: Limits) -> list[Image.Image]:
    """Give frames of an animation at equal distances; none if it is a single picture, or no picture at all."""
    Image.init()
    try:
        opened = Image.open(BytesIO(data), formats=[one for one in FORMATS if one in Image.OPEN and one != "MPO"])
    except Exception:  # what is wrong with it is said where it is read as a single picture
        return []
    try:
        with opened as image:
            count = getattr(image, "n_frames", 1)
            if image.format == "TIFF" or count < 2:
                return []
            limits.check_pixels(name, *image.size)
            limits.check_frames(name, count, *image.size)
            wanted = limits.evenly(count)
            found = {
                number: limits.fitted(frame)
                for number, frame in enumerate(ImageSequence.Iterator(image))
                if number in set(wanted)
            }
            return [found[number] for number in wanted]
    except InputError:
        raise
    except Exception as error:  # decoders fail on damaged files with nearly every exception there is
        raise InputError(f"video '{name}' is damaged or cut short; get it again") from error
