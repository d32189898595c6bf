"""Pictures described from a list of their objects: what does a language model add to what it was told?

No picture is shown, so that any language model can be asked, and nothing can be blamed on not seeing. What it names
and the list does not have is made up, as in a caption (CHAIR).
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

from farsight.errors import InputError, SettingError
from farsight.evaluate.fingerprints import fingerprint, fingerprints
from farsight.evaluate.named_tasks import NamedTask, TaskOptions
from farsight.evaluate.tasks import Item, Task
from farsight.metrics.captions import read_objects
from farsight.metrics.records import Reader
from farsight.metrics.vocabulary import read_vocabulary

FEW, MANY = 3, 7
"""Lists of so many objects come first: enough to be told apart, and few enough for four sentences."""
SEED = 7
TOKENS = 90
GENERATION = {"repetition_penalty": 1.1}
"""Without it a small model says a sentence again and again."""

EXAMPLES = {
    "dog, frisbee, person": "The photo shows a dog leaping to catch a frisbee on a wide green lawn. A person stands a "
    "few steps behind with one arm still stretched out. The grass is freshly cut, and long shadows fall across it. The "
    "sky above is pale blue with a few thin clouds.",
    "bed, book, chair": "The photo shows a bed with white sheets beneath a large window. A book lies open on the "
    "blanket, and a chair stands in the corner. Soft morning light falls through the thin curtains. The walls are "
    "painted a warm yellow, and the wooden floor is bare.",
    "bicycle, car, person, umbrella": "The photo shows a person with an umbrella on a rainy street. A bicycle leans "
    "against a wall of red bricks, and a car is parked beside it. Drops of water run down the shop windows. The "
    "pavement is wet, and the street lamps are mirrored in it.",
}
"""Lists with descriptions that name nothing else of COCO's objects."""

COMPLETION = "Objects in the photo: {objects}\nDescription:"
BEGINNING = " The photo shows"
REQUEST = "Here is a list of the objects in a photo: {objects}. Describe the photo in four sentences."
FORMS = ("completion", "chat")


def list_items(
    objects: Mapping[str, frozenset[str]],
    form: str,
    *,
    max_new_tokens: int = TOKENS,
    skip: int = 0,
    limit: int | None = None,
) -> list[Item]:
    """Ask for a description of each list.

    Parameters
    ----------
    objects
        What each picture has in it: the model is told, in alphabetical order, and its description is scored.
    form
        One of `FORMS`: three examples and a beginning to go on with, or a request in the model's chat template.
    max_new_tokens
        Of a description.
    skip, limit
        Leave out the first so many, and take so many then. Pictures with `FEW` to `MANY` objects come first, then the
        others, both in an order drawn with `SEED`; pictures without any are left out.

    Raises
    ------
    InputError
        If nothing is left.
    """
    usual = [image for image, names in objects.items() if FEW <= len(names) <= MANY]
    others = [image for image, names in objects.items() if names and image not in set(usual)]
    for part in (usual, others):
        random.Random(SEED).shuffle(part)
    chosen = [*usual, *others][skip:][:limit]
    if not chosen:
        raise InputError(
            f"none of {len(usual) + len(others)} lists of objects is left after the first {skip}: skip fewer"
        )
    examples = "\n\n".join(f"{COMPLETION.format(objects=names)} {text}" for names, text in EXAMPLES.items())
    return [
        Item(
            item_id=f"{form}/{image}",
            part=form,
            kind="caption",
            image_id=image,
            path=None,
            prompt=f"{examples}\n\n{COMPLETION.format(objects=told)}{BEGINNING}"
            if form == "completion"
            else REQUEST.format(objects=told),
            max_new_tokens=max_new_tokens,
            truth={"objects": sorted(objects[image])},
            medium="completion" if form == "completion" else "text",
        )
        for image in chosen
        for told in [", ".join(sorted(objects[image]))]
    ]


def _check(options: TaskOptions) -> None:
    if "objects" not in options.given:
        raise SettingError("task 'lists' needs --objects (rows of image_id and objects, or COCO's own files)")


def _make(name: str, options: TaskOptions, folder: Path) -> Task:
    vocabulary = read_vocabulary(options.synonyms)
    sources = options.asked | {"objects": fingerprints(options.objects)}
    if options.synonyms is not None:
        sources |= {"synonyms": fingerprint(options.synonyms)}
    items = list_items(
        read_objects(list(options.objects), vocabulary, Reader()),
        "chat" if name.endswith(":chat") else "completion",
        max_new_tokens=options.max_new_tokens or TOKENS,
        skip=options.skip or 0,
        limit=options.count,
    )
    return Task(name=name, items=tuple(items), vocabulary=vocabulary, sources=sources, generation=GENERATION)


LISTS = NamedTask(
    make=_make,
    check=_check,
    uses=("objects", "synonyms", "max_new_tokens", "count", "skip"),
    splits=("", "chat"),
    medium="text",
)
