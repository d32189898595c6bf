"""Tasks of a user's own files: ``chair`` asks for captions of pictures, ``pope`` asks a file's questions about them."""

from __future__ import annotations

from pathlib import Path

from farsight.errors import SettingError
from farsight.evaluate.fingerprints import fingerprint, fingerprints
from farsight.evaluate.named_tasks import NamedTask, TaskOptions
from farsight.evaluate.tasks import CAPTION_TOKENS, DESCRIBE, Task, caption_items, question_file_items
from farsight.images import find_images
from farsight.metrics.captions import read_objects
from farsight.metrics.records import Reader
from farsight.metrics.vocabulary import coco, read_vocabulary


def _chair(name: str, options: TaskOptions, folder: Path) -> Task:
    """Ask for a caption of each picture of a folder."""
    assert options.images is not None
    vocabulary = read_vocabulary(options.synonyms)
    there = find_images(options.images)
    sources = options.asked | {"objects": fingerprints(options.objects)}
    if options.synonyms is not None:
        sources |= {"synonyms": fingerprint(options.synonyms)}
    present = read_objects(list(options.objects), vocabulary, Reader())
    items = caption_items(
        options.images,
        present,
        vocabulary,
        prompts=options.prompt or DESCRIBE,
        max_new_tokens=options.max_new_tokens or CAPTION_TOKENS,
        limit=options.count,
    )
    missing = tuple(image_id for image_id in present if image_id not in there)
    return Task(name=name, items=tuple(items), vocabulary=vocabulary, sources=sources, missing=missing)


def _check_pope(options: TaskOptions) -> None:
    if {"count", "question_count"} <= options.given:
        raise SettingError("--count and --question-count are the same for the task 'pope': leave one out")


def _pope(name: str, options: TaskOptions, folder: Path) -> Task:
    """Ask the questions of some files."""
    assert options.images is not None
    items = question_file_items(options.images, options.questions, options.question_count or options.count)
    sources = options.asked | {"questions": fingerprints(options.questions)}
    return Task(name=name, items=tuple(items), vocabulary=coco(), sources=sources)


CHAIR = NamedTask(
    make=_chair,
    uses=("images", "objects", "synonyms", "prompt", "max_new_tokens", "count"),
    needs=("images", "objects"),
)
POPE = NamedTask(
    make=_pope,
    uses=("images", "questions", "count", "question_count"),
    needs=("images", "questions"),
    check=_check_pope,
)
