"""The tasks ``scenes:SPLIT`` and ``videos:SPLIT``: pictures and videos are drawn, then asked about as any others."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from farsight.errors import InputError
from farsight.evaluate.fingerprints import fingerprints
from farsight.evaluate.named_tasks import NamedTask, TaskOptions
from farsight.evaluate.tasks import Item, Task, caption_items, question_file_items, read_prompts
from farsight.metrics.records import Reader
from farsight.metrics.vocabulary import read_vocabulary

from . import vocabulary_path
from .draw import draw, draw_videos
from .language import DESCRIBE
from .pope import KINDS
from .video.items import FILES, video_items
from .world import Split

CAPTION_TOKENS = 160
COUNT = 50
_SPLITS = ("test", "shifted", "validation", "calibration")
_USES = ("prompt", "max_new_tokens", "count", "skip", "question_count")


def _scenes(name: str, options: TaskOptions, folder: Path) -> Task:
    """Draw scenes and ask for a free caption, a counted one, and all questions."""
    indices = _indices(options)
    if not folder.exists():
        draw(_split(name), len(indices), folder, start=indices.start)
    _check_drawn(folder, name, [f"{_split(name)}-{index:06d}" for index in indices])
    vocabulary = read_vocabulary(vocabulary_path())
    objects = folder / "objects.jsonl"
    tokens = options.max_new_tokens or CAPTION_TOKENS
    items: list[Item] = []
    for part, prompts in (("free", options.prompt or DESCRIBE[0]), ("counted", read_prompts(objects))):
        items += caption_items(folder, objects, vocabulary, part=part, prompts=prompts, max_new_tokens=tokens)
    questions = [folder / f"pope_{kind}.jsonl" for kind in KINDS]
    items += question_file_items(folder, questions, options.question_count)
    sources = _sources(options, indices, [objects, *questions])
    return Task(name=name, items=tuple(items), vocabulary=vocabulary, sources=sources)


def _videos(name: str, options: TaskOptions, folder: Path) -> Task:
    """Draw videos and ask for a free caption, a counted one, and all questions."""
    indices = _indices(options)
    if not folder.exists():
        draw_videos(_split(name), len(indices), folder, start=indices.start)
    _check_drawn(folder, name, [f"{_split(name)}-{index:06d}-video" for index in indices])
    tokens = options.max_new_tokens or CAPTION_TOKENS
    items = video_items(folder, prompt=options.prompt, max_new_tokens=tokens, question_count=options.question_count)
    sources = _sources(options, indices, [folder / file for file in FILES])
    return Task(name=name, items=tuple(items), vocabulary=read_vocabulary(vocabulary_path()), sources=sources)


def _split(name: str) -> Split:
    return cast("Split", name.partition(":")[2])


def _indices(options: TaskOptions) -> range:
    """Which scenes of the split are asked about."""
    start = options.skip or 0
    return range(start, start + (options.count or COUNT))


def _sources(options: TaskOptions, indices: range, drawn: list[Path]) -> dict[str, Any]:
    return {**options.asked, "count": str(len(indices)), "drawn": fingerprints(drawn)}


def _check_drawn(folder: Path, name: str, expected: list[str]) -> None:
    """See that a folder has what would be drawn, if it was there already."""
    there = list(Reader().read(folder / "objects.jsonl", lambda row: row.identifier("image_id")))
    if there != expected:
        other = f"{len(there)} other {name.partition(':')[0]} than the {len(expected)} of {name}"
        raise InputError(f"{folder}: holds {other}; remove it or choose another")


SCENES = NamedTask(make=_scenes, uses=_USES, splits=_SPLITS)
VIDEOS = NamedTask(make=_videos, uses=_USES, splits=_SPLITS, medium="video")
