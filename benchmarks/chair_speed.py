"""How long CHAIR takes: captions of the length that a large model writes, files in, figures out.

python benchmarks/chair_speed.py [--captions 5000] [--words 90] [--runs 5] [--json]
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from pathlib import Path

from farsight.metrics import chair
from farsight.metrics.vocabulary import coco

FILLER = ["the", "image", "shows", "a", "large", "scene,", "in", "which", "there", "are", "several", "of", "them."]


def write_captions(folder: Path, count: int, words: int) -> tuple[Path, Path]:
    """Write made-up captions of which every ninth word or so names an object, and the objects of their pictures."""
    dice = random.Random(0)
    names = [name for category, synonyms in coco().objects.items() for name in (category, *synonyms)]
    captions, objects = folder / "captions.jsonl", folder / "objects.jsonl"
    with captions.open("w") as said, objects.open("w") as present:
        for image in range(count):
            text = " ".join(dice.choice(names if dice.random() < 0.11 else FILLER) for _ in range(words))
            said.write(json.dumps({"image_id": image, "caption": text}) + "\n")
            present.write(json.dumps({"image_id": image, "objects": dice.sample(sorted(coco().objects), 4)}) + "\n")
    return captions, objects


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--captions", type=int, default=5000)
    parser.add_argument("--words", type=int, default=90)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = write_captions(Path(folder), options.captions, options.words)
        seconds = []
        for _ in range(options.runs):
            start = time.perf_counter()
            found = chair.score(*files)
            seconds.append(time.perf_counter() - start)
    record = {
        "captions": options.captions,
        "words_per_caption": found.length,
        "mentions": found.mentions,
        "seconds": {"median": statistics.median(seconds), "least": min(seconds), "most": max(seconds)},
    }
    if options.json:
        print(json.dumps(record, indent=2))
    else:
        print(
            f"{options.captions} captions of {found.length:.0f} words ({found.mentions} mentions): "
            f"{statistics.median(seconds):.2f} s, median of {options.runs} ({min(seconds):.2f} to {max(seconds):.2f})"
        )


if __name__ == "__main__":
    main()
