"""The models that the page asks, one question at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock

from farsight import embedded
from farsight.errors import InputError
from farsight.inputs.checkpoints import LoadedModel
from farsight.metrics.vocabulary import Vocabulary


@dataclass(kw_only=True, eq=False)
class Models:
    """A model by name; of the embedded ones the one for videos is loaded when the first video comes.

    Parameters
    ----------
    name, device, dtype, attn_implementation
        As `farsight.embedded.load` takes them.
    """

    name: str = embedded.EMBEDDED
    device: str | None = None
    dtype: str | None = None
    attn_implementation: str | None = None
    busy: Lock = field(default_factory=Lock)
    """Held while a model works: a method changes the model, so no two can run on it at once."""
    _loaded: dict[bool, LoadedModel] = field(default_factory=dict)
    _warm: set[tuple[int, str]] = field(default_factory=set)

    def load(self, *, videos: bool = False) -> LoadedModel:
        """Give the model for pictures, or the one for videos.

        Raises
        ------
        InputError
            If there is no such model, or it takes no videos.
        """
        key = videos and self.name == embedded.EMBEDDED
        if key not in self._loaded:
            self._loaded[key] = embedded.load(
                self.name, self.device, self.dtype, self.attn_implementation, videos=videos
            )
        loaded = self._loaded[key]
        if videos and not loaded.takes_videos:
            raise InputError(f"'{self.name}' takes no videos; choose a picture")
        return loaded

    def warm(self, loaded: LoadedModel, label: str, run: Callable[[], None]) -> None:
        """Let a method pay once for what only its first call pays for, so that times can be compared."""
        if (key := (id(loaded), label)) not in self._warm:
            run()
            self._warm.add(key)

    def vocabulary(self, *, drawn: bool) -> Vocabulary:
        """Which words name objects: those of the drawn scenes, or COCO's."""
        return embedded.scenes_vocabulary() if drawn else embedded.vocabulary_of(self.name)
