"""``farsight describe --explain``: under a description, what each object word looked at and what registers took."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import Image
    from rich.console import Console

    from farsight.inputs.checkpoints import LoadedModel
    from farsight.method import Method
    from farsight.metrics.vocabulary import Vocabulary


def explained(
    loaded: LoadedModel,
    method: Method,
    image: Image.Image,
    prompt: str,
    max_new_tokens: int,
    vocabulary: Vocabulary,
    present: frozenset[str] | None,
) -> list[dict[str, Any]]:
    """Say for each object word of a description how much of its rows was on the picture and in the registers.

    The description is generated again, while every layer is watched; it is greedy, so it is the same.
    """
    from farsight.diagnose import diagnose
    from farsight.diagnose.words import image_share, object_words, register_share
    from farsight.methods.grammar import label_of

    [found] = diagnose(loaded, image, prompt, {label_of(method): method}, max_new_tokens=max_new_tokens)
    return [
        {
            "word": word.text,
            "object": word.object,
            "image": round(image_share(found, word), 5),
            "registers": round(register_share(found, word), 5),
        }
        | ({} if present is None else {"present": word.kind == "true"})
        for word in object_words(found, vocabulary, present)
    ]


def print_explained(console: Console, rows: Sequence[dict[str, Any]], title: str) -> None:
    """Print them as a small table, under the heading ``title``."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    if not rows:
        console.print(f"{title}: no word that names an object", style="dim")
        return
    known = any("present" in row for row in rows)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in (title, "on the image", "in registers", *(["in the picture"] if known else [])):
        table.add_column(Text(name), justify="left" if name == title else "right")
    for row in rows:
        shares = (f"{100 * row['image']:.1f} %", f"{100 * row['registers']:.2f} %")
        there = ["yes" if row["present"] else "no"] if known else []
        table.add_row(*(Text(cell) for cell in (row["word"], *shares, *there)))
    console.print(table)


def vocabulary_for(model: str, synonyms: str | None) -> Vocabulary:
    """The model's own by default, which is COCO's for most."""
    from farsight.cli.truth import vocabulary_file
    from farsight.inputs.named_models import vocabulary_of
    from farsight.metrics.vocabulary import read_vocabulary

    return read_vocabulary(vocabulary_of(model) if synonyms is None else vocabulary_file(synonyms))
