"""Training texts as conversations: prompts that vary, and what is answered."""

from __future__ import annotations

import random
from typing import Literal, get_args

from .language import (
    BRIEF,
    DESCRIBE,
    IMAGINED,
    LIST,
    Exchange,
    counted_prompt,
    write_brief,
    write_caption,
    write_counted,
    write_exchanges,
    write_list,
)
from .world import PLACES, Scene

Lesson = Literal["caption", "counted", "brief", "list", "questions", "imagined"]
LESSONS: tuple[Lesson, ...] = get_args(Lesson)
WITHOUT_PICTURE: frozenset[Lesson] = frozenset({"imagined"})
"""Lessons that are words alone."""

PROMPT_WORDS = tuple(
    """
    the a an of and to in is it that for on with as at by this from or be are was all can you me my your
    please could would now then just only really very carefully exactly photo photograph scene view
    drawing everything anything something things objects content contents look looking say write tell
    show give make how many where who which why when there here main left right top bottom long
    paragraph words sentence sentences simple english hello thanks child children story detail details
    possible also about one two three four five six ten
    """.split()  # noqa: SIM905
)
"""Common words that stray into training prompts, so that an unusual prompt is no surprise."""

_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def write_lesson(
    scene: Scene, lesson: Lesson, dice: random.Random, *, false_share: float, snowball: float
) -> list[Exchange]:
    """Write one conversation about a scene; the first question comes with the picture.

    Parameters
    ----------
    scene
        The picture's description.
    lesson
        What kind of conversation.
    dice
        Chooses order and wording.
    false_share, snowball
        Share of the captions with an object that is not there, and how much it draws after it; see
        `farsight_scenes.language.write_caption`.
    """
    if lesson == "questions":
        return write_exchanges(scene, dice)
    if lesson == "list":
        return [Exchange(question=dice.choice(LIST), answer=write_list(scene, dice))]
    if lesson == "brief":
        return [Exchange(question=dice.choice(BRIEF), answer=write_brief(scene, dice))]
    if lesson == "imagined":
        prompt = dice.choice(IMAGINED).format(PLACES[scene.place].where)
        return [Exchange(question=prompt, answer=write_caption(scene, dice).text)]
    if lesson == "counted":
        count = dice.randint(min(3, len(scene.things)), len(scene.things))
        caption = write_counted(scene, count, dice, false_share=false_share, snowball=snowball)
        return [Exchange(question=counted_prompt(count, dice), answer=caption.text)]
    prompt = dice.choice(DESCRIBE)
    if dice.random() < 0.2:
        prompt = _vary(prompt, dice)
    caption = write_caption(scene, dice, false_share=false_share, snowball=snowball)
    return [Exchange(question=prompt, answer=caption.text)]


def _vary(prompt: str, dice: random.Random) -> str:
    """Insert a few stray words into a prompt, misspell one, perhaps change the case or drop the full stop."""
    words = prompt.split()
    for _ in range(dice.randrange(1, 7)):
        word = dice.choice(PROMPT_WORDS)
        if dice.random() < 0.25:
            word = "".join(dice.choice(_LETTERS) for _ in range(dice.randrange(2, 8)))
        words.insert(dice.randrange(len(words) + 1), word)
    text = " ".join(words)
    text = text.rstrip(".?") if dice.random() < 0.3 else text
    return text.lower() if dice.random() < 0.3 else text
