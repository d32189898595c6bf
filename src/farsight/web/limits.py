"""How much the page takes from whoever opens it."""

from __future__ import annotations

from dataclasses import dataclass


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
    shown_frames
        How many a model is shown.
    new_tokens
        Of a description.
    prompt_letters
        Of what is asked.
    sessions
        How many visitors are remembered at once; the one who was away longest is forgotten first.
    unused_seconds
        After which an uploaded file that nobody asked about is removed.
    """

    megabytes: float = 10.0
    megapixels: float = 24.0
    frames: int = 600
    shown_frames: int = 8
    new_tokens: int = 512
    prompt_letters: int = 500
    sessions: int = 200
    unused_seconds: float = 600.0

    @property
    def bytes(self) -> int:
        """Size of an uploaded file."""
        return int(self.megabytes * 1_000_000)

    @property
    def pixels(self) -> int:
        """Width times height of a picture."""
        return int(self.megapixels * 1_000_000)
