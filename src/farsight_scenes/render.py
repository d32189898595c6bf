"""From a scene to a picture of any size, and to the map of which object each pixel shows."""

from __future__ import annotations

import random

import numpy as np
from PIL import Image

from .backgrounds import BACKGROUNDS, cover
from .pen import Pen
from .pictograms import DRAWINGS
from .world import COLOURS, Scene, Thing

MODEL_SIDE = 128
"""Side in pixels of the pictures that the embedded model sees."""

TRAINING_SIDE = 3 * MODEL_SIDE
"""Side at which training pictures are drawn before the image processor's filter reduces them."""


def render(scene: Scene, side: int = 384, oversample: int = 2) -> Image.Image:
    """Draw a scene.

    Parameters
    ----------
    scene
        What to draw. The same scene gives the same picture.
    side
        Width and height of the result, in pixels.
    oversample
        How much larger it is drawn before it is reduced, for smooth edges.

    Returns
    -------
    Image.Image
        RGB, ``side`` by ``side``.
    """
    picture, _ = _draw(scene, side * oversample)
    if oversample > 1:
        picture = picture.resize((side, side), Image.Resampling.BOX)
    return picture


def render_for_model(scene: Scene) -> tuple[Image.Image, np.ndarray]:
    """Draw a scene as the image processor hands it to the model, with the map of what is where.

    Returns
    -------
    tuple[Image.Image, np.ndarray]
        The picture, `MODEL_SIDE` square, and an array ``(TRAINING_SIDE, TRAINING_SIDE)`` of uint8: 0 where no
        object shows, k + 1 where ``scene.things[k]`` does.
    """
    picture, owner = _draw(scene, TRAINING_SIDE)
    return picture.resize((MODEL_SIDE, MODEL_SIDE), Image.Resampling.BICUBIC), np.asarray(owner)


def _draw(scene: Scene, side: int) -> tuple[Image.Image, Image.Image]:
    dice = random.Random(f"backdrop of {scene.image_id}")
    backdrop = Pen(side, (255, 255, 255))
    BACKGROUNDS[scene.place](backdrop, dice)
    picture = backdrop.layer.convert("RGB")
    owner = Image.new("L", (side, side), 0)
    for number, thing in enumerate(scene.things):
        drawn = stamp(thing, side, dice)
        corner = (round((thing.x - thing.size / 2) * side), round((thing.y - thing.size / 2) * side))
        alpha = drawn.getchannel("A")
        picture.paste(drawn, corner, alpha)
        owner.paste(number + 1, corner, alpha.point(lambda value: 255 if value > 60 else 0))
        if thing.cover:
            _hide(thing, scene.place, picture, owner, dice)
    return _light(picture, scene), owner


def stamp(thing: Thing, side: int, dice: random.Random) -> Image.Image:
    """The object on a transparent square, its colour varied a little."""
    red, green, blue = (min(255, max(0, value + dice.randrange(-14, 15))) for value in COLOURS[thing.colour])
    pen = Pen(max(8, round(thing.size * side)), (red, green, blue), margin=0.03)
    DRAWINGS[thing.category](pen)
    if thing.strength < 1:
        stamp = pen.layer
        stamp.putalpha(stamp.getchannel("A").point(lambda value: round(value * thing.strength)))
    else:
        stamp = pen.outlined(0.022)
    return stamp.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if thing.flipped else stamp


def _hide(thing: Thing, place: str, picture: Image.Image, owner: Image.Image, dice: random.Random) -> None:
    """Put something in front of part of an object, reaching a little beyond it."""
    side = picture.width
    reach = thing.size * 1.1
    part = thing.size * thing.cover
    x0, y0, x1, y1 = thing.x - reach / 2, thing.y - reach / 2, thing.x + reach / 2, thing.y + reach / 2
    if thing.cover_side == "left":
        x1 = thing.x - thing.size / 2 + part
    elif thing.cover_side == "right":
        x0 = thing.x + thing.size / 2 - part
    else:
        y0 = thing.y + thing.size / 2 - part
    pen = Pen(round(reach * side), (128, 128, 128))
    cover(pen, place, dice)
    stamp = pen.outlined(0.012).resize((max(1, round((x1 - x0) * side)), max(1, round((y1 - y0) * side))))
    corner = (round(x0 * side), round(y0 * side))
    picture.paste(stamp, corner, stamp.getchannel("A"))
    owner.paste(0, corner, stamp.getchannel("A").point(lambda value: 255 if value > 127 else 0))


def _light(picture: Image.Image, scene: Scene) -> Image.Image:
    """Dim the light and add the coarse grain that a small picture keeps."""
    noise = np.random.default_rng(list(scene.image_id.encode()))
    brightness = noise.uniform(0.86, 1.04)
    grain = noise.normal(0, noise.uniform(0, 6), (MODEL_SIDE, MODEL_SIDE)).astype(np.float32)
    coarse = Image.fromarray(grain).resize(picture.size, Image.Resampling.BILINEAR)
    pixels = np.asarray(picture, dtype=np.float32) * brightness + np.asarray(coarse)[..., None]
    return Image.fromarray(np.clip(pixels + 0.5, 0, 255).astype(np.uint8))
