"""Pictures as arrays, with what each patch shows: the tower's training data."""

from __future__ import annotations

import multiprocessing
import os
from dataclasses import dataclass

import numpy as np

from .language import zone
from .render import MODEL_SIDE, render_for_model
from .world import CATEGORIES, COLOURS, PLACES, Scene, Split, sample_scene

GRID = MODEL_SIDE // 16
"""Patches along one side."""

SHOWS = 0.12
"""Share of a patch that an object must cover to be the patch's object."""

_CATEGORY = {name: number + 1 for number, name in enumerate(CATEGORIES)}
_COLOUR = {name: number + 1 for number, name in enumerate(COLOURS)}
_PLACE = {name: number for number, name in enumerate(PLACES)}


@dataclass(frozen=True, kw_only=True)
class Views:
    """Pictures of consecutive scenes of a split.

    Parameters
    ----------
    pixels
        ``(scenes, MODEL_SIDE, MODEL_SIDE, 3)`` of uint8.
    patches
        ``(scenes, GRID * GRID, 4)`` of uint8: category + 1, colour + 1 and zone + 1 of the object's centre
        (0 for none), place.
    """

    pixels: np.ndarray
    patches: np.ndarray


def make_views(split: Split, count: int) -> Views:
    """Draw the first ``count`` scenes of a split on all cores."""
    blocks = [(split, start, min(start + 250, count)) for start in range(0, count, 250)]
    context = multiprocessing.get_context("spawn")
    with context.Pool(os.cpu_count() or 1) as pool:
        parts = pool.starmap(_block, blocks)
    return Views(pixels=np.concatenate([p for p, _ in parts]), patches=np.concatenate([t for _, t in parts]))


def _block(split: Split, start: int, end: int) -> tuple[np.ndarray, np.ndarray]:
    pixels = np.empty((end - start, MODEL_SIDE, MODEL_SIDE, 3), np.uint8)
    patches = np.empty((end - start, GRID * GRID, 4), np.uint8)
    for row, index in enumerate(range(start, end)):
        scene = sample_scene(split, index)
        picture, owner = render_for_model(scene)
        pixels[row] = np.asarray(picture)
        patches[row] = describe_patches(scene, owner)
    return pixels, patches


def describe_patches(scene: Scene, owner: np.ndarray) -> np.ndarray:
    """Say for each patch which object it shows most of.

    Parameters
    ----------
    scene
        The scene.
    owner
        Map from `farsight_scenes.render.render_for_model`.

    Returns
    -------
    np.ndarray
        ``(GRID * GRID, 4)``; the columns are those of `Views.patches`.
    """
    cell = owner.shape[0] // GRID
    cells = owner.reshape(GRID, cell, GRID, cell)
    shares = np.stack([(cells == number + 1).mean(axis=(1, 3)) for number in range(len(scene.things))])
    best = shares.argmax(axis=0).ravel()
    shown = shares.max(axis=0).ravel() >= SHOWS
    things = np.array([[_CATEGORY[t.category], _COLOUR[t.colour], zone(t.x, t.y) + 1] for t in scene.things], np.uint8)
    patches = np.zeros((GRID * GRID, 4), np.uint8)
    patches[:, :3] = np.where(shown[:, None], things[best], 0)
    patches[:, 3] = _PLACE[scene.place]
    return patches
