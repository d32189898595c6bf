"""What was said about pictures: by the methods of a run, or by whatever answers in production."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

from farsight.errors import InputError
from farsight.files import short_names
from farsight.images import find_images
from farsight.metrics.captions import CAPTION_KEYS, IMAGE_KEYS
from farsight.metrics.pope.answers import begins_clearly
from farsight.metrics.records import BadRecordError, Reader, Row

ANSWERS = "answers.jsonl"
_PICTURE_KEYS = ("picture", "image_path", "path", "image", "image_id", "id")


class _Said(NamedTuple):
    image_id: str
    picture: str
    method: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One picture and all that was said about it."""

    image_id: str
    path: Path
    """Of a picture, or of the folder of a video's frames."""
    answers: Mapping[str, tuple[str, ...]]
    """What each method answered, one text for each prompt."""


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What there is to judge.

    Parameters
    ----------
    pictures
        In the order of the answers.
    methods
        All that say something; the first is what others are compared with.
    left_out
        How many answers are not judged, by the reason.
    """

    pictures: tuple[Picture, ...]
    methods: tuple[str, ...]
    left_out: Mapping[str, int] = field(default_factory=dict)


def read_answers(sources: Sequence[Path], images: Path | None = None) -> Answers:
    """Read answers and find their pictures.

    Parameters
    ----------
    sources
        Folders of runs, or files of JSON Lines: a picture (``image``, ``image_id``, ...), a ``text`` (or ``caption``,
        ``response``, ``answer``) and perhaps a ``method`` in each row. Rows without a method are of one that is called
        as the file.
    images
        Where the pictures are; by default as the rows say, from the folder of their file.

    Raises
    ------
    InputError
        If a file is bad, nothing is left, or no picture is found.
    """
    left_out: Counter[str] = Counter()
    reader = Reader(growing=True)
    said: dict[str, dict[str, list[str]]] = {}
    places: dict[str, tuple[str, Path]] = {}
    methods: dict[str, None] = {}
    files = [source / ANSWERS if source.is_dir() else source for source in sources]
    for source, file, name in zip(sources, files, short_names(list(sources)), strict=True):
        if source.is_dir() and not file.exists():
            raise InputError(
                f"{source}: has no {ANSWERS}; give a folder of farsight tune or eval, or a file of answers"
            )
        for one in reader.read(file, partial(_said, name)):
            if isinstance(one, str):
                left_out[one] += 1
                continue
            label = f"{name}: {one.method}" if len(sources) > 1 and one.method != name else one.method
            methods[label] = None
            places.setdefault(one.image_id, (one.picture, file.parent))
            said.setdefault(one.image_id, {}).setdefault(label, []).append(one.text)
    if reader.skipped:
        left_out["are cut off"] = len(reader.skipped)
    if not said:
        raise InputError(f"{files[0]}: has no answer that could be judged ({_told(left_out)})")
    find = _beside if images is None else partial(_in, images, cache(partial(find_images, images)))
    paths = {image_id: find(*place, image_id) for image_id, place in places.items()}
    pictures = [
        Picture(image_id=image_id, path=path, answers={label: tuple(texts) for label, texts in by.items()})
        for image_id, by in said.items()
        if (path := paths[image_id]) is not None
    ]
    if not pictures:
        first = next(iter(places.values()))[0]
        raise InputError(
            f"{files[0]}: none of its {len(said)} pictures is found, such as '{first}'; say where: --images"
        )
    if len(pictures) < len(said):
        left_out["pictures are not there"] = len(said) - len(pictures)
    return Answers(pictures=tuple(pictures), methods=tuple(methods), left_out=dict(left_out))


def _said(name: str, row: Row) -> _Said | str:
    """Understand a row; or say why it is not judged."""
    if row.fields.get("failed") is not None:
        return "have failed"
    text = row.text(*CAPTION_KEYS)
    if not text.strip():
        return "are empty"
    if begins_clearly(text):
        return "answer yes or no"
    method = row.fields.get("method", name)
    if not isinstance(method, str) or not method:
        raise BadRecordError("'method' is no name")
    picture = next((row.fields[key] for key in _PICTURE_KEYS if row.fields.get(key) is not None), None)
    if picture is None:
        if row.fields.keys() & set(_PICTURE_KEYS):
            return "are about no picture"
        raise BadRecordError(f"there is no picture: it needs one of {', '.join(_PICTURE_KEYS)}")
    known = {"image_id": picture} | {key: row.fields[key] for key in IMAGE_KEYS if row.fields.get(key) is not None}
    return _Said(Row(row.where, known).identifier("image_id"), str(picture), method, text)


def _beside(picture: str, folder: Path, image_id: str) -> Path | None:
    """Where a picture is by the row, from the folder of its file."""
    return _existing(folder / picture) or _existing(folder / "pictures" / picture)


def _in(images: Path, listed: Callable[[], Mapping[str, Path]], picture: str, _: Path, image_id: str) -> Path | None:
    """Where a picture is among others: by its path from there, or by what its file is called."""
    if not Path(picture).is_absolute() and (path := _existing(images / picture)) is not None:
        return path
    names = (picture, Path(picture).name, image_id)
    return next((listed()[name] for name in names if name in listed()), _existing(images / Path(picture).name))


def _existing(path: Path) -> Path | None:
    try:
        return path if path.exists() else None
    except (OSError, ValueError):
        return None


def _told(left_out: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in left_out.items()) or "it is empty"
