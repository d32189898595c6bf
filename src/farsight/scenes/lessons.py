"""Training texts as conversations: prompts that vary, and what is answered."""

from __future__ import annotations

import random
from typing import Literal

from .language import (
    BRIEF,
    DESCRIBE,
    LIST,
    Exchange,
    write_brief,
    write_caption,
    write_exchanges,
    write_list,
)
from .world import Scene

Lesson = Literal["caption", "brief", "list", "questions"]

FALSE_SHARE = 0.2
"""Share of the captions that name one object which is not there, for the model to learn from."""

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


def write_lesson(scene: Scene, lesson: Lesson, dice: random.Random) -> list[Exchange]:
    """One conversation about a scene; the first question comes with the picture."""
    if lesson == "questions":
        return write_exchanges(scene, dice)
    if lesson == "list":
        return [Exchange(question=dice.choice(LIST), answer=write_list(scene, dice))]
    if lesson == "brief":
        return [Exchange(question=dice.choice(BRIEF), answer=write_brief(scene, dice))]
    prompt = dice.choice(DESCRIBE)
    if dice.random() < 0.2:
        prompt = _vary(prompt, dice)
    return [Exchange(question=prompt, answer=write_caption(scene, dice, false_share=FALSE_SHARE).text)]


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
