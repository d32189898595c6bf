"""Short videos of the world: objects enter, leave, cross the picture or stay, and what is said about that."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

from PIL import Image

from ..backgrounds import BACKGROUNDS
from ..language import indefinite
from ..pen import Pen
from ..render import stamp
from ..world import PLACES, Scene, Split, Thing, sample_scene

FRAMES = 8
Move = Literal["stays", "enters", "leaves", "crosses"]
_MOVES: tuple[Move, ...] = ("stays", "enters", "leaves", "crosses")
_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven")


@dataclass(frozen=True, kw_only=True)
class Actor:
    """An object and where it is in each frame: ``path`` has (x, y) of its centre, or None while it is outside."""

    thing: Thing
    move: Move
    path: tuple[tuple[float, float] | None, ...]

    @property
    def begins(self) -> int:
        """First frame that it is in."""
        return next(frame for frame, place in enumerate(self.path) if place)

    @property
    def event(self) -> int:
        """Frame of what happens to it: in which it is first in the picture, or no longer."""
        if self.move == "leaves":
            return next(frame for frame, place in enumerate(self.path) if place is None)
        return self.begins


@dataclass(frozen=True, kw_only=True)
class Video:
    """Actors before a backdrop. No category occurs twice, and no two events share a frame."""

    video_id: str
    place: str
    actors: tuple[Actor, ...]

    @property
    def events(self) -> tuple[Actor, ...]:
        """Actors that enter, leave or cross, in the order in which they do."""
        return tuple(sorted((actor for actor in self.actors if actor.move != "stays"), key=lambda actor: actor.event))

    @property
    def scene(self) -> Scene:
        """All that is ever seen, as a scene: what is asked and told of scenes can be of videos."""
        return Scene(image_id=self.video_id, place=self.place, things=tuple(actor.thing for actor in self.actors))

    @property
    def objects(self) -> tuple[str, ...]:
        """Names of the categories in the video."""
        return self.scene.objects

    def visible(self, frame: int) -> tuple[str, ...]:
        """Objects in a frame."""
        return tuple(actor.thing.category for actor in self.actors if actor.path[frame])


@dataclass(frozen=True, kw_only=True)
class VideoQuestion:
    """A question, its answer, and what it is about."""

    kind: Literal["order", "count", "event", "presence"]
    text: str
    answer: str


def sample_video(split: Split, index: int) -> Video:
    """Return video number ``index`` of a split: the objects of the scene of that number, the first four of them."""
    scene = sample_scene(split, index)
    dice = random.Random(f"farsight videos, {split}, {index}")
    things = dice.sample(scene.things, min(4, len(scene.things)))
    moves: list[Move] = ["enters", "leaves", *dice.choices(_MOVES, k=len(things) - 2)]
    dice.shuffle(moves)
    frames = dice.sample(range(1, FRAMES - 1), len(things))
    actors = [
        Actor(thing=thing, move=move, path=_path(thing, move, frame, dice))
        for thing, move, frame in zip(things, moves, frames, strict=True)
    ]
    return Video(video_id=f"{scene.image_id}-video", place=scene.place, actors=tuple(actors))


def _path(thing: Thing, move: Move, event: int, dice: random.Random) -> tuple[tuple[float, float] | None, ...]:
    """Enter or leave by the nearer side; cross from one side to the other."""
    if move == "stays":
        return ((thing.x, thing.y),) * FRAMES
    inset = thing.size / 2
    sides = (inset, 1 - inset)
    side = sides[thing.x > 0.5]
    if move == "enters":
        return (None,) * event + _line(side, thing.x, thing.y, FRAMES - event)
    if move == "leaves":
        return _line(thing.x, side, thing.y, event) + (None,) * (FRAMES - event)
    start, end = dice.sample(sides, 2)
    return (None,) * event + _line(start, end, thing.y, FRAMES - event)


def _line(start: float, end: float, y: float, frames: int) -> tuple[tuple[float, float], ...]:
    steps = max(1, frames - 1)
    return tuple((round(start + (end - start) * frame / steps, 4), y) for frame in range(frames))


def render_video(video: Video, side: int = 384, oversample: int = 2) -> list[Image.Image]:
    """Draw the frames, RGB, ``side`` square: one backdrop, and each object of one shade throughout."""
    size = side * oversample
    backdrop = Pen(size, (255, 255, 255))
    BACKGROUNDS[video.place](backdrop, random.Random(f"backdrop of {video.video_id}"))
    stamps = [
        stamp(actor.thing, size, random.Random(f"{actor.thing.category} of {video.video_id}")) for actor in video.actors
    ]
    frames = []
    for number in range(FRAMES):
        picture = backdrop.layer.convert("RGB")
        for actor, drawn in zip(video.actors, stamps, strict=True):
            if place := actor.path[number]:
                corner = tuple(round((at - actor.thing.size / 2) * size) for at in place)
                picture.paste(drawn, (corner[0], corner[1]), drawn.getchannel("A"))
        frames.append(picture.resize((side, side), Image.Resampling.BOX))
    return frames


def write_video_caption(video: Video) -> str:
    """Say what is there at first, what happens in which order, and how many objects are there at the end."""
    first = [_noun(actor) for actor in video.actors if actor.path[0]]
    sentences = [f"The video shows {PLACES[video.place].phrase}.", f"At first there is {_listed(first)}."]
    for number, actor in enumerate(video.events):
        noun = _noun(actor) if not actor.path[0] else f"the {actor.thing.category}"
        sentences.append(f"{'First' if number == 0 else 'Then'} {noun} {actor.move}.")
    count = len(video.visible(FRAMES - 1))
    sentences.append(f"At the end there {'is' if count == 1 else 'are'} {_NUMBERS[count]} object{'s' * (count != 1)}.")
    return " ".join(sentences)


def write_video_questions(video: Video, dice: random.Random) -> list[VideoQuestion]:
    """Ask what happens first, how many objects are there, and, with as many yes as no, who leaves and who is there."""
    early, late = sorted(dice.sample(video.events, 2), key=lambda actor: actor.event)
    pair = [early, late]
    dice.shuffle(pair)
    nouns = [f"the {actor.thing.category}" for actor in pair]
    happens = [{"enters": "enter", "leaves": "leave", "crosses": "cross"}[actor.move] for actor in pair]
    when, frame = dice.choice([("at the start", 0), ("at the end", FRAMES - 1)])
    leaves = dice.random() < 0.5
    asked = dice.choice([actor for actor in video.actors if (actor.move == "leaves") == leaves])
    absent = [name for name in PLACES[video.place].own if name not in video.objects]
    there = dice.random() < 0.5
    name = dice.choice(video.objects) if there else dice.choice(absent)
    return [
        VideoQuestion(
            kind="order",
            text=f"What happens first: does {nouns[0]} {happens[0]} or does {nouns[1]} {happens[1]}?",
            answer=f"The {early.thing.category} {early.move}.",
        ),
        VideoQuestion(
            kind="count",
            text=f"How many objects are there {when}?",
            answer=f"{_NUMBERS[len(video.visible(frame))].capitalize()}.",
        ),
        VideoQuestion(
            kind="event",
            text=f"Does the {asked.thing.category} leave the picture?",
            answer="Yes." if asked.move == "leaves" else "No.",
        ),
        VideoQuestion(
            kind="presence", text=f"Is there {indefinite(name)} in the video?", answer="Yes." if there else "No."
        ),
    ]


def _noun(actor: Actor) -> str:
    return indefinite(f"{actor.thing.colour} {actor.thing.category}")


def _listed(nouns: list[str]) -> str:
    if not nouns:
        return "nothing"
    return nouns[0] if len(nouns) == 1 else f"{', '.join(nouns[:-1])} and {nouns[-1]}"
