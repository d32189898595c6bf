"""What there is in the world, how often, and where: scenes sampled from seeds.

A scene is a plain description; `render` draws it and `language` talks about it. Each
place has seven objects of its own that come in companies (a teapot brings the cup), so that a language prior
exists.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Literal

Split = Literal["train", "calibration", "validation", "test", "shifted"]
SPLITS: tuple[Split, ...] = ("train", "calibration", "validation", "test", "shifted")
"""Each has seeds of its own. In ``shifted`` what a place makes likely is unlikely, and the other way round."""

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (214, 48, 44),
    "orange": (240, 138, 36),
    "yellow": (246, 208, 56),
    "green": (62, 158, 78),
    "blue": (48, 106, 206),
    "purple": (132, 74, 176),
    "pink": (242, 140, 180),
    "brown": (132, 86, 50),
    "black": (56, 56, 62),
    "white": (242, 242, 238),
    "grey": (144, 148, 156),
}

_PAINT = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "white")


@dataclass(frozen=True, kw_only=True)
class Category:
    """A kind of object.

    Parameters
    ----------
    colours
        What it can be painted.
    size
        Usual side of its box, as a share of the picture's side.
    height
        Lowest and highest y of its centre (0 is the top).
    article
        The indefinite article of the bare noun.
    """

    colours: tuple[str, ...]
    size: float = 0.24
    height: tuple[float, float] = (0.3, 0.85)
    article: str = "a"


CATEGORIES: dict[str, Category] = {
    "cup": Category(colours=_PAINT),
    "teapot": Category(colours=_PAINT, size=0.27),
    "bottle": Category(colours=("green", "blue", "brown", "purple", "orange"), size=0.27),
    "apple": Category(colours=("red", "green", "yellow"), size=0.21, article="an"),
    "banana": Category(colours=("yellow", "green"), size=0.24),
    "clock": Category(colours=(*_PAINT, "black", "brown"), height=(0.14, 0.5)),
    "fork": Category(colours=("grey", "red", "blue", "green", "yellow", "black")),
    "car": Category(colours=(*_PAINT, "black", "grey"), size=0.31, height=(0.4, 0.86)),
    "bus": Category(colours=("red", "yellow", "green", "blue", "white", "orange"), size=0.36, height=(0.4, 0.84)),
    "truck": Category(colours=("red", "yellow", "green", "blue", "white", "grey"), size=0.34, height=(0.4, 0.84)),
    "bicycle": Category(colours=("red", "blue", "green", "yellow", "purple", "pink"), size=0.29),
    "traffic light": Category(colours=("black", "yellow", "green", "grey"), size=0.29, height=(0.2, 0.6)),
    "hydrant": Category(colours=("red", "yellow", "blue", "green"), size=0.24, height=(0.4, 0.86)),
    "cone": Category(colours=("orange", "red", "yellow", "green"), size=0.23, height=(0.4, 0.86)),
    "dog": Category(colours=("brown", "black", "white", "grey", "orange"), size=0.28),
    "cat": Category(colours=("orange", "black", "white", "grey", "brown"), size=0.26),
    "bird": Category(colours=("blue", "red", "yellow", "black", "grey", "white"), size=0.22, height=(0.14, 0.8)),
    "bench": Category(colours=("brown", "green", "red", "blue", "white"), size=0.32, height=(0.4, 0.85)),
    "kite": Category(colours=_PAINT, size=0.28, height=(0.15, 0.5)),
    "ball": Category(colours=_PAINT, size=0.21),
    "flower": Category(colours=("red", "yellow", "purple", "pink", "white", "orange", "blue"), size=0.23),
    "boat": Category(colours=("red", "blue", "green", "white", "brown", "yellow"), size=0.31, height=(0.25, 0.6)),
    "umbrella": Category(colours=_PAINT, size=0.31, height=(0.3, 0.75), article="an"),
    "surfboard": Category(colours=_PAINT, size=0.29),
    "crab": Category(colours=("red", "orange", "purple", "brown"), size=0.23, height=(0.4, 0.86)),
    "bucket": Category(colours=_PAINT, size=0.22, height=(0.4, 0.86)),
    "starfish": Category(colours=("orange", "red", "pink", "purple", "yellow"), size=0.22, height=(0.4, 0.86)),
    "turtle": Category(colours=("green", "brown", "purple"), size=0.26, height=(0.4, 0.86)),
}


@dataclass(frozen=True, kw_only=True)
class Place:
    """A type of scene.

    Parameters
    ----------
    phrase
        How captions name it.
    where
        The same with its preposition, as an answer to "where?".
    first, second
        Its own objects, in two companies, and how often each is there.
    """

    phrase: str
    where: str
    first: dict[str, float]
    second: dict[str, float]

    @property
    def own(self) -> dict[str, float]:
        """Presence of each of its own objects."""
        return {**self.first, **self.second}


PLACES: dict[str, Place] = {
    "kitchen": Place(
        phrase="a kitchen",
        where="in a kitchen",
        first={"cup": 0.85, "teapot": 0.65, "clock": 0.55, "fork": 0.4},
        second={"apple": 0.75, "banana": 0.6, "bottle": 0.45},
    ),
    "street": Place(
        phrase="a street",
        where="on a street",
        first={"car": 0.85, "bus": 0.55, "traffic light": 0.65, "truck": 0.4},
        second={"bicycle": 0.75, "cone": 0.6, "hydrant": 0.45},
    ),
    "park": Place(
        phrase="a park",
        where="in a park",
        first={"dog": 0.85, "ball": 0.55, "bench": 0.65, "kite": 0.4},
        second={"flower": 0.75, "bird": 0.6, "cat": 0.45},
    ),
    "beach": Place(
        phrase="a beach",
        where="on a beach",
        first={"umbrella": 0.85, "bucket": 0.65, "surfboard": 0.55, "boat": 0.4},
        second={"starfish": 0.75, "crab": 0.6, "turtle": 0.45},
    ),
}


COMPANIES: dict[str, frozenset[str]] = {
    name: frozenset(company) for place in PLACES.values() for company in (place.first, place.second) for name in company
}
"""The company that each category belongs to, itself included."""


@dataclass(frozen=True, kw_only=True)
class World:
    """How scenes are made.

    Parameters
    ----------
    stray
        Chance of each object that does not belong to the place.
    company
        Correlation of the presence of two objects of one company, from 0 to 1.
    turned
        Only in the split ``shifted``, where objects come on their own: chance of each object that does not belong to
        the place, and share of its usual absence that an object of the place is present.
    fewest, most
        Bounds of the number of objects in a picture.
    scale
        How large objects are drawn, relative to the usual size of their kind.
    faint, covered
        Share of objects that are faint (low contrast), and that have something in front of them; none is both.
    """

    stray: float = 0.03
    company: float = 0.5
    turned: tuple[float, float] = (0.21, 0.25)
    fewest: int = 3
    most: int = 7
    scale: float = 0.85
    faint: float = 0.3
    covered: float = 0.3


@dataclass(frozen=True, kw_only=True)
class Thing:
    """One object of a scene, in a square box of side ``size`` centred on (x, y), in shares of the picture.

    ``strength`` is the opacity of the drawing; ``cover`` how much of the box is hidden, from ``cover_side``.
    """

    category: str
    colour: str
    x: float
    y: float
    size: float
    flipped: bool
    strength: float = 1.0
    cover: float = 0.0
    cover_side: Literal["left", "right", "bottom"] = "bottom"


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A picture's description. ``things`` are in drawing order, back to front; no category occurs twice."""

    image_id: str
    place: str
    things: tuple[Thing, ...]

    @property
    def objects(self) -> tuple[str, ...]:
        """Names of the categories in the picture."""
        return tuple(thing.category for thing in self.things)


