"""Write pictures with their truth: ``python -m farsight.scenes.draw --split test --count 100 --out DIR``."""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

from .language import write_caption
from .render import render
from .world import SPLITS, Split, sample_scene


def draw(split: Split, count: int, out: Path, *, start: int = 0, side: int = 384) -> None:
    """Write pictures, ``objects.jsonl`` (what is there) and ``captions.jsonl`` (one true caption each).

    Parameters
    ----------
    split
        Which seeds.
    count, start
        How many scenes, from which index on.
    out
        Folder; made if it is not there.
    side
        Width and height of the pictures in pixels.
    """
    out.mkdir(parents=True, exist_ok=True)
    with (
        (out / "objects.jsonl").open("w", encoding="utf-8") as objects,
        (out / "captions.jsonl").open("w", encoding="utf-8") as captions,
    ):
        for index in range(start, start + count):
            scene = sample_scene(split, index)
            name = f"{scene.image_id}.png"
            render(scene, side).save(out / name, optimize=True)
            caption = write_caption(scene, random.Random(f"farsight scenes, caption of {scene.image_id}"))
            row = {"image_id": scene.image_id, "file_name": name}
            objects.write(json.dumps({**row, "place": scene.place, "objects": list(scene.objects)}) + "\n")
            captions.write(json.dumps({**row, "caption": caption.text}) + "\n")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Draw pictures of the small world.")
    parser.add_argument("--split", choices=SPLITS, default="test")
    parser.add_argument("--count", type=int, default=100, help="number of pictures (default 100)")
    parser.add_argument("--start", type=int, default=0, help="index of the first one (default 0)")
    parser.add_argument("--side", type=int, default=384, help="width and height in pixels (default 384)")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    options = parser.parse_args()
    if options.count < 1 or options.start < 0 or options.side < 16:
        parser.error("--count must be 1 or more, --start 0 or more, --side 16 or more")
    draw(options.split, options.count, options.out, start=options.start, side=options.side)


if __name__ == "__main__":
    main()
