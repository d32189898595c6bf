"""Yes/no questions as in POPE (Li et al., EMNLP 2023), as many about objects that are there as about others."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from functools import cache
from itertools import permutations
from typing import Literal, NamedTuple

from .language import presence_question
from .world import CATEGORIES, Scene, sample_scene

Kind = Literal["random", "popular", "adversarial"]
KINDS: tuple[Kind, ...] = ("random", "popular", "adversarial")
PAIRS = 3
"""Objects that are there, and objects that are not, asked about in a picture: no object twice."""

_COUNTED = 2000


class Question(NamedTuple):
    """One question about one picture."""

    image_id: str
    text: str
    there: bool


def write_questions(scene: Scene, kind: Kind) -> list[Question]:
    """Ask about `PAIRS` objects that are there and as many that are not, alternating; always the same ones.

    The latter are any ("random"), those most frequent in the split ``train`` ("popular"), or those that occur most
    often there together with one of the former ("adversarial").
    """
    dice = random.Random(f"farsight scenes, presence in {scene.image_id}")
    present = dice.sample(scene.objects, PAIRS)
    absent = [name for name in CATEGORIES if name not in scene.objects]
    dice.shuffle(absent)
    if kind == "popular":
        absent.sort(key=lambda name: -_frequency()[name])
    elif kind == "adversarial":
        absent = _companions(present, absent)
    asked = zip(present, absent[:PAIRS], strict=True)
    return [
        Question(scene.image_id, presence_question(name), there)
        for pair in asked
        for name, there in zip(pair, (True, False), strict=True)
    ]


def _companions(present: Sequence[str], absent: Sequence[str]) -> list[str]:
    """For each object that is there the absent one seen with it most often, none twice."""
    chosen: list[str] = []
    for name in present:
        left = (other for other in absent if other not in chosen)
        chosen.append(max(left, key=lambda other: _together()[name, other]))
    return chosen


@cache
def _frequency() -> Counter[str]:
    """In how many pictures of the split ``train`` each object is."""
    return Counter(name for objects in _training_objects() for name in objects)


@cache
def _together() -> Counter[tuple[str, str]]:
    """In how many pictures of the split ``train`` two objects are."""
    return Counter(pair for objects in _training_objects() for pair in permutations(objects, 2))


@cache
def _training_objects() -> tuple[tuple[str, ...], ...]:
    return tuple(sample_scene("train", index).objects for index in range(_COUNTED))
