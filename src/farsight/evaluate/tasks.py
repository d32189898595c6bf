"""What is asked: a list of items, each a picture or a video, a prompt, and what is needed to score the answer.

A task is data. Captions are asked for pictures whose objects are known and scored with CHAIR; questions are POPE's. The
scenes are drawn into a folder in the formats of the field and then read as any other folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from farsight.errors import InputError
from farsight.files import short_names
from farsight.images import find_images, row_of
from farsight.metrics.captions import IMAGE_KEYS, Objects, read_objects
from farsight.metrics.pope.files import read_questions
from farsight.metrics.records import Reader, Row
from farsight.metrics.vocabulary import Vocabulary

DESCRIBE = "Please describe this image in detail."
CAPTION_TOKENS, QUESTION_TOKENS = 512, 16

Kind = Literal["caption", "question", "exact", "amber_description", "amber_answer", "snowball"]
"""Scored with CHAIR, as POPE, by whether the answer is the right words, or by sums (`farsight.evaluate.sums`)."""
Medium = Literal["picture", "talk", "video", "text", "completion"]
"""What a prompt is about: a picture, a picture of which more was said, a video, or nothing but itself. A completion is
no request in the model's chat template but a text that the model goes on with, to the end of the line."""


@dataclass(frozen=True, kw_only=True)
class Item:
    """One picture or video and one prompt."""

    item_id: str
    """Names it within its task."""
    part: str
    """The part of the task that it belongs to; parts are scored one by one."""
    kind: Kind
    image_id: str
    path: Path | None
    """None of what is asked without a picture."""
    prompt: str
    max_new_tokens: int
    truth: Mapping[str, Any] = field(default_factory=dict)
    """Of a caption, the ``objects`` in the picture; of a question, its ``question_id``, ``text`` and ``label``; of an
    exact one, the ``answer``."""
    medium: Medium = "picture"
    """Of a video, ``path`` is the folder of its frames."""
    earlier: tuple[str, ...] = ()
    """What was said about the picture before the prompt, by user and assistant in turn, whoever wrote it."""

    @property
    def describes(self) -> bool:
        """Whether the answer is a description, whose objects can be looked for."""
        return self.kind in ("caption", "amber_description")


@dataclass(frozen=True, kw_only=True)
class Task:
    """A named list of items."""

    name: str
    items: tuple[Item, ...]
    vocabulary: Vocabulary
    sources: Mapping[str, Any]
    """Settings, and fingerprints of the files that it was made of, by option: a run goes on only with the same."""
    generation: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of ``generate`` that belong to the task, unless a run says otherwise."""
    missing: tuple[str, ...] = ()
    """Pictures that something is known of and that are not there; nothing is asked about them."""

    @property
    def parts(self) -> dict[str, tuple[Item, ...]]:
        """The items of each part, in order."""
        found: dict[str, list[Item]] = {}
        for item in self.items:
            found.setdefault(item.part, []).append(item)
        return {part: tuple(items) for part, items in found.items()}


def caption_items(
    images: Path,
    objects: Objects,
    vocabulary: Vocabulary,
    *,
    part: str = "captions",
    prompts: str | Mapping[str, str] = DESCRIBE,
    max_new_tokens: int = CAPTION_TOKENS,
    limit: int | None = None,
) -> list[Item]:
    """Ask for a caption of every picture of a folder whose objects are known.

    Parameters
    ----------
    images
        Folder of the pictures; annotations find them by file name, by stem or by their number in COCO.
    objects
        What is in them; see `farsight.metrics.captions.read_objects`. Pictures that the folder lacks are left out,
        since annotations mostly cover more than was sampled. Of two rows of one picture the one by its exact name
        counts; see `farsight.images.row_of`.
    prompts
        What to ask, or what to ask about each image.
    limit
        Take the first so many, in the order of the annotations.

    Raises
    ------
    InputError
        If none of the annotated pictures is in the folder.
    """
    paths = find_images(images)
    present = read_objects(objects, vocabulary, Reader())
    chosen = [
        image_id for image_id in present if image_id in paths and row_of(paths[image_id], present, paths) == image_id
    ][:limit]
    if not chosen:
        known = f"the {len(present)} pictures that the objects are known of, such as '{next(iter(present), '')}'"
        raise InputError(
            f"{images}: has none of {known}; give the folder that has them, or the objects of what is there"
        )
    return [
        Item(
            item_id=f"{part}/{image_id}",
            part=part,
            kind="caption",
            image_id=image_id,
            path=paths[image_id],
            prompt=prompts if isinstance(prompts, str) else prompts[image_id],
            max_new_tokens=max_new_tokens,
            truth={"objects": sorted(present[image_id])},
        )
        for image_id in chosen
    ]


def question_items(
    images: Path, questions: Path, *, part: str, max_new_tokens: int = QUESTION_TOKENS, limit: int | None = None
) -> list[Item]:
    """Ask the questions of a POPE file.

    Raises
    ------
    InputError
        If pictures that it names are not in the folder; the message says how many and names the first.
    """
    paths = find_images(images)
    asked = [one.question for one in read_questions(questions, Reader()).values()][:limit]
    if missing := [one for one in asked if one.image not in paths]:
        raise InputError(
            f"{questions}: {len({one.image for one in missing})} of its pictures are not in {images}, "
            f"the first of them '{missing[0].image}'; give the folder that has them with --images"
        )
    return [
        Item(
            item_id=f"{part}/{one.question_id}",
            part=part,
            kind="question",
            image_id=one.image,
            path=paths[one.image],
            prompt=one.text,
            max_new_tokens=max_new_tokens,
            truth=one._asdict(),
        )
        for one in asked
    ]


def question_file_items(images: Path, files: Sequence[Path], limit: int | None) -> list[Item]:
    """Ask the questions of several files, each a part of its own, whatever folder it is in."""
    return [
        item
        for part, file in zip(short_names(files), files, strict=True)
        for item in question_items(images, file, part=part, limit=limit)
    ]


def read_prompts(objects: Path) -> dict[str, str]:
    """Read the prompt that each row of an objects file has of its own."""

    def parse(row: Row) -> tuple[str, str]:
        return row.identifier(*IMAGE_KEYS), row.text("prompt")

    return dict(Reader().read(objects, parse))
