"""Any sane picture, on disk or in memory, becomes RGB, and anything else one line that says what is wrong with it."""

from __future__ import annotations

import re
import warnings
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Mapping
from contextlib import suppress
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageFile, ImageOps, UnidentifiedImageError

from farsight.errors import InputError

FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")
"""What is opened. Not every format Pillow knows: some run other programs on the file."""

MAX_PIXELS = 50_000_000
MOST_ELONGATED = 200
"""How many times as long as wide a picture may be: models scale the short side, and the long one with it."""
_STRIP = 256
"""Rows that are converted at once."""
_GREY_STEPS = {"L;2": 85, "L;4": 17}
"""How far two neighbouring greys of few bits are apart in 8 bits, by Pillow's name of their layout."""


def open_image(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Read a picture as a model wants it: RGB, upright, in memory.

    EXIF rotation is applied, transparency is put on white, 16-bit and floating-point samples are scaled to 8 bits,
    and of an animation the first frame is taken.

    Parameters
    ----------
    path
        A file in one of `FORMATS`.
    max_pixels
        Larger pictures are rejected from their header, before anything is decoded.

    Raises
    ------
    InputError
        If the file is missing, empty, not a picture, damaged or too large; the message names it and the remedy.
    """
    path = Path(path)
    _check_file(path)
    return _read(path, f"picture '{path}'", max_pixels)


def decode_image(data: bytes, name: str, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Read a picture that is in memory, as `open_image` reads a file.

    Parameters
    ----------
    data
        What a file would hold.
    name
        What messages call it, such as "picture 1 of the request".
    max_pixels
        As for `open_image`.

    Raises
    ------
    InputError
        If it is empty, not a picture, damaged or too large.
    """
    if not data:
        raise InputError(f"{name} is empty (0 bytes); get it again")
    return _read(BytesIO(data), name, max_pixels)


def _read(source: Path | BytesIO, name: str, max_pixels: int) -> Image.Image:
    Image.init()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(source, formats=[name for name in FORMATS if name in Image.OPEN]) as image:
                _check_size(name, image.size, max_pixels)
                _match_transparent_value(image)
                image.load()
                return _rgb(_upright(image))
    except InputError:
        raise
    except PermissionError as error:
        raise InputError(f"{name} may not be read; check its permissions") from error
    except Image.DecompressionBombError as error:
        raise InputError(f"{name} has too many pixels; scale it down first") from error
    except UnidentifiedImageError as error:
        known = ", ".join(name for name in FORMATS if name != "MPO")
        raise InputError(f"{name} is not a picture that can be read; pass one of {known}") from error
    except Exception as error:  # decoders fail on damaged files with nearly every exception there is
        raise InputError(f"{name} is damaged or cut short ({_line(error)}); get it again") from error


def as_opened(image: Image.Image) -> Image.Image:
    """A picture, or a frame, that something else has opened, as `open_image` would have given it."""
    with suppress(Exception):
        if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
            image = ImageOps.exif_transpose(image)
    return image if image.mode == "RGB" else _rgb(image)


def open_frames(folder: str | Path) -> list[Image.Image]:
    """Read the frames of a video: the pictures of a folder, in the order of their names.

    Raises
    ------
    InputError
        If there is no such folder, no picture in it, or one that cannot be read.
    """
    return [open_image(path) for path in sorted(set(find_images(folder).values()))]


def find_pictures(paths: Iterable[str | Path]) -> list[Path]:
    """Give pictures one by one: a file is itself, a folder the pictures in it, and ``x/*.jpg`` those that it matches.

    Raises
    ------
    InputError
        If a folder has no picture, or a pattern matches nothing.
    """
    found: list[Path] = []
    for path in matching(paths):
        found += sorted(set(find_images(path).values())) if path.is_dir() else [path]
    return found


def matching(paths: Iterable[str | Path]) -> list[Path]:
    """Give what patterns such as ``x/*.jpg`` match in their place, and everything else as it is.

    Raises
    ------
    InputError
        If a pattern matches nothing.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if any(letter in path.name for letter in "*?[") and not path.exists():
            if not (matched := sorted(path.parent.glob(path.name))):
                raise InputError(f"'{path}' matches no file; check the pattern")
            found += matched
        else:
            found.append(path)
    return found


def _check_file(path: Path) -> None:
    try:
        if not path.exists():
            raise InputError(f"picture '{path}' was not found; check the path")
        if path.is_dir():
            raise InputError(f"'{path}' is a folder; pass the picture files in it")
        if not path.is_file():
            raise InputError(f"'{path}' is not a regular file; pass a picture file")
        if path.stat().st_size == 0:
            raise InputError(f"picture '{path}' is empty (0 bytes); get it again")
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"picture '{path}' cannot be reached ({_line(error)}); check the path") from error


def _check_size(name: str, size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise InputError(
            f"{name} has {width * height / 1e6:.1f} megapixels ({width} x {height}), "
            f"more than the limit of {max_pixels / 1e6:g}; scale it down first"
        )
    if max(size) > MOST_ELONGATED * min(size):
        raise InputError(
            f"{name} is {width} x {height}, longer than {MOST_ELONGATED} times its width, which no model can see; "
            "cut it first"
        )


def _match_transparent_value(image: Image.Image) -> None:
    """Give the transparent value of a PNG the depth of the samples that Pillow makes, not that of the file."""
    depth = image.tile[0][3] if isinstance(image, ImageFile.ImageFile) and image.tile else None
    value = image.info.get("transparency")
    if depth in _GREY_STEPS and isinstance(value, int):
        image.info["transparency"] = value * _GREY_STEPS[depth]
    elif depth == "RGB;16B" and isinstance(value, tuple):
        image.info["transparency"] = tuple(sample >> 8 for sample in value)


def _upright(image: Image.Image) -> Image.Image:
    with suppress(Exception):  # unreadable EXIF data does not make the pixels unreadable
        ImageOps.exif_transpose(image, in_place=True)
    return image


def _rgb(image: Image.Image) -> Image.Image:
    """Any mode to RGB; what takes several times the memory on the way there, strip by strip."""
    in_rgb: Callable[[Image.Image], Image.Image] = _on_white
    if image.mode.startswith("I") or image.mode == "F":
        in_rgb = partial(_scaled, factor=255 / _top(np.asarray(image)))
    elif not image.has_transparency_data:
        return image.convert("RGB")
    whole = Image.new("RGB", image.size)
    for top in range(0, image.height, _STRIP):
        strip = image.crop((0, top, image.width, min(top + _STRIP, image.height)))
        whole.paste(in_rgb(strip), (0, top))
    return whole


def _on_white(image: Image.Image) -> Image.Image:
    layer = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")


def _scaled(image: Image.Image, factor: float) -> Image.Image:
    """Samples of more than 8 bits in 8 bits, one value of which may be transparent."""
    samples = np.asarray(image)
    values = np.nan_to_num(samples.astype(np.float64), posinf=0, neginf=0).clip(0)
    grey = (values * factor).round().astype(np.uint8)
    if isinstance(transparent := image.info.get("transparency"), int):
        grey = np.where(samples == transparent, np.uint8(255), grey)
    return Image.fromarray(grey).convert("RGB")


def _top(samples: np.ndarray) -> float:
    """What is white among samples of more than 8 bits, (height, width), by their type or largest value."""
    largest = float(np.max(samples, where=np.isfinite(samples), initial=0))
    if samples.dtype.kind == "f":
        top = 1.0 if largest <= 1 else 255.0
    elif samples.dtype.itemsize == 2:
        top = 65535.0
    else:
        top = 255.0 if largest <= 255 else 65535.0
    return max(top, largest)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def find_images(folder: str | Path) -> dict[str, Path]:
    """Find the pictures of a folder by every name that annotations give them.

    ``COCO_val2014_000000000042.jpg`` is found as its full name, as its stem, and as ``42``, its number in COCO. What is
    the name of one picture and the number of another is the name; what could be two pictures alike is left out.

    Raises
    ------
    InputError
        If there is no such folder, or no picture in it.
    """
    folder = Path(folder)
    Image.init()
    endings = {ending for ending, kind in Image.EXTENSION.items() if kind in FORMATS}
    found: list[defaultdict[str, set[Path]]] = [defaultdict(set) for _ in range(3)]
    try:
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder; give the folder with the pictures")
        for path in folder.iterdir():
            if path.suffix.lower() in endings:
                for named, name in zip(found, names_of(path), strict=False):
                    named[name].add(path)
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{folder}: cannot be read ({_line(error)}); give the folder with the pictures") from error
    if not found[0]:
        raise InputError(f"{folder}: no pictures in it ({', '.join(sorted(endings))})")
    by_name = {name: paths for named in reversed(found) for name, paths in named.items()}
    return {name: next(iter(paths)) for name, paths in by_name.items() if len(paths) == 1}


def names_of(path: Path) -> tuple[str, ...]:
    """Give the names by which annotations may call a picture, the most exact first: file name, stem, number in COCO."""
    number = re.search(r"\d+$", path.stem)
    return (path.name, path.stem, str(int(number[0]))) if number else (path.name, path.stem)


def row_of(path: Path, rows: Container[str], found: Mapping[str, Path]) -> str | None:
    """Find which of some rows of annotations is a picture's: the one by its most exact name, if there is one.

    Parameters
    ----------
    path
        The picture.
    rows
        Names by which there are rows.
    found
        The pictures of its folder, as `find_images` gives them: the name of another picture is not this one's.
    """
    return next((name for name in names_of(path) if name in rows and found.get(name) == path), None)
