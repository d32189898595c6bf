"""What is said about a scene: captions, lists, questions and answers, and the prompts that ask for them."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from .world import CATEGORIES, COMPANIES, PLACES, Scene, Thing

DESCRIBE = (
    "Describe this image.",
    "Describe the image.",
    "Describe this picture.",
    "Describe this image in detail.",
    "Please describe this image in detail.",
    "Please describe the image in detail.",
    "What is in this image?",
    "What is in this picture?",
    "What do you see?",
    "What can you see in this image?",
    "What is shown in the image?",
    "What does this picture show?",
    "Write a caption for this image.",
    "Give a detailed description of the image.",
    "Tell me what you see in this picture.",
    "Please help me describe the image in detail.",
    "Explain what is in the picture.",
    "Provide a description of the given image.",
)
BRIEF = (
    "Describe this image briefly.",
    "Describe the image in one sentence.",
    "Give a short caption.",
    "Summarize this picture.",
)
LIST = (
    "List the objects in this image.",
    "List the objects.",
    "Which objects are in this picture?",
    "Name all the objects you see.",
)
COUNTED = (
    "Name {} objects in this picture, each in a sentence.",
    "Name {} objects in this image, each in a sentence.",
    "Name {} objects in the picture, one in each sentence.",
    "Describe {} objects in this image, each in a sentence.",
)
IMAGINED = (
    "Describe a picture taken {}.",
    "Imagine a picture taken {} and describe it.",
    "What could a picture taken {} show?",
)
"""Prompts that come without a picture."""

IS_THERE = (
    "Is there {} in the image?",
    "Is there {} in this image?",
    "Is there {} in the picture?",
    "Do you see {} in the image?",
    "Is {} visible?",
)
WHICH_COLOUR = ("What color is the {}?", "What colour is the {}?")
WHERE = ("Where is the {}?", "Where in the image is the {}?")
WHICH_PLACE = ("Where was this picture taken?", "What kind of place is this?")

TOGETHER = 0.5
"""Chance that a caption goes on with an object of the same company as the last one, if one is left to name."""

_OPENINGS = ("The image shows {}.", "This is {}.", "This picture shows {}.", "The picture was taken {where}.")
_SENTENCES = {
    "There is {noun} {position}{relation}.": 6,
    "You can see {noun} {position}{relation}.": 2,
    "{Noun} is {position}{relation}.": 2,
}
_POSITIONS = (
    ("at the top left", "at the top", "at the top right"),
    ("on the left", "in the middle", "on the right"),
    ("at the bottom left", "at the bottom", "at the bottom right"),
)
POSITIONS = tuple(phrase for row in _POSITIONS for phrase in row)
"""The nine position phrases, row by row."""

_VOWELS = "aeiou"


@dataclass(frozen=True, kw_only=True)
class Caption:
    """A description and the categories that its sentences introduce, in order.

    Parameters
    ----------
    text
        The description.
    named
        Categories in order of mention.
    false
        Those of them that are not in the picture.
    """

    text: str
    named: tuple[str, ...]
    false: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """One question and its answer."""

    question: str
    answer: str


def zone(x: float, y: float) -> int:
    """Index into `POSITIONS` of a point, both coordinates from 0 to 1."""
    column, row = (0 if value < 0.36 else 2 if value > 0.64 else 1 for value in (x, y))
    return 3 * row + column


def indefinite(words: str) -> str:
    """Put "a" or "an" before some words."""
    return f"{'an' if words[0] in _VOWELS else 'a'} {words}"


def write_caption(scene: Scene, dice: random.Random, *, false_share: float = 0.0, snowball: float = 0.7) -> Caption:
    """Describe a scene freely: every object, in an order that says nothing about what is true.

    Parameters
    ----------
    scene
        What to describe.
    dice
        Chooses order and wording.
    false_share
        Chance that one object is named which belongs to the place but is not there.
    snowball
        Chance that the false object draws each absent object of its company after it.
    """
    things, false = choose_things(scene, dice, false_share, snowball)
    place = PLACES[scene.place]
    sentences = [dice.choice(_OPENINGS).format(place.phrase, where=place.where)]
    sentences += [_sentence(thing, scene.things, dice) for thing in things]
    if dice.random() < 0.5:
        sentences.append(f"It is a {_mood(len(things))} scene.")
    return _caption(" ".join(sentences), things, false)


def write_counted(
    scene: Scene, count: int, dice: random.Random, *, false_share: float = 0.0, snowball: float = 0.7
) -> Caption:
    """Name ``count`` objects, each in one sentence of a fixed form, so that only what is named can vary.

    Parameters
    ----------
    scene
        What to describe.
    count
        How many sentences; at most as many as there are objects.
    dice, false_share, snowball
        As in `write_caption`.

    Raises
    ------
    ValueError
        If the picture has fewer objects.
    """
    if not 1 <= count <= len(scene.things):
        raise ValueError(f"count must be from 1 to {len(scene.things)}, the objects of {scene.image_id}, got {count}")
    things, false = choose_things(scene, dice, false_share, snowball)
    things = things[:count]
    return _caption(" ".join(_plain(thing) for thing in things), things, false)


def counted_prompt(count: int, dice: random.Random | None = None) -> str:
    """Ask for ``count`` objects, in the wording that is measured unless ``dice`` may choose another one."""
    prompt = (dice.choice(COUNTED) if dice else COUNTED[0]).format(count)
    return prompt.replace("1 objects", "1 object")


def write_brief(scene: Scene, dice: random.Random) -> str:
    """Name the place and two objects."""
    first, second = dice.sample(scene.things, 2)
    nouns = [indefinite(f"{thing.colour} {thing.category}") for thing in (first, second)]
    place = PLACES[scene.place].phrase
    return f"{place[0].upper()}{place[1:]} with {nouns[0]} and {nouns[1]}."


def write_list(scene: Scene, dice: random.Random) -> str:
    """Name the objects and their colours and nothing else."""
    things = list(scene.things)
    dice.shuffle(things)
    text = ", ".join(indefinite(f"{thing.colour} {thing.category}") for thing in things)
    return f"{text[0].upper()}{text[1:]}."


def presence_question(category: str, dice: random.Random | None = None) -> str:
    """Ask whether a category is there, in the wording of POPE unless ``dice`` may choose another one."""
    template = dice.choice(IS_THERE) if dice else IS_THERE[0]
    return template.format(f"{CATEGORIES[category].article} {category}")


def balanced_presence(scene: Scene, pairs: int, dice: random.Random) -> list[tuple[str, bool]]:
    """Choose as many objects that are there as not; half of the latter, if it can be, belong to the place."""
    present = dice.sample(scene.objects, min(pairs, len(scene.objects)))
    likely = [name for name in PLACES[scene.place].own if name not in scene.objects]
    others = [name for name in CATEGORIES if name not in scene.objects and name not in likely]
    absent = dice.sample(likely, min((len(present) + 1) // 2, len(likely)))
    absent += dice.sample(others, len(present) - len(absent))
    asked = [(name, True) for name in present] + [(name, False) for name in absent]
    dice.shuffle(asked)
    return asked


def write_exchanges(scene: Scene, dice: random.Random, pairs: int = 3) -> list[Exchange]:
    """Questions about presence (balanced), a colour, a position and the place, in random order."""
    exchanges = [
        Exchange(question=presence_question(name, dice), answer="Yes." if there else "No.")
        for name, there in balanced_presence(scene, pairs, dice)
    ]
    thing, other = dice.sample(scene.things, 2)
    position = POSITIONS[zone(other.x, other.y)]
    exchanges += [
        Exchange(question=dice.choice(WHICH_COLOUR).format(thing.category), answer=f"{thing.colour.capitalize()}."),
        Exchange(question=dice.choice(WHERE).format(other.category), answer=f"{position[0].upper()}{position[1:]}."),
    ]
    if dice.random() < 0.3:
        exchanges.append(
            Exchange(question=dice.choice(WHICH_PLACE), answer=f"{PLACES[scene.place].where.capitalize()}.")
        )
    dice.shuffle(exchanges)
    return exchanges


def choose_things(
    scene: Scene, dice: random.Random, false_share: float, snowball: float
) -> tuple[list[Thing], frozenset[str]]:
    """Choose what a caption names, in order, and which of it is false; something true comes first."""
    things = _order(scene.things, dice)
    false = _invent(scene, snowball, dice) if dice.random() < false_share else []
    start = dice.randrange(1, len(things) + 1)
    things[start:start] = false
    return things, frozenset(thing.category for thing in false)


def _order(things: Sequence[Thing], dice: random.Random) -> list[Thing]:
    """Shuffle, with a liking for what belongs to the company of the last one."""
    rest = list(things)
    dice.shuffle(rest)
    ordered = [rest.pop()]
    while rest:
        friends = [thing for thing in rest if thing.category in COMPANIES[ordered[-1].category]]
        chosen = friends[0] if friends and dice.random() < TOGETHER else rest[0]
        rest.remove(chosen)
        ordered.append(chosen)
    return ordered


def _invent(scene: Scene, snowball: float, dice: random.Random) -> list[Thing]:
    """One object of the place that is not there, and absent ones of its company after it."""
    own = PLACES[scene.place].own
    absent = [name for name in own if name not in scene.objects]
    if not absent:
        return []
    first = dice.choices(absent, [own[name] for name in absent])[0]
    company = [name for name in absent if name != first and name in COMPANIES[first] and dice.random() < snowball]
    dice.shuffle(company)
    return [_imagine(name, dice) for name in (first, *company)]


def _imagine(name: str, dice: random.Random) -> Thing:
    category = CATEGORIES[name]
    return Thing(
        category=name,
        colour=dice.choice(category.colours),
        x=dice.uniform(0.15, 0.85),
        y=dice.uniform(*category.height),
        size=category.size,
        flipped=False,
    )


def _caption(text: str, things: Sequence[Thing], false: frozenset[str]) -> Caption:
    named = tuple(thing.category for thing in things)
    return Caption(text=text, named=named, false=tuple(name for name in named if name in false))


def _plain(thing: Thing) -> str:
    noun = indefinite(f"{thing.colour} {thing.category}")
    return f"There is {noun} {POSITIONS[zone(thing.x, thing.y)]}."


def _sentence(thing: Thing, things: Sequence[Thing], dice: random.Random) -> str:
    noun = indefinite(f"{thing.colour} {thing.category}")
    (template,) = dice.choices(list(_SENTENCES), list(_SENTENCES.values()))
    return template.format(
        noun=noun,
        Noun=noun[0].upper() + noun[1:],
        position=POSITIONS[zone(thing.x, thing.y)],
        relation=_relation(thing, things) if dice.random() < 0.15 else "",
    )


def _relation(thing: Thing, things: Sequence[Thing]) -> str:
    """Name the nearest other object if it is close."""
    others = [other for other in things if other.category != thing.category]
    nearest = min(others, key=lambda other: math.hypot(other.x - thing.x, other.y - thing.y))
    distance = math.hypot(nearest.x - thing.x, nearest.y - thing.y)
    return f", next to the {nearest.category}" if distance < 0.75 * (thing.size + nearest.size) else ""


def _mood(objects: int) -> str:
    return "quiet" if objects <= 4 else "lively" if objects == 5 else "busy"
