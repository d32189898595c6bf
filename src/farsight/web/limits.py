"""How much the page takes from whoever opens it, and from all of them together."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from farsight.errors import InputError
from farsight.images import as_opened


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Upper bounds of what is uploaded and asked for.

    Parameters
    ----------
    megabytes
        Size of an uploaded file, in 10^6 bytes.
    megapixels
        Width times height of an uploaded picture, and of each frame of a video; read from its header.
    frames
        A video of more frames than this is refused; those shown to the model are sampled evenly.
    film_megapixels
        Frames of a video times their width and height: what has to be decoded to show some of them.
    shown_frames
        How many a model is shown.
    new_tokens
        Most tokens of a description.
    prompt_letters
        Of what is asked.
    frame_side
        Longest side of a frame in memory; larger ones are scaled down.
    sessions
        How many visitors are remembered at once; the one who was away longest is forgotten first.
    kept_megabytes
        Of the uploads of all visitors that are kept in memory, as the files that they are; the picture of whoever was
        away longest is forgotten first.
    stored_megabytes
        Of all uploaded files that nobody has asked about yet, and room for four of the largest in any case; the oldest
        is removed first.
    unused_seconds
        After which an uploaded file that nobody asked about is removed.
    uploads_at_once
        How many can be on their way at a time.
    connections
        How many there can be at a time.
    """

    megabytes: float = 10.0
    megapixels: float = 24.0
    frames: int = 600
    film_megapixels: float = 800.0
    shown_frames: int = 8
    new_tokens: int = 512
    prompt_letters: int = 500
    frame_side: int = 1024
    sessions: int = 200
    kept_megabytes: float = 256.0
    stored_megabytes: float = 256.0
    unused_seconds: float = 600.0
    uploads_at_once: int = 16
    connections: int = 500

    @property
    def bytes(self) -> int:
        """Size of an uploaded file."""
        return int(self.megabytes * 1_000_000)

    @property
    def stored_bytes(self) -> int:
        """Size of all uploaded files that nobody has asked about yet."""
        return max(int(self.stored_megabytes * 1_000_000), 4 * self.bytes)

    @property
    def pixels(self) -> int:
        """Width times height of a picture."""
        return int(self.megapixels * 1_000_000)

    def evenly(self, count: int) -> list[int]:
        """Which of ``count`` frames are shown: at equal distances, the first and the last among them."""
        last = max(self.shown_frames - 1, 1)
        return [round(number * (count - 1) / last) for number in range(self.shown_frames)]

    def fitted(self, frame: Image.Image) -> Image.Image:
        """Give a frame in RGB, scaled down if it is larger than is kept."""
        frame = as_opened(frame).copy()
        frame.thumbnail((self.frame_side, self.frame_side))
        return frame

    def check_pixels(self, name: str, width: int, height: int) -> None:
        """Refuse what is too large, before it is decoded.

        Raises
        ------
        InputError
            If it has more pixels than the limit.
        """
        if width * height > self.pixels:
            raise InputError(
                f"'{name}' has {width * height / 1e6:.1f} megapixels ({width} x {height}), more than the limit of "
                f"{self.megapixels:g}; scale it down first"
            )

    def check_frames(self, name: str, count: int, width: int, height: int) -> None:
        """Refuse a video or an animation that is too long, before it is decoded.

        Raises
        ------
        InputError
            If it has more frames, or all of them have more pixels, than the limit.
        """
        if count > self.frames:
            raise InputError(f"'{name}' has more frames than the limit of {self.frames}; cut it")
        if count * width * height > self.film_megapixels * 1_000_000:
            raise InputError(
                f"'{name}' has too many frames of {width} x {height}, together more than the limit of "
                f"{self.film_megapixels:g} megapixels; scale it down or cut it"
            )
