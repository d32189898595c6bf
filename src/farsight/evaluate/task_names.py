"""Tasks by name: ``scenes:test``, ``videos:test``, ``chair``, ``pope``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from farsight.errors import InputError, SettingError
from farsight.evaluate.fingerprints import fingerprint, fingerprints
from farsight.evaluate.tasks import (
    CAPTION_TOKENS,
    DESCRIBE,
    Item,
    Task,
    caption_items,
    question_items,
    read_prompts,
)
from farsight.evaluate.video_tasks import FILES, video_items
from farsight.files import short_names
from farsight.images import find_images
from farsight.metrics.captions import read_objects
from farsight.metrics.pope.questions import KINDS
from farsight.metrics.records import Reader
from farsight.metrics.vocabulary import coco, read_vocabulary
from farsight.scenes import SPLITS, vocabulary_path
from farsight.scenes.draw import draw, draw_videos
from farsight.scenes.language import DESCRIBE as DESCRIBE_SCENE

DRAWN = tuple(f"{world}:{split}" for world in ("scenes", "videos") for split in SPLITS if split != "train")
NAMES = (*DRAWN, "chair", "pope")
SCENE_TOKENS = 160
_OF_DRAWN = ("prompt", "max_new_tokens", "count", "question_count")
USES = {
    **dict.fromkeys(DRAWN, _OF_DRAWN),
    "chair": ("images", "objects", "synonyms", "prompt", "max_new_tokens", "count"),
    "pope": ("images", "questions", "count", "question_count"),
}
"""The options of each task; with another one it would not ask what was meant."""


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

    @property
    def given(self) -> set[str]:
        """The names of those that were."""
        return {one.name for one in fields(self) if getattr(self, one.name) not in (None, ())}


def choose_task(name: str | None, options: TaskOptions) -> str:
    """Give the name of the task, told from the options if it is not given, and check that it uses them all.

    Raises
    ------
    SettingError
        If there is no such task, it has no use for an option, it lacks a file that it needs, or the options do not say
        which it is.
    """
    given = options.given
    if name is None and "images" in given and not given & {"objects", "questions"}:
        raise SettingError(
            f"--images {options.images}: what is to be asked about these pictures? Add --objects FILE to have captions "
            "scored, or --questions FILE to have questions asked"
        )
    name = name or ("chair" if "objects" in given else "pope" if "questions" in given else "scenes:test")
    if name not in NAMES:
        raise SettingError(f"unknown task '{name}'; there are {', '.join(NAMES)}")
    if unused := sorted(given - set(USES[name])):
        users = [other for other in ("scenes:test", "chair", "pope") if unused[0] in USES[other]]
        raise SettingError(
            f"--{unused[0].replace('_', '-')} is of no use to the task '{name}': leave it out, or pass --task "
            f"{' or '.join(users)}"
        )
    if name == "chair" and not {"images", "objects"} <= given:
        raise SettingError(
            "task 'chair' needs --images and --objects (COCO's own files, or rows of image_id and objects)"
        )
    if name == "pope" and not {"images", "questions"} <= given:
        raise SettingError("task 'pope' needs --images and --questions, one option for each file of questions")
    if name == "pope" and {"count", "question_count"} <= given:
        raise SettingError("--count and --question-count are the same for the task 'pope': leave one out")
    return name


def make_task(name: str | None, options: TaskOptions, pictures: Path) -> Task:
    """Make a task.

    Parameters
    ----------
    name
        One of `NAMES`, or None for the one that the options tell; see `choose_task`.
    options
        ``scenes:SPLIT`` and ``videos:SPLIT`` need none of the files; ``chair`` needs pictures and objects, ``pope``
        pictures and questions.
    pictures
        Where scenes and videos are drawn; a folder that is there already is used as it is.

    Raises
    ------
    SettingError
        As `choose_task`.
    InputError
        If a file is bad.
    """
    name = choose_task(name, options)
    if name == "chair":
        return _chair(options)
    if name == "pope":
        return _pope(options)
    return (_scenes if name.startswith("scenes:") else _videos)(name, options, pictures)


def _chair(options: TaskOptions) -> Task:
    """Ask for a caption of each picture of a folder."""
    assert options.images is not None
    vocabulary = read_vocabulary(options.synonyms)
    there = find_images(options.images)
    sources = _asked(options) | {"objects": fingerprints(options.objects)}
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
    return Task(name="chair", items=tuple(items), vocabulary=vocabulary, sources=sources, missing=missing)


def _pope(options: TaskOptions) -> Task:
    """Ask the questions of some files."""
    assert options.images is not None
    items = _questions(options.images, options.questions, options.question_count or options.count)
    sources = _asked(options) | {"questions": fingerprints(options.questions)}
    return Task(name="pope", items=tuple(items), vocabulary=coco(), sources=sources)


def _scenes(name: str, options: TaskOptions, folder: Path) -> Task:
    """Draw scenes and ask for a free caption, a counted one, and all questions."""
    count = options.count or 50
    if not folder.exists():
        draw(name.removeprefix("scenes:"), count, folder)  # type: ignore[arg-type]
    _check_drawn(folder, name, count)
    vocabulary = read_vocabulary(vocabulary_path())
    objects = folder / "objects.jsonl"
    tokens = options.max_new_tokens or SCENE_TOKENS
    items: list[Item] = []
    for part, prompts in (("free", options.prompt or DESCRIBE_SCENE[0]), ("counted", read_prompts(objects))):
        items += caption_items(folder, objects, vocabulary, part=part, prompts=prompts, max_new_tokens=tokens)
    questions = [folder / f"pope_{kind}.jsonl" for kind in KINDS]
    items += _questions(folder, questions, options.question_count)
    sources = _asked(options) | {"count": str(count), "drawn": fingerprints([objects, *questions])}
    return Task(name=name, items=tuple(items), vocabulary=vocabulary, sources=sources)


def _videos(name: str, options: TaskOptions, folder: Path) -> Task:
    """Draw videos and ask for a free caption, a counted one, and all questions."""
    count = options.count or 50
    if not folder.exists():
        draw_videos(name.removeprefix("videos:"), count, folder)  # type: ignore[arg-type]
    _check_drawn(folder, name, count)
    tokens = options.max_new_tokens or SCENE_TOKENS
    items = video_items(folder, prompt=options.prompt, max_new_tokens=tokens, question_count=options.question_count)
    sources = _asked(options) | {"count": str(count), "drawn": fingerprints([folder / file for file in FILES])}
    return Task(name=name, items=tuple(items), vocabulary=read_vocabulary(vocabulary_path()), sources=sources)


def _check_drawn(folder: Path, name: str, count: int) -> None:
    """See that a folder has what would be drawn, if it was there already."""
    world, _, split = name.partition(":")
    there = list(Reader().read(folder / "objects.jsonl", lambda row: row.identifier("image_id")))
    expected = [f"{split}-{index:06d}{'-video' if world == 'videos' else ''}" for index in range(count)]
    if there != expected:
        raise InputError(
            f"{folder}: holds {len(there)} other {world} than the {count} of {name}; remove it or choose another"
        )


def _asked(options: TaskOptions) -> dict[str, Any]:
    """What decides the items besides the files, where it is given."""
    names = ("prompt", "max_new_tokens", "count", "question_count")
    return {name: str(getattr(options, name)) for name in names if name in options.given}


def _questions(images: Path, files: Sequence[Path], limit: int | None) -> list[Item]:
    """Ask the questions of several files, each a part of its own, whatever folder it is in."""
    return [
        item
        for part, file in zip(short_names(files), files, strict=True)
        for item in question_items(images, file, part=part, limit=limit)
    ]
