"""Videos show what their captions say, in that order."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from farsight_scenes import mentions
from farsight_scenes.draw import draw_videos
from farsight_scenes.video.videos import FRAMES, render_video, sample_video, write_video_caption, write_video_questions

VIDEOS = [sample_video("test", index) for index in range(80)]


def test_a_seed_gives_the_same_video() -> None:
    assert sample_video("test", 3) == VIDEOS[3]
    one, other = (render_video(VIDEOS[3], 48) for _ in range(2))
    assert [frame.tobytes() for frame in one] == [frame.tobytes() for frame in other]


def test_objects_move_inside_the_picture_as_their_move_says() -> None:
    for video in VIDEOS:
        moves = [actor.move for actor in video.actors]
        assert {"enters", "leaves"} <= set(moves)
        for actor in video.actors:
            assert len(actor.path) == FRAMES
            inset = actor.thing.size / 2 - 1e-3
            assert all(inset <= x <= 1 - inset for x, _ in filter(None, actor.path))
            there = [place is not None for place in actor.path]
            assert there[0] == (actor.move in ("stays", "leaves"))
            assert there[-1] == (actor.move != "leaves")


def test_no_two_things_happen_at_once() -> None:
    for video in VIDEOS:
        frames = [actor.event for actor in video.events]
        assert frames == sorted(set(frames))


def test_frames_show_what_is_visible_and_nothing_else_changes() -> None:
    for video in VIDEOS[:4]:
        frames = [np.asarray(frame, np.int16) for frame in render_video(video, 96)]
        boxes = np.zeros((96, 96), bool)
        for actor in video.actors:
            for x, y in filter(None, actor.path):
                left, top, right, bottom = (
                    round(96 * (at + sign * (actor.thing.size / 2 + 0.03))) for sign in (-1, 1) for at in (x, y)
                )
                boxes[max(0, top) : bottom, max(0, left) : right] = True
        for before, after, number in zip(frames, frames[1:], range(FRAMES), strict=False):
            assert not np.abs(before - after)[~boxes].any()
            assert (video.visible(number) == video.visible(number + 1)) or np.abs(before - after).any()


def test_captions_tell_what_happens_in_its_order() -> None:
    for video in VIDEOS:
        text = write_video_caption(video)
        told = text[text.index("First ") :] if "First " in text else ""
        assert mentions(told) == tuple(actor.thing.category for actor in video.events)
        assert set(mentions(text)) == {actor.thing.category for actor in video.actors}


@pytest.mark.parametrize("number", range(12))
def test_questions_have_true_answers(number: int) -> None:
    video = VIDEOS[number]
    answers = {question.kind: question for question in write_video_questions(video, random.Random(number))}
    assert set(answers) == {"order", "count", "event", "presence"}
    first, second = (
        next(actor for actor in video.actors if actor.thing.category == name)
        for name in mentions(answers["order"].text)
    )
    earlier = min((first, second), key=lambda actor: actor.event)
    assert mentions(answers["order"].answer) == (earlier.thing.category,)
    there = mentions(answers["presence"].text)[0] in {actor.thing.category for actor in video.actors}
    assert answers["presence"].answer == ("Yes." if there else "No.")


def test_videos_are_written_with_their_truth(tmp_path: Path) -> None:
    draw_videos("validation", 2, tmp_path / "out", side=32)
    rows = [json.loads(line) for line in (tmp_path / "out" / "objects.jsonl").read_text().splitlines()]
    for row in rows:
        frames = sorted((tmp_path / "out" / row["video_id"]).iterdir())
        assert len(frames) == len(row["frames"]) == FRAMES
        assert Image.open(frames[0]).size == (32, 32)
        assert row["image_id"] == row["video_id"]
        assert row["prompt"].startswith(f"Name {len(row['objects'])} objects")
    assert len((tmp_path / "out" / "questions.jsonl").read_text().splitlines()) == 8
    asked = [json.loads(line) for line in (tmp_path / "out" / "pope_adversarial.jsonl").read_text().splitlines()]
    objects = {row["video_id"]: row["objects"] for row in rows}
    assert len(asked) == 12
    assert all((mentions(one["text"])[0] in objects[one["image"]]) == (one["label"] == "yes") for one in asked)
