"""Items of a folder of drawn videos: free and counted captions, questions of presence, and of what happens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from farsight.errors import InputError
from farsight.evaluate.tasks import QUESTION_TOKENS, Item, Kind
from farsight.metrics.pope.files import read_questions
from farsight.metrics.pope.questions import KINDS
from farsight.metrics.records import Reader, Row

from .language import DESCRIBE_VIDEO

FILES = ("objects.jsonl", "questions.jsonl", *(f"pope_{kind}.jsonl" for kind in KINDS))
"""What a folder of videos has beside the frames; a run is held to them."""
WHAT_HAPPENS = ("order", "count", "event")
"""Kinds of ``questions.jsonl`` that are asked; presence is asked by POPE's files."""


def video_items(
    folder: Path, *, prompt: str | None = None, max_new_tokens: int, question_count: int | None = None
) -> list[Item]:
    """Ask everything about the videos that `farsight_scenes.draw.draw_videos` wrote.

    Parameters
    ----------
    folder
        With a folder of frames for each video, and `FILES`.
    prompt
        What asks for a free caption.
    max_new_tokens
        Of a caption.
    question_count
        Only the first so many questions of each kind.

    Raises
    ------
    InputError
        If a file is bad or the frames of a video are missing.
    """
    truths = list(Reader().read(folder / "objects.jsonl", _truth))
    items = [
        _item(folder, "caption", part, name, name, asked, max_new_tokens, {"objects": sorted(objects)})
        for part in ("free", "counted")
        for name, objects, counted in truths
        for asked in [(prompt or DESCRIBE_VIDEO[0]) if part == "free" else counted]
    ]
    for kind in KINDS:
        part = f"pope_{kind}"
        for one in list(read_questions(folder / f"{part}.jsonl", Reader()).values())[:question_count]:
            question = one.question
            truth = question._asdict()
            name, number = question.image, question.question_id
            items.append(_item(folder, "question", part, name, number, question.text, QUESTION_TOKENS, truth))
    asked_kinds = list(Reader().read(folder / "questions.jsonl", _question))
    items += [
        _item(folder, "exact", part, name, number, text, QUESTION_TOKENS, {"answer": answer})
        for part in WHAT_HAPPENS
        for name, number, text, answer in [one for kind, *one in asked_kinds if kind == part][:question_count]
    ]
    if missing := [item for item in items if item.path is None or not item.path.is_dir()]:
        raise InputError(f"{folder}: has no folder of frames of the video '{missing[0].image_id}'; draw it again")
    return items


def _truth(row: Row) -> tuple[str, list[str], str]:
    return row.identifier("video_id"), row.names("objects"), row.text("prompt")


def _question(row: Row) -> tuple[str, str, str, str, str]:
    name, number = row.identifier("video_id"), row.identifier("question_id")
    return row.text("kind"), name, number, row.text("text"), row.text("answer")


def _item(
    folder: Path, kind: Kind, part: str, video: str, number: str, prompt: str, tokens: int, truth: dict[str, Any]
) -> Item:
    return Item(
        item_id=f"{part}/{number}",
        part=part,
        kind=kind,
        image_id=video,
        path=folder / video,
        prompt=prompt,
        max_new_tokens=tokens,
        truth=truth,
        medium="video",
    )
