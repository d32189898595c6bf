"""Training texts about videos as conversations."""

from __future__ import annotations

import random
from typing import Literal, get_args

from ..language import Exchange
from .language import (
    DESCRIBE_VIDEO,
    LIST_VIDEO,
    TELL,
    counted_video_prompt,
    write_counted_caption,
    write_event_exchanges,
    write_free_caption,
    write_presence_exchanges,
    write_video_list,
)
from .videos import Video, write_video_caption

VideoLesson = Literal["caption", "counted", "story", "list", "presence", "events"]
VIDEO_LESSONS: tuple[VideoLesson, ...] = get_args(VideoLesson)


def write_video_lesson(
    video: Video, lesson: VideoLesson, dice: random.Random, *, false_share: float, snowball: float
) -> list[Exchange]:
    """Write one conversation about a video; the first question comes with its frames.

    Parameters
    ----------
    video
        What it is about.
    lesson
        What kind of conversation: a free or counted caption, what happens in its order, a list,
        questions about presence, questions about what happens.
    dice
        Chooses order and wording.
    false_share, snowball
        Share of the free and counted captions with an object that is not there, and how much it draws after it; see
        `farsight_scenes.video.language.write_free_caption`.
    """
    if lesson == "presence":
        return write_presence_exchanges(video, dice)
    if lesson == "events":
        return write_event_exchanges(video, dice)
    if lesson == "list":
        return [Exchange(question=dice.choice(LIST_VIDEO), answer=write_video_list(video, dice))]
    if lesson == "story":
        return [Exchange(question=dice.choice(TELL), answer=write_video_caption(video))]
    if lesson == "counted":
        count = dice.randint(min(2, len(video.actors)), len(video.actors))
        counted = write_counted_caption(video, count, dice, false_share=false_share, snowball=snowball)
        return [Exchange(question=counted_video_prompt(count, dice), answer=counted.text)]
    caption = write_free_caption(video, dice, false_share=false_share, snowball=snowball)
    return [Exchange(question=dice.choice(DESCRIBE_VIDEO), answer=caption.text)]
