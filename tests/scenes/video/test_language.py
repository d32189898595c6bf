"""What is said about videos is true, unless it is meant not to be, and its order gives nothing away."""

import random
from collections import Counter

import pytest

from farsight_scenes import mentions
from farsight_scenes.pope import KINDS, PAIRS
from farsight_scenes.video.language import (
    DESCRIBE_VIDEO,
    counted_video_prompt,
    presence_questions,
    write_counted_caption,
    write_event_exchanges,
    write_free_caption,
    write_presence_exchanges,
    write_video_list,
)
from farsight_scenes.video.lessons import VIDEO_LESSONS, write_video_lesson
from farsight_scenes.video.videos import Video, sample_video, write_video_questions
from farsight_scenes.world import COMPANIES, PLACES

VIDEOS = [sample_video("train", index) for index in range(200)]


def moves(video: Video) -> dict[str, str]:
    return {actor.thing.category: actor.move for actor in video.actors}


def test_a_true_free_caption_says_what_every_object_does() -> None:
    dice = random.Random(0)
    for video in VIDEOS:
        caption = write_free_caption(video, dice)
        sentences = caption.text.rstrip(".").split(". ")[1:]
        assert [(mentions(one)[0], one.split()[-1]) for one in sentences] == [
            (name, moves(video)[name]) for name in caption.named
        ]
        assert set(caption.named) == set(video.objects)
        assert caption.false == ()


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_counted_caption_has_as_many_sentences_of_one_form(count: int) -> None:
    dice = random.Random(0)
    for video in VIDEOS[:50]:
        caption = write_counted_caption(video, count, dice)
        sentences = caption.text.rstrip(".").split(". ")
        assert len(sentences) == len(caption.named) == count
        assert all(one.startswith(("A ", "An ")) for one in sentences)
        assert [moves(video)[name] for name in caption.named] == [one.split()[-1] for one in sentences]


def test_no_more_objects_are_counted_than_there_are() -> None:
    with pytest.raises(ValueError, match="count must be from 1 to"):
        write_counted_caption(VIDEOS[0], 9, random.Random(0))
    assert counted_video_prompt(1) == "Name 1 object in this video, each in a sentence."


def test_a_share_of_captions_names_an_absent_object_and_then_its_company() -> None:
    dice = random.Random(1)
    captions = [write_free_caption(video, dice, false_share=0.3, snowball=1.0) for video in VIDEOS for _ in range(5)]
    wrong = [caption for caption in captions if caption.false]
    assert 0.25 < len(wrong) / len(captions) < 0.35
    for video, caption in zip([video for video in VIDEOS for _ in range(5)], captions, strict=True):
        assert not set(caption.false) & set(video.objects)
        if caption.false:
            first = caption.false[0]
            absent = set(COMPANIES[first]) - set(video.objects) - {first}
            assert set(caption.false[1:]) == absent & set(PLACES[video.place].own)
            assert caption.named[0] not in caption.false


def test_the_order_of_mention_does_not_follow_the_events() -> None:
    dice = random.Random(2)
    firsts: Counter[int] = Counter()
    for video in VIDEOS:
        named = [name for name in write_free_caption(video, dice).named if moves(video)[name] != "stays"]
        firsts[[actor.thing.category for actor in video.events].index(named[0])] += 1
    assert min(firsts[0], firsts[1]) > 0.2 * len(VIDEOS)


def test_lists_and_presence_are_true() -> None:
    dice = random.Random(3)
    for video in VIDEOS:
        assert set(mentions(write_video_list(video, dice))) == set(video.objects)
        asked = write_presence_exchanges(video, dice)
        assert all((mentions(one.question)[0] in video.objects) == (one.answer == "Yes.") for one in asked)
        assert sum(one.answer == "Yes." for one in asked) == len(asked) / 2
        assert all("image" not in one.question and "picture" not in one.question for one in asked)


def test_questions_about_events_do_not_give_presence_away() -> None:
    dice = random.Random(4)
    kinds = ("What happens first", "How many objects", "Does the")
    for video in VIDEOS[:50]:
        asked = write_event_exchanges(video, dice)
        assert all(one.question.startswith(kinds) for one in asked)
        assert len({one.question for one in asked}) == len(asked) >= 3


def test_as_many_events_happen_as_do_not() -> None:
    dice = random.Random(5)
    answers = [
        question.answer
        for video in VIDEOS
        for question in write_video_questions(video, dice)
        if question.kind in ("event", "presence")
    ]
    assert 0.44 < answers.count("Yes.") / len(answers) < 0.56


@pytest.mark.parametrize("kind", KINDS)
def test_presence_is_asked_as_in_pope(kind: str) -> None:
    for video in VIDEOS[:20]:
        asked = presence_questions(video, kind)  # type: ignore[arg-type]
        assert len(asked) == 2 * PAIRS
        for question in asked:
            assert question.image_id == video.video_id
            assert question.text.endswith("in the video?")
            assert (mentions(question.text)[0] in video.objects) == question.there


@pytest.mark.parametrize("lesson", VIDEO_LESSONS)
def test_every_lesson_repeats_from_its_dice(lesson: str) -> None:
    one, other = (
        write_video_lesson(VIDEOS[7], lesson, random.Random(9), false_share=0.3, snowball=0.7)  # type: ignore[arg-type]
        for _ in range(2)
    )
    assert one == other
    assert all(turn.question and turn.answer for turn in one)


def test_prompts_ask_about_videos() -> None:
    assert DESCRIBE_VIDEO[0] == "Describe this video."
    assert not any("image" in prompt or "picture" in prompt for prompt in DESCRIBE_VIDEO)
