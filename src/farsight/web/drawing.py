"""Pictures as links that hold the picture itself: nothing is written to the disk to be shown."""

from __future__ import annotations

from io import BytesIO

from PIL import Image

from farsight.diagnose.diagnosis import Diagnosis
from farsight.diagnose.draw_words import overlay
from farsight.diagnose.words import Word
from farsight.report.charts import data_uri

Seen = Image.Image | list[Image.Image]
"""A picture, or the frames of a video."""

SIDE = 384
FRAME = 128


def shown_uri(seen: Seen, side: int = SIDE) -> str:
    """Give a picture, or the frames of a video side by side, scaled down."""
    if isinstance(seen, list):
        strip = Image.new("RGB", (FRAME * len(seen), FRAME))
        for number, frame in enumerate(seen):
            strip.paste(frame.resize((FRAME, FRAME)), (FRAME * number, 0))
        return _jpeg(strip)
    small = seen.copy()
    small.thumbnail((side, side))
    return _jpeg(small)


def look_uri(found: Diagnosis, word: Word) -> str:
    """Give what the model saw, bright where the rows that predicted a word attended."""
    return _jpeg(Image.fromarray(overlay(found, word)))


def _jpeg(picture: Image.Image) -> str:
    buffer = BytesIO()
    picture.convert("RGB").save(buffer, "JPEG", quality=85)
    return data_uri(buffer.getvalue(), "image/jpeg")
