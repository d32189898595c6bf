"""The model by the name ``embedded``: one that takes pictures and one that takes videos, and some to begin with."""

from __future__ import annotations

from farsight.inputs.named_models import Example, NamedModel

from . import checkpoint_path, sample_scene, video_checkpoint_path, vocabulary_path
from .render import render
from .video.videos import render_video, sample_video

SCENES = (116, 5, 8, 12, 17, 21, 24, 30, 36, 41)
"""Of the split ``test``, which no model has been trained on; the first because FarSight changes what is said of it."""
VIDEOS = (0, 1)


def pictures() -> list[Example]:
    """Draw the scenes; always the same ones."""
    made = []
    for number, index in enumerate(SCENES, start=1):
        scene = sample_scene("test", index)
        name = f"Scene {number}, {scene.place}"
        made.append(Example(name=name, seen=render(scene), objects=frozenset(scene.objects)))
    return made


def examples() -> list[Example]:
    """Draw the scenes, then the videos; always the same ones."""
    made = pictures()
    for number, index in enumerate(VIDEOS, start=1):
        video = sample_video("test", index)
        name = f"Video {number}, {video.place}"
        made.append(Example(name=name, seen=render_video(video), objects=frozenset(video.objects)))
    return made


MODEL = NamedModel(
    folders={"picture": checkpoint_path, "video": video_checkpoint_path},
    vocabulary=vocabulary_path(),
    examples=examples,
)
