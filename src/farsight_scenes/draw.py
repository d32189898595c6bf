"""Write pictures with their truth: ``python -m farsight_scenes.draw --split test --count 100 --out DIR``.

With ``--videos`` it writes short videos instead, a folder of frames each.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from farsight.errors import FarSightError, InputError

from .language import counted_prompt, write_caption
from .pope import KINDS, Kind, write_questions
from .render import render
from .video.language import counted_video_prompt, presence_questions
from .video.videos import Video, render_video, sample_video, write_video_caption, write_video_questions
from .world import SPLITS, Scene, Split, sample_scene

MOST, MOST_SIDE = 1_000_000, 4096
"""Pictures of a split, and pixels of a side."""
COMPRESSION = 3
"""Of PNG files: the pictures have fine noise, which more effort makes hardly smaller."""


def draw(split: Split, count: int, out: Path, *, start: int = 0, side: int = 384) -> None:
    """Write pictures and what is true of them. All of the folder appears at once, or nothing does.

    - ``objects.jsonl``: image_id, file_name, place, objects; and ``count``, ``prompt``: how many objects there are, and
      the prompt that asks for that many.
    - ``captions.jsonl``: image_id, caption; one true caption each.
    - ``pope_random.jsonl``, ``pope_popular.jsonl``, ``pope_adversarial.jsonl``: question_id, image, text, label.

    Parameters
    ----------
    split
        Which seeds.
    count, start
        How many scenes, from which index on.
    out
        Folder; made if it is not there.
    side
        Width and height of the pictures in pixels.

    Raises
    ------
    InputError
        If there is something in the folder already, or it cannot be written.
    """
    _check(count, start, side)
    scenes = [sample_scene(split, index) for index in range(start, start + count)]
    with _new_folder(out) as fresh:
        for scene in scenes:
            render(scene, side).save(fresh / _file(scene.image_id), compress_level=COMPRESSION)
        _lines(fresh / "objects.jsonl", map(_objects, scenes))
        _lines(fresh / "captions.jsonl", map(_caption, scenes))
        for kind in KINDS:
            _lines(fresh / f"pope_{kind}.jsonl", pope_rows(scenes, kind))


def draw_videos(split: Split, count: int, out: Path, *, start: int = 0, side: int = 384) -> None:
    """Write videos and what is true of them, all at once or nothing.

    - ``VIDEO_ID/00.png`` ... ``07.png``: the frames.
    - ``captions.jsonl``: video_id, caption. ``questions.jsonl``: question_id, video_id, kind, text, answer.
    - ``objects.jsonl``: video_id, place, objects, and ``frames``: which of them are in each frame; ``count`` and
      ``prompt``, as for pictures. Here and in the captions the video's name is also its ``image_id``, as metrics want.
    - ``pope_random.jsonl``, ``pope_popular.jsonl``, ``pope_adversarial.jsonl``: as for pictures, of videos.

    Parameters and errors are those of `draw`.
    """
    _check(count, start, side)
    videos = [sample_video(split, index) for index in range(start, start + count)]
    with _new_folder(out) as fresh:
        for video in videos:
            (fresh / video.video_id).mkdir()
            for number, frame in enumerate(render_video(video, side)):
                frame.save(fresh / video.video_id / f"{number:02d}.png", compress_level=COMPRESSION)
        _lines(fresh / "objects.jsonl", map(_video_objects, videos))
        _lines(fresh / "captions.jsonl", map(_video_caption, videos))
        _lines(fresh / "questions.jsonl", _video_questions(videos))
        for kind in KINDS:
            _lines(fresh / f"pope_{kind}.jsonl", _video_pope_rows(videos, kind))


def _check(count: int, start: int, side: int) -> None:
    for name, value, least, most in (
        ("count", count, 1, MOST),
        ("start", start, 0, MOST),
        ("side", side, 16, MOST_SIDE),
    ):
        if not least <= value <= most:
            raise InputError(f"{name} must be from {least} to {most}, got {value}")


@contextmanager
def _new_folder(out: Path) -> Iterator[Path]:
    """Give a folder to write to, which becomes ``out`` if all goes well."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is not an empty folder: remove it or choose another one")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
            fresh = Path(folder) / "fresh"
            fresh.mkdir()
            yield fresh
            if out.exists():
                out.rmdir()
            fresh.rename(out)
    except OSError as error:
        raise InputError(f"{out} cannot be written ({error})") from error


def pope_rows(scenes: Iterable[Scene], kind: Kind) -> list[dict[str, object]]:
    """Questions about some scenes in POPE's format, numbered from 1."""
    asked = [question for scene in scenes for question in write_questions(scene, kind)]
    return [
        {
            "question_id": number,
            "image": _file(question.image_id),
            "text": question.text,
            "label": "yes" if question.there else "no",
        }
        for number, question in enumerate(asked, 1)
    ]


def _objects(scene: Scene) -> dict[str, object]:
    count = len(scene.things)
    return {
        "image_id": scene.image_id,
        "file_name": _file(scene.image_id),
        "place": scene.place,
        "objects": list(scene.objects),
        "count": count,
        "prompt": counted_prompt(count),
    }


def _caption(scene: Scene) -> dict[str, object]:
    caption = write_caption(scene, random.Random(f"farsight scenes, caption of {scene.image_id}"))
    return {"image_id": scene.image_id, "caption": caption.text}


def _video_objects(video: Video) -> dict[str, object]:
    count = len(video.actors)
    return {
        "video_id": video.video_id,
        "image_id": video.video_id,
        "place": video.place,
        "objects": list(video.objects),
        "frames": [list(video.visible(frame)) for frame in range(len(video.actors[0].path))],
        "count": count,
        "prompt": counted_video_prompt(count),
    }


def _video_caption(video: Video) -> dict[str, object]:
    return {"video_id": video.video_id, "image_id": video.video_id, "caption": write_video_caption(video)}


def _video_pope_rows(videos: Iterable[Video], kind: Kind) -> Iterator[dict[str, object]]:
    asked = (question for video in videos for question in presence_questions(video, kind))
    for number, question in enumerate(asked, 1):
        about = {"question_id": number, "image": question.image_id, "text": question.text}
        yield {**about, "label": "yes" if question.there else "no"}


def _video_questions(videos: Iterable[Video]) -> Iterator[dict[str, object]]:
    number = 0
    for video in videos:
        dice = random.Random(f"farsight videos, questions about {video.video_id}")
        for question in write_video_questions(video, dice):
            number += 1
            about = {"question_id": number, "video_id": video.video_id, "kind": question.kind}
            yield {**about, "text": question.text, "answer": question.answer}


def _file(image_id: str) -> str:
    return f"{image_id}.png"


def _lines(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Draw pictures or videos of the small world.")
    parser.add_argument("--split", choices=SPLITS, default="test")
    parser.add_argument("--count", type=int, default=100, help="number of pictures or videos (default 100)")
    parser.add_argument("--start", type=int, default=0, help="index of the first one (default 0)")
    parser.add_argument("--side", type=int, default=384, help="width and height in pixels (default 384)")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to; new or empty")
    parser.add_argument("--videos", action="store_true", help="draw short videos, a folder of frames each")
    options = parser.parse_args()
    make = draw_videos if options.videos else draw
    try:
        make(options.split, options.count, options.out, start=options.start, side=options.side)
    except FarSightError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
