"""Models by name: what ``--model embedded`` stands for. Any other name is a folder, or a model on the hub."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from farsight.entries import Registry

if TYPE_CHECKING:
    from PIL import Image

    from farsight.inputs.checkpoints import LoadedModel

EMBEDDED = "embedded"
DRAWN_ONLY = "the embedded model knows scenes that farsight draws, and nothing of photographs: for those pass a model"
Medium = Literal["picture", "video", "text"]


@dataclass(frozen=True, kw_only=True)
class Example:
    """A picture, or the frames of a video, to try a model with, and the objects that are in it."""

    name: str
    seen: Image.Image | list[Image.Image]
    objects: frozenset[str]


def _no_examples() -> Sequence[Example]:
    return ()


@dataclass(frozen=True, kw_only=True)
class NamedModel:
    """What is known of a model that has a name.

    Parameters
    ----------
    folders
        For each medium that it takes a function that gives the folder of its checkpoint, with ``config.json`` and
        ``*.safetensors``; it may make the folder first, and raises `InputError` if it cannot. What takes neither
        pictures nor videos has "text" alone.
    vocabulary
        File of the words that name objects in what it says; None for COCO's.
    examples
        Makes some pictures to begin with, whose objects are words of its vocabulary.
    """

    folders: Mapping[Medium, Callable[[], Path]]
    vocabulary: Path | None = None
    examples: Callable[[], Sequence[Example]] = _no_examples

    def folder(self, *, videos: bool = False) -> Path:
        """Give the folder of the checkpoint that takes videos, if one does and ``videos`` are meant; else the first."""
        first = next(iter(self.folders.values()))
        return (self.folders.get("video", first) if videos else first)()


MODELS: Registry[NamedModel] = Registry(
    kind=NamedModel,
    noun="model",
    group="farsight.models",
    own={
        EMBEDDED: "farsight_scenes.embedded:MODEL",
        "smollm2": "farsight.inputs.smollm2:MODEL",
        "smollm2-sees": "farsight_scenes.seeing.shipped:MODEL",
    },
)


def source_of(model: str, *, videos: bool = False) -> str:
    """Give the folder of a model that has a name, and any other folder or name as it is.

    Raises
    ------
    InputError
        If what the name stands for is not installed.
    """
    named = MODELS.find(model)
    return model if named is None else str(named.folder(videos=videos))


def load(
    model: str, device: str | None, dtype: str | None, attn_implementation: str | None, *, videos: bool = False
) -> LoadedModel:
    """Load a model by its name, its folder or its name on the hub; with ``videos``, the one of a name that takes them.

    Raises
    ------
    InputError, SettingError
        As `farsight.inputs.checkpoints.load`.
    """
    from farsight.inputs import checkpoints  # which imports PyTorch and Transformers

    source = source_of(model, videos=videos)
    loaded = checkpoints.load(source, device=device, dtype=dtype, attn_implementation=attn_implementation)
    return checkpoints.LoadedModel(loaded.model, loaded.processor, model)


def vocabulary_of(model: str) -> Path | None:
    """Give the file of the words that name objects in what a model says; None for COCO's."""
    named = MODELS.find(model)
    return None if named is None else named.vocabulary
