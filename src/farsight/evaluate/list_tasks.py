"""Pictures described from a list of their objects: what does a language model add to what it was told?

No picture is shown, so that any language model can be asked, and nothing can be blamed on not seeing. What it names
and the list does not have is made up, as in a caption (CHAIR).
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
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


@dataclass(frozen=True, kw_only=True)
class Wording:
    """How a description is asked for."""

    request: str
    """With ``{objects}`` in it."""
    beginning: str = ""
    """Of the description; the model goes on with it."""
    examples: Mapping[str, str] = field(default_factory=dict)
    """Lists with descriptions that name nothing else of COCO's objects; they come first."""
    shuffled: bool = False
    """Objects are told in an order drawn for each picture, not in that of the alphabet."""

    def prompt(self, image: str, objects: Iterable[str]) -> str:
        """Give the prompt for a picture's list."""
        names = sorted(objects)
        if self.shuffled:
            random.Random(image).shuffle(names)
        told = [f"{self.request.format(objects=listed)} {text}\n\n" for listed, text in self.examples.items()]
        return "".join(told) + self.request.format(objects=", ".join(names)) + self.beginning


WORDINGS = {
    "": Wording(
        request="Objects in the photo: {objects}\nDescription:",
        beginning=" The photo shows",
        examples={
            "dog, frisbee, person": "The photo shows a dog leaping to catch a frisbee on a wide green lawn. A person "
            "stands a few steps behind with one arm still stretched out. The grass is freshly cut, and long shadows "
            "fall across it. The sky above is pale blue with a few thin clouds.",
            "bed, book, chair": "The photo shows a bed with white sheets beneath a large window. A book lies open on "
            "the blanket, and a chair stands in the corner. Soft morning light falls through the thin curtains. The "
            "walls are painted a warm yellow, and the wooden floor is bare.",
            "bicycle, car, person, umbrella": "The photo shows a person with an umbrella on a rainy street. A bicycle "
            "leans against a wall of red bricks, and a car is parked beside it. Drops of water run down the shop "
            "windows. The pavement is wet, and the street lamps are mirrored in it.",
        },
    ),
    "second": Wording(
        request="Things in the picture: {objects}\nWhat can be seen:",
        beginning=" In the picture there is",
        examples={
            "boat, person": "In the picture there is a small boat on a calm lake. A person sits in it and looks toward "
            "the far shore. Tall pines stand along the water, and their reflections tremble in it. A thin mist hangs "
            "over the hills.",
            "bowl, dining table, orange, spoon": "In the picture there is a dining table with a checked cloth. A bowl "
            "stands in the middle, with a spoon beside it and an orange in it. Sunlight comes from the left and warms "
            "the wood. The wall behind is plain and white.",
            "horse, person": "In the picture there is a horse on a dusty path. A person leads it by a rope toward a "
            "wooden gate. Dry grass grows on both sides. The hills behind are brown under a clear sky.",
        },
    ),
    "trial": Wording(
        request="Objects in the photo: {objects}\nDescription:",
        beginning=" The photo shows",
        shuffled=True,
        examples={
            "cat, couch, remote, potted plant": "The photo shows a living room in the afternoon. A grey cat lies on a "
            "soft couch and looks towards the window. A remote has been left beside it, half hidden under its tail. In "
            "the corner a potted plant stands on the wooden floor, and its leaves reach up to the curtains.",
            "person, bicycle, traffic light, car": "The photo shows a busy street in a large city. A person rides a "
            "bicycle down the middle of the road and wears a yellow jacket. A car waits behind at a traffic light, "
            "which has just turned red. The sun is low over the houses, and long shadows fall across the pavement.",
            "pizza, fork, knife, cup, dining table": "The photo shows a meal that is about to begin. A large pizza "
            "with tomatoes and cheese lies on a round dining table. A fork and a knife have been placed next to the "
            "plate, on a white napkin. Behind it stands a cup that is still half full, and steam rises from it.",
        },
    ),
    "chat": Wording(
        request="Here is a list of the objects in a photo: {objects}. Describe the photo in four sentences."
    ),
}
"""By what follows the task's name: texts to go on with, and a request in the model's chat template."""


def list_items(
    objects: Mapping[str, frozenset[str]],
    wording: str,
    *,
    max_new_tokens: int = TOKENS,
    skip: int = 0,
    limit: int | None = None,
) -> list[Item]:
    """Ask for a description of each list.

    Parameters
    ----------
    objects
        What each picture has in it: the model is told, and its description is scored.
    wording
        One of `WORDINGS`.
    max_new_tokens
        Most tokens of a description.
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
    asked, name = WORDINGS[wording], wording or "completion"
    return [
        Item(
            item_id=f"{name}/{image}",
            part=name,
            kind="caption",
            image_id=image,
            path=None,
            prompt=asked.prompt(image, objects[image]),
            max_new_tokens=max_new_tokens,
            truth={"objects": sorted(objects[image])},
            medium="completion" if asked.beginning else "text",
        )
        for image in chosen
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
        name.partition(":")[2],
        max_new_tokens=options.max_new_tokens or TOKENS,
        skip=options.skip or 0,
        limit=options.count,
    )
    return Task(name=name, items=tuple(items), vocabulary=vocabulary, sources=sources, generation=GENERATION)


LISTS = NamedTask(
    make=_make,
    check=_check,
    uses=("objects", "synonyms", "max_new_tokens", "count", "skip"),
    splits=tuple(WORDINGS),
    medium="text",
)
