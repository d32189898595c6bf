"""A small drawn world and a small model trained on it, which really hallucinates.

The world is in `world` (what is where), `render` (pictures), `language` (captions, questions), `pope` (questions for
measuring) and `mentions` (what a text names); `draw` writes all of it to files. The model is a LLaVA in Transformers'
own format; `checkpoint_path` says where it lies. Nothing of this imports PyTorch; `train` and `measure` do.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from .mentions import mentions, vocabulary_path
from .world import CATEGORIES, SPLITS, Scene, Thing, World, sample_scene

__all__ = [
    "CATEGORIES",
    "SPLITS",
    "Scene",
    "Thing",
    "World",
    "checkpoint_path",
    "mentions",
    "sample_scene",
    "video_checkpoint_path",
    "vocabulary_path",
]


def checkpoint_path() -> Path:
    """Return the folder of the embedded model, for `AutoModelForImageTextToText.from_pretrained`."""
    return Path(str(files(__package__).joinpath("checkpoint")))


def video_checkpoint_path() -> Path:
    """Return the folder of the embedded video model, for ``LlavaNextVideoForConditionalGeneration``.

    Its processor is read by `farsight.inputs.frames_processor.FramesProcessor`.
    """
    return Path(str(files(__package__).joinpath("video", "checkpoint")))
