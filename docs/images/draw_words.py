"""Draw the words over the picture for the README: ``python docs/images/draw_words.py``.

One example picture, what the embedded model says of it with plain decoding, its right and wrong objects marked, and
for each of them where the rows that predicted the word looked. Everything is measured.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib.figure import SubFigure
from matplotlib.offsetbox import AnchoredOffsetbox, HPacker, TextArea, VPacker
from numpy.typing import NDArray
from PIL import Image

from farsight import Plain
from farsight.diagnose import diagnose
from farsight.diagnose.draw_words import overlay
from farsight.diagnose.words import Word, object_words
from farsight.images import open_image
from farsight.inputs.checkpoints import load
from farsight.metrics.captions import read_objects
from farsight.metrics.records import Reader
from farsight.metrics.vocabulary import read_vocabulary
from farsight.report import charts
from farsight_scenes import checkpoint_path, vocabulary_path

ROOT = Path(__file__).parents[2]
NAME, PROMPT, TOKENS, MOST = "kitchen.png", "Please describe this image in detail.", 80, 6
RIGHT, WRONG = "#0d8a66", "#cc2f1d"


def main() -> None:
    vocabulary = read_vocabulary(vocabulary_path())
    objects = read_objects(ROOT / "examples" / "objects.jsonl", vocabulary, Reader())
    picture = open_image(ROOT / "examples" / NAME)
    (found,) = diagnose(
        load(checkpoint_path(), device="cpu"), picture, PROMPT, {"plain": Plain()}, max_new_tokens=TOKENS
    )
    words = object_words(found, vocabulary, objects[NAME])
    shown: dict[str, Word] = {}
    for word in words:
        shown.setdefault(word.text, word)
    chosen = list(shown.values())[:MOST]
    with charts.figure(11, 5.6) as drawn:
        top, below = drawn.subfigures(2, 1, height_ratios=(1.15, 1))
        left, right = top.subplots(1, 2, width_ratios=(1, 2.6))
        left.imshow(picture)
        right.set_xlim(0, 1)
        right.add_artist(_caption(found.text, {word.text: word.kind for word in words}))
        for axes in (left, right):
            axes.axis("off")
        _looks(below, [(overlay(found, word), word) for word in chosen])
        with Image.open(BytesIO(charts.image(drawn))) as made:
            made.convert("RGB").quantize(256).save(Path(__file__).with_name("words.png"), optimize=True)


def _looks(below: SubFigure, shown: list[tuple[NDArray[np.uint8], Word]]) -> None:
    below.suptitle(
        "Where each word looked: bright is where the rows that predicted it attended", fontsize=10, color=charts.QUIET
    )
    for axes, (seen, word) in zip(below.subplots(1, len(shown)), shown, strict=True):
        axes.imshow(seen)
        axes.set_title(f"{'✗' if word.kind == 'false' else '✓'} {word.text}", color=_colour(word.kind), fontsize=12)
        axes.axis("off")


def _caption(text: str, kinds: dict[str, str], width: int = 62) -> AnchoredOffsetbox:
    """The answer in lines, its objects in colour."""
    lines: list[list[str]] = [[]]
    for word in text.split():
        if sum(len(one) + 1 for one in lines[-1]) + len(word) > width:
            lines.append([])
        lines[-1].append(word)
    rows = [
        HPacker(
            children=[
                TextArea(
                    word,
                    textprops={
                        "size": 13,
                        "color": _colour(kinds.get(word.strip(".,"), "")),
                        "weight": "bold" if word.strip(".,") in kinds else "normal",
                    },
                )
                for word in line
            ],
            pad=0,
            sep=5,
        )
        for line in lines
    ]
    legend = TextArea(
        "bold green: in the picture     bold red: made up     (objects are judged, not colours)",
        textprops={"size": 9, "color": charts.QUIET},
    )
    box = VPacker(children=[*rows, legend], pad=0, sep=9, align="left")
    return AnchoredOffsetbox(loc="center left", child=box, frameon=False, pad=0)


def _colour(kind: str) -> str:
    return {"true": RIGHT, "false": WRONG}.get(kind, charts.INK)


if __name__ == "__main__":
    main()
