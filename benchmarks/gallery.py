"""Draw the pictures of docs/gallery.md again, for the embedded model as it is now, and print its figures.

    python benchmarks/gallery.py

One drawn scene of the examples, described plainly, with the paper's registers and with registers whose strengths were
measured on the examples' pictures to absorb a tenth of the rows that predict an answer.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from PIL import Image

from farsight import FarSight, Plain
from farsight.diagnose import diagnose
from farsight.diagnose.calibrate import calibrate
from farsight.diagnose.page import summary
from farsight.diagnose.report import draw_all
from farsight.diagnose.words import image_share, object_words, register_share
from farsight.images import find_images, open_image
from farsight.inputs.checkpoints import load
from farsight.metrics.captions import read_objects
from farsight.metrics.records import Reader
from farsight.metrics.vocabulary import read_vocabulary
from farsight.report.charts import image
from farsight_scenes import checkpoint_path, vocabulary_path

ROOT = Path(__file__).parents[1]
PICTURE, PROMPT, TOKENS = "kitchen.png", "Describe this image in detail.", 64
SHARE, ROWS = 0.1, "generated"


def main() -> None:
    vocabulary = read_vocabulary(vocabulary_path())
    objects = read_objects(ROOT / "examples" / "objects.jsonl", vocabulary, Reader())
    loaded = load(checkpoint_path(), device="cpu")
    paths = find_images(ROOT / "examples")
    pictures = [open_image(path) for path in sorted(set(paths.values()))]
    measured = calibrate(loaded, pictures, PROMPT, absorb=SHARE, rows=ROWS, max_new_tokens=TOKENS)
    methods = {
        "plain": Plain(),
        "farsight": FarSight(),
        "farsight, calibrated": FarSight(sigma=measured.sigma, rows=measured.rows, strength=measured.strength),
    }
    picture = open_image(ROOT / "examples" / PICTURE)
    all_found = diagnose(loaded, picture, PROMPT, methods, max_new_tokens=TOKENS)
    named = {found.label: object_words(found, vocabulary, objects[PICTURE]) for found in all_found}
    folder = ROOT / "docs" / "images" / "gallery"
    folder.mkdir(exist_ok=True)
    for name, drawn in draw_all(all_found, named).items():
        with Image.open(BytesIO(image(drawn))) as picture:
            picture.convert("RGB").save(folder / f"{name}.png", optimize=True)
    print("\n".join(summary(all_found)))
    for found in all_found:
        print(f"{found.label}: {found.text}")
        for word in named[found.label]:
            shares = (
                f"image {100 * image_share(found, word):.1f} %, registers {100 * register_share(found, word):.2f} %"
            )
            print(f"  {word.text} ({word.kind}): {shares}")


if __name__ == "__main__":
    main()
