r"""What checking a description could do at best: `verified` with a verifier that is never wrong.

On pictures whose objects are known, as a method of ``farsight eval``:

    farsight scenes draw --split test --count 100 --out drawn
    farsight eval --task scenes:test --count 100 --out run \
        --methods "greedy,verified,benchmarks/verified.py:Exact(folder=drawn)"

On captions that were said already, without a model:

    python benchmarks/verified.py captions.jsonl --objects objects.jsonl
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import ClassVar

from PIL import Image

from farsight.files import json_lines, opened
from farsight.files.documents import decode_json
from farsight.images import find_images, open_image
from farsight.inputs.checkpoints import LoadedModel
from farsight.methods.said_again import without
from farsight.methods.verified import Verified
from farsight.metrics import chair
from farsight.metrics.captions import read_objects
from farsight.metrics.comparison import compare
from farsight.metrics.records import Reader
from farsight.metrics.vocabulary import read_vocabulary

FIGURES = {"chair_i": "CHAIR_I", "chair_s": "CHAIR_S", "recall": "recall", "words": "words"}


@dataclass(frozen=True, kw_only=True)
class Exact(Verified):
    """Knows what is in the pictures of a folder, by its ``objects.jsonl``; a picture is known by its pixels."""

    name: ClassVar[str] = "exact"
    paper: ClassVar[str] = "no decoding method; a bound, from no paper"
    folder: str

    def scores(self, loaded: LoadedModel, picture: Image.Image, objects: Sequence[str], together: int) -> list[float]:
        """1 of what is there, else 0."""
        there = _known(self.folder)[_pixels(picture)]
        return [float(one in there) for one in objects]


@cache
def _known(folder: str) -> dict[str, frozenset[str]]:
    with opened(Path(folder) / "objects.jsonl") as file:
        rows = [decode_json(line.decode()) for _, line in json_lines(file)]
    paths = find_images(Path(folder))
    return {_pixels(open_image(paths[row["image_id"]])): frozenset(row["objects"]) for row in rows}


def _pixels(picture: Image.Image) -> str:
    return sha256(picture.convert("RGB").tobytes()).hexdigest()


def main() -> None:
    """Say captions again without all that is not there, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("captions", type=Path, nargs="+", help="rows of image_id and caption")
    parser.add_argument("--objects", type=Path, required=True, help="rows of image_id and objects")
    parser.add_argument("--synonyms", type=Path, help="a vocabulary; COCO's by default")
    args = parser.parse_args()
    vocabulary = read_vocabulary(args.synonyms)
    known = read_objects(args.objects, vocabulary, Reader())
    print(
        "| captions | " + " | ".join(FIGURES.values()) + " | nothing left |\n|---" + "|---" * (len(FIGURES) + 1) + "|"
    )
    for path in args.captions:
        with opened(path) as file:
            rows = [decode_json(line.decode()) for _, line in json_lines(file)]
        drafts = {str(row["image_id"]): row["caption"] for row in rows}
        there = {image_id: known[image_id] for image_id in drafts}
        again = {
            image_id: without(text, {m.object for m in vocabulary.mentions(text)} - there[image_id], vocabulary)
            for image_id, text in drafts.items()
        }
        before, after = (
            chair.score(
                [{"image_id": i, "caption": text or "..."} for i, text in said.items()], there, vocabulary=vocabulary
            )
            for said in (drafts, again)
        )
        found = compare(before, after)
        cells = [found[name].shown(1, 1) if name == "words" else found[name].shown() for name in FIGURES]
        print(f"| {path} | " + " | ".join(cells) + f" | {sum(not text for text in again.values())} of {len(rows)} |")


if __name__ == "__main__":
    main()
