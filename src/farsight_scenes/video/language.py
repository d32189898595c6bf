"""What is said about a video: free and counted captions, lists, questions and answers, and the prompts for them."""

from __future__ import annotations

import random
from collections.abc import Sequence

from ..language import (
    DESCRIBE,
    LIST,
    Caption,
    Exchange,
    balanced_presence,
    choose_things,
    indefinite,
    presence_question,
)
from ..pope import Kind, Question, write_questions
from ..world import PLACES, Thing
from .videos import Move, Video, write_video_questions

COUNTED = (
    "Name {} objects in this video, each in a sentence.",
    "Name {} objects in the video, one in each sentence.",
    "Describe {} objects in this video, each in a sentence.",
)
TELL = (
    "Tell what happens in this video.",
    "What happens in the video?",
    "Tell what happens in this video in order.",
)

_MOVES: tuple[Move, ...] = ("stays", "enters", "leaves", "crosses")
_OPENINGS = ("The video shows {}.", "This is {}.", "This video shows {}.", "The video was taken {where}.")
_SENTENCES = {
    "{Noun} {move}.": 4,
    "There is {noun} that {move}.": 2,
    "You can see {noun} that {move}.": 1,
}


def of_a_video(text: str) -> str:
    """Make words about a picture words about a video."""
    return text.replace("image", "video").replace("picture", "video")


DESCRIBE_VIDEO = tuple(dict.fromkeys(map(of_a_video, DESCRIBE)))
"""Prompts for a free caption; the first is the one that is measured."""
LIST_VIDEO = tuple(dict.fromkeys(map(of_a_video, LIST)))


def write_free_caption(
    video: Video, dice: random.Random, *, false_share: float = 0.0, snowball: float = 0.7
) -> Caption:
    """Say of every object what it does, in an order that says nothing about what is true or comes first.

    Parameters
    ----------
    video
        What to describe.
    dice
        Chooses order and wording.
    false_share
        Chance that one object is named which belongs to the place but is never in the video.
    snowball
        Chance that the false object draws each absent object of its company after it.
    """
    things, false = choose_things(video.scene, dice, false_share, snowball)
    place = PLACES[video.place]
    sentences = [dice.choice(_OPENINGS).format(place.phrase, where=place.where)]
    sentences += [_sentence(thing, move, dice) for thing, move in zip(things, _moves(video, things, dice), strict=True)]
    return _caption(" ".join(sentences), things, false)


def write_counted_caption(
    video: Video, count: int, dice: random.Random, *, false_share: float = 0.0, snowball: float = 0.7
) -> Caption:
    """Name ``count`` objects and what each does, in one sentence of a fixed form each.

    Parameters
    ----------
    video
        What to describe.
    count
        How many sentences; at most as many as there are objects.
    dice, false_share, snowball
        As in `write_free_caption`.

    Raises
    ------
    ValueError
        If the video has fewer objects.
    """
    if not 1 <= count <= len(video.actors):
        raise ValueError(f"count must be from 1 to {len(video.actors)}, the objects of {video.video_id}, got {count}")
    things, false = choose_things(video.scene, dice, false_share, snowball)
    things = things[:count]
    moves = _moves(video, things, dice)
    text = " ".join(f"{_capital(_noun(thing))} {move}." for thing, move in zip(things, moves, strict=True))
    return _caption(text, things, false)


def counted_video_prompt(count: int, dice: random.Random | None = None) -> str:
    """Ask for ``count`` objects, in the wording that is measured unless ``dice`` may choose another one."""
    prompt = (dice.choice(COUNTED) if dice else COUNTED[0]).format(count)
    return prompt.replace("1 objects", "1 object")


def write_video_list(video: Video, dice: random.Random) -> str:
    """Name the objects and their colours and nothing else."""
    nouns = [_noun(actor.thing) for actor in video.actors]
    dice.shuffle(nouns)
    return f"{_capital(', '.join(nouns))}."


def write_presence_exchanges(video: Video, dice: random.Random, pairs: int = 3) -> list[Exchange]:
    """Ask what is in the video and what is not, with as many yes as no."""
    return [
        Exchange(question=of_a_video(presence_question(name, dice)), answer="Yes." if there else "No.")
        for name, there in balanced_presence(video.scene, pairs, dice)
    ]


def write_event_exchanges(video: Video, dice: random.Random) -> list[Exchange]:
    """Ask about order, count and events, two of each unless they are the same, in random order.

    They are apart from questions about presence, which they would give away.
    """
    asked = (*write_video_questions(video, dice), *write_video_questions(video, dice))
    told = {question.text: question.answer for question in asked if question.kind != "presence"}
    exchanges = [Exchange(question=question, answer=answer) for question, answer in told.items()]
    dice.shuffle(exchanges)
    return exchanges


def presence_questions(video: Video, kind: Kind) -> list[Question]:
    """Ask about three objects that are in the video and three that are not, chosen as `write_questions` does.

    How often objects come, alone and together, is counted in the pictures of the split ``train``.
    """
    asked = write_questions(video.scene, kind)
    return [question._replace(text=of_a_video(question.text)) for question in asked]


def _moves(video: Video, things: Sequence[Thing], dice: random.Random) -> list[Move]:
    """What each object does; a false one does anything."""
    known = {actor.thing.category: actor.move for actor in video.actors}
    return [known[thing.category] if thing.category in known else dice.choice(_MOVES) for thing in things]


def _sentence(thing: Thing, move: Move, dice: random.Random) -> str:
    (template,) = dice.choices(list(_SENTENCES), list(_SENTENCES.values()))
    noun = _noun(thing)
    return template.format(noun=noun, Noun=_capital(noun), move=move)


def _noun(thing: Thing) -> str:
    return indefinite(f"{thing.colour} {thing.category}")


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _caption(text: str, things: Sequence[Thing], false: frozenset[str]) -> Caption:
    named = tuple(thing.category for thing in things)
    return Caption(text=text, named=named, false=tuple(name for name in named if name in false))
