"""What visitors upload: read once, in memory from then on, and removed from the disk at once."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from PIL import Image, ImageSequence

from farsight.errors import InputError
from farsight.images import FORMATS, open_image
from farsight.web.limits import Limits
from farsight.web.movies import movie_format, read_movie

Seen = Image.Image | list[Image.Image]
"""A picture, or the frames of a video."""


class UploadFolder:
    """The one folder that uploads are written to: a temporary one, each file in a folder of its own.

    Parameters
    ----------
    path
        Where it is; it is made by whoever starts the server, and removed with it.
    limits
        After which time files that nobody asked about are removed.
    """

    def __init__(self, path: Path, limits: Limits) -> None:
        self.path = path.resolve()
        self.limits = limits

    @contextmanager
    def taken(self, *names: str | None) -> Iterator[list[Path]]:
        """Give uploaded files for the length of a block, and remove them, whatever happens in it.

        Raises
        ------
        InputError
            If one is not there, or is not in this folder.
        """
        paths = [self._checked(name) for name in names]
        try:
            yield paths
        finally:
            for path in paths:
                self._remove(path)
            self.sweep()

    def holds(self, name: str) -> bool:
        """Whether a path lies in this folder, with all links and dots resolved."""
        try:
            path = Path(name).resolve()
        except (OSError, ValueError, RuntimeError):
            return False
        return path.is_relative_to(self.path) and path != self.path

    def sweep(self) -> None:
        """Remove what was uploaded long ago and never asked about."""
        oldest = time.time() - self.limits.unused_seconds
        for path in list(self.path.iterdir()):
            with suppress(OSError):
                if path.stat().st_mtime < oldest:
                    self._remove(path)

    def files(self) -> list[Path]:
        """All files that are there now."""
        return [path for path in self.path.rglob("*") if path.is_file()]

    def _checked(self, name: str | None) -> Path:
        if not name:
            raise InputError("nothing was uploaded; choose a file")
        if not self.holds(name) or not Path(name).is_file():
            raise InputError("the uploaded file is gone; upload it again")
        return Path(name).resolve()

    def _remove(self, path: Path) -> None:
        first = self.path / path.relative_to(self.path).parts[0]
        if first.is_dir():
            shutil.rmtree(first, ignore_errors=True)
        else:
            first.unlink(missing_ok=True)


def read_picture(path: Path, limits: Limits) -> Seen:
    """Read an uploaded picture, or of a video or an animated picture frames at equal distances.

    Raises
    ------
    InputError
        If it is no picture, damaged, or has too many pixels or frames. The message has no path, only the file's name.
    """
    try:
        if path.stat().st_size > limits.bytes:
            raise InputError(f"'{path.name}' is larger than the limit of {limits.megabytes:g} MB; scale it down first")
        if path.stat().st_size and (format := movie_format(path)) is not None:
            return read_movie(path, format, limits)
        first = open_image(path, max_pixels=limits.pixels)
        return _frames(path, limits) or first
    except InputError as error:
        raise InputError(str(error).replace(str(path), path.name)) from error


def _frames(path: Path, limits: Limits) -> list[Image.Image]:
    """Give frames of an animation at equal distances; none if it is a single picture."""
    try:
        with Image.open(path, formats=[name for name in FORMATS if name in Image.OPEN and name != "MPO"]) as image:
            count = getattr(image, "n_frames", 1)
            if image.format == "TIFF" or count < 2:
                return []
            if count > limits.frames:
                raise InputError(f"'{path.name}' has {count} frames, more than the limit of {limits.frames}; cut it")
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
        raise InputError(f"video '{path.name}' is damaged or cut short; get it again") from error
