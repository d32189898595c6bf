"""Tasks by name: ``scenes:test``, ``videos:test``, ``chair``, ``pope``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from farsight.errors import SettingError
from farsight.evaluate.tasks import (
    DESCRIBE,
    Item,
    Task,
    caption_items,
    fingerprints,
    question_items,
    read_prompts,
)
from farsight.evaluate.video_tasks import FILES, video_items
from farsight.metrics.pope.questions import KINDS
from farsight.metrics.vocabulary import coco, read_vocabulary
from farsight.scenes import SPLITS, vocabulary_path
from farsight.scenes.draw import draw, draw_videos
from farsight.scenes.language import DESCRIBE as DESCRIBE_SCENE

DRAWN = tuple(f"{world}:{split}" for world in ("scenes", "videos") for split in SPLITS if split != "train")
NAMES = (*DRAWN, "chair", "pope")
SCENE_TOKENS = 160


@dataclass(frozen=True, kw_only=True)
class TaskOptions:
    """Where a task's pictures and truth are, and how much of it is asked."""

    images: Path | None = None
    objects: tuple[Path, ...] = ()
    questions: tuple[Path, ...] = ()
    synonyms: Path | None = None
    prompt: str | None = None
    max_new_tokens: int | None = None
    count: int | None = None
    question_count: int | None = None
    """Of each file of questions, also those of scenes."""


def make_task(name: str, options: TaskOptions, pictures: Path) -> Task:
    """Make a task.

    Parameters
    ----------
    name
        One of `NAMES`.
    options
        ``scenes:SPLIT`` and ``videos:SPLIT`` need none of the files; ``chair`` needs pictures and objects, ``pope``
        pictures and questions.
    pictures
        Where scenes and videos are drawn; a folder that is there already is used as it is.

    Raises
    ------
    SettingError
        If there is no such task, or it lacks a file that it needs.
    InputError
        If a file is bad.
    """
    if name.startswith("scenes:") and name in NAMES:
        return _scenes(name, options, pictures)
    if name.startswith("videos:") and name in NAMES:
        return _videos(name, options, pictures)
    if name == "chair":
        if options.images is None or not options.objects:
            raise SettingError(
                "task 'chair' needs --images and --objects (COCO's own files, or rows of image_id and objects)"
            )
        vocabulary = coco() if options.synonyms is None else read_vocabulary(options.synonyms)
        items = caption_items(
            options.images,
            list(options.objects),
            vocabulary,
            prompts=options.prompt or DESCRIBE,
            max_new_tokens=options.max_new_tokens or 512,
            limit=options.count,
        )
        sources = _asked(options) | fingerprints(options.objects)
        return Task(name=name, items=tuple(items), vocabulary=vocabulary, sources=sources)
    if name == "pope":
        if options.images is None or not options.questions:
            raise SettingError("task 'pope' needs --images and --questions, one option for each file of questions")
        items = _questions(options.images, options.questions, options.question_count or options.count)
        sources = _asked(options) | fingerprints(options.questions)
        return Task(name=name, items=tuple(items), vocabulary=coco(), sources=sources)
    raise SettingError(f"unknown task '{name}'; there are {', '.join(NAMES)}")


def _scenes(name: str, options: TaskOptions, folder: Path) -> Task:
    """Draw scenes and ask for a free caption, a counted one, and all questions."""
    count = options.count or 50
    if not folder.exists():
        draw(name.removeprefix("scenes:"), count, folder)  # type: ignore[arg-type]
    vocabulary = read_vocabulary(vocabulary_path())
    objects = folder / "objects.jsonl"
    tokens = options.max_new_tokens or SCENE_TOKENS
    items: list[Item] = []
    for part, prompts in (("free", options.prompt or DESCRIBE_SCENE[0]), ("counted", read_prompts(objects))):
        items += caption_items(folder, objects, vocabulary, part=part, prompts=prompts, max_new_tokens=tokens)
    questions = [folder / f"pope_{kind}.jsonl" for kind in KINDS]
    items += _questions(folder, questions, options.question_count)
    sources = _asked(options) | {"count": str(count)} | fingerprints([objects, *questions])
    return Task(name=name, items=tuple(items), vocabulary=vocabulary, sources=sources)


def _videos(name: str, options: TaskOptions, folder: Path) -> Task:
    """Draw videos and ask for a free caption, a counted one, and all questions."""
    count = options.count or 50
    if not folder.exists():
        draw_videos(name.removeprefix("videos:"), count, folder)  # type: ignore[arg-type]
    tokens = options.max_new_tokens or SCENE_TOKENS
    items = video_items(folder, prompt=options.prompt, max_new_tokens=tokens, question_count=options.question_count)
    sources = _asked(options) | {"count": str(count)} | fingerprints([folder / file for file in FILES])
    return Task(name=name, items=tuple(items), vocabulary=read_vocabulary(vocabulary_path()), sources=sources)


def _asked(options: TaskOptions) -> dict[str, str]:
    """What decides the items besides the files, where it is given."""
    given = {"prompt": options.prompt, "max_new_tokens": options.max_new_tokens, "count": options.count}
    given["question_count"] = options.question_count
    vocabulary = {} if options.synonyms is None else fingerprints([options.synonyms])
    return {name: str(value) for name, value in given.items() if value is not None} | vocabulary


def _questions(images: Path, files: Sequence[Path], limit: int | None) -> list[Item]:
    return [item for file in files for item in question_items(images, file, part=file.stem, limit=limit)]