def sample_scene(split: Split, index: int, world: World | None = None) -> Scene:
    """Return scene number ``index`` of a split: the same arguments give the same scene, on any machine.

    Raises
    ------
    ValueError
        If the split is unknown or the index is negative.
    """
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}; choose one of {', '.join(SPLITS)}")
    if index < 0:
        raise ValueError(f"index must be 0 or more, got {index}")
    world = world or World()
    dice = random.Random(f"farsight scenes, {split}, {index}")
    place = dice.choice(list(PLACES))
    things: tuple[Thing, ...] | None = None
    while things is None:
        names = _turned(place, world, dice) if split == "shifted" else _present(place, world, dice)
        things = _arrange(names, world, dice)
    return Scene(image_id=f"{split}-{index:06d}", place=place, things=things)


def _present(place: str, world: World, dice: random.Random) -> list[str]:
    """Draw which categories are there: a Gaussian copula inside each company, strays on their own."""
    own = PLACES[place]
    while True:
        names = []
        for company in (own.first, own.second):
            mood = dice.gauss(0, 1)
            for name, presence in company.items():
                score = math.sqrt(world.company) * mood + math.sqrt(1 - world.company) * dice.gauss(0, 1)
                if 0.5 * math.erfc(score / math.sqrt(2)) < presence:
                    names.append(name)
        names += [name for name in CATEGORIES if name not in own.own and dice.random() < world.stray]
        if world.fewest <= len(names) <= world.most:
            return names


def _turned(place: str, world: World, dice: random.Random) -> list[str]:
    """Draw which categories are there when the likely is unlikely: each on its own, the place's own least of all."""
    own = PLACES[place].own
    others, absence = world.turned
    while True:
        chances = {name: absence * (1 - own[name]) if name in own else others for name in CATEGORIES}
        names = [name for name, chance in chances.items() if dice.random() < chance]
        if world.fewest <= len(names) <= world.most:
            return names


def _arrange(names: list[str], world: World, dice: random.Random) -> tuple[Thing, ...] | None:
    """Place the objects so that none hides more than a little of another; None if they do not fit."""
    scale = world.scale * (1.0 if len(names) <= 5 else 0.92)
    placed: list[Thing] = []
    for name in sorted(names, key=lambda name: -CATEGORIES[name].size):
        category = CATEGORIES[name]
        size = category.size * scale * dice.uniform(0.82, 1.12)
        for _ in range(60):
            x = dice.uniform(size / 2 + 0.01, 0.99 - size / 2)
            low, high = category.height
            y = min(max(dice.uniform(low, high), size / 2 + 0.01), 0.99 - size / 2)
            apart = (math.hypot(x - other.x, y - other.y) / (size + other.size) for other in placed)
            if all(distance > 0.47 for distance in apart):
                break
        else:
            return None
        faint = dice.random() < world.faint
        covered = dice.random() < world.covered / (1 - world.faint) and not faint
        placed.append(
            Thing(
                category=name,
                colour=dice.choice(category.colours),
                x=round(x, 4),
                y=round(y, 4),
                size=round(size, 4),
                flipped=dice.random() < 0.5,
                strength=round(dice.uniform(0.3, 0.55), 3) if faint else 1.0,
                cover=round(dice.uniform(0.3, 0.55), 3) if covered else 0.0,
                cover_side=dice.choice(("left", "right", "bottom")),
            )
        )
    return tuple(sorted(placed, key=lambda thing: thing.y + thing.size / 2))
