"""Drawn scenes to begin with: nothing has to be uploaded, and what is in them is known."""

from __future__ import annotations

from functools import cache

from farsight.inputs.named_models import EMBEDDED, MODELS, Example
from farsight.web.drawing import shown_uri
from farsight.web.sessions import Shown


@cache
def gallery() -> tuple[Shown, ...]:
    """Give the examples of the embedded model, whatever model is asked; none where it is not installed."""
    embedded = MODELS.found().get(EMBEDDED)
    return () if embedded is None else tuple(map(_shown, embedded.examples()))


def _shown(example: Example) -> Shown:
    return Shown(
        name=example.name,
        seen=lambda: example.seen,
        source=shown_uri(example.seen),
        is_video=isinstance(example.seen, list),
        objects=example.objects,
    )
