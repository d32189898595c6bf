"""Drawn scenes to begin with: nothing has to be uploaded, and what is in them is known."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from farsight.scenes.render import render
from farsight.scenes.video.videos import render_video, sample_video
from farsight.scenes.world import sample_scene
from farsight.web.drawing import Seen, shown_uri
from farsight.web.sessions import Shown

SCENES = (116, 5, 8, 12, 17, 21, 24, 30, 36, 41)
"""Of the split ``test``, which no model has been trained on; the first because FarSight changes what is said of it."""
VIDEOS = (0, 1)


@cache
def gallery() -> tuple[Shown, ...]:
    """Draw the scenes, then the videos; always the same ones."""
    pictures = []
    for number, index in enumerate(SCENES, start=1):
        scene = sample_scene("test", index)
        name = f"Scene {number}, {scene.place}"
        pictures.append(_shown(render(scene), name, scene.objects))
    for number, index in enumerate(VIDEOS, start=1):
        video = sample_video("test", index)
        name = f"Video {number}, {video.place}"
        pictures.append(_shown(render_video(video), name, video.objects))
    return tuple(pictures)


def _shown(seen: Seen, name: str, objects: Iterable[str]) -> Shown:
    return Shown(
        name=name,
        seen=lambda: seen,
        source=shown_uri(seen),
        is_video=isinstance(seen, list),
        objects=frozenset(objects),
    )
