"""The models that the page asks, one question at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Lock

from farsight.errors import InputError
from farsight.inputs.checkpoints import LoadedModel
from farsight.inputs.named_models import EMBEDDED, load, source_of, vocabulary_of
from farsight.method import Method
from farsight.metrics.vocabulary import Vocabulary, read_vocabulary


@dataclass(kw_only=True, eq=False)
class Models:
    """A model by name; where another checkpoint of that name takes videos, it is loaded when the first one comes.

    Parameters
    ----------
    name, device, dtype, attn_implementation
        As `farsight.inputs.named_models.load` takes them.
    methods
        More methods that may be chosen, by label: those of whoever started the page.
    """

    name: str = EMBEDDED
    device: str | None = None
    dtype: str | None = None
    attn_implementation: str | None = None
    methods: Mapping[str, Method] = field(default_factory=dict)
    busy: Lock = field(default_factory=Lock)
    """Held while a model works: a method changes the model, so no two can run on it at once."""
    _loaded: dict[str, LoadedModel] = field(default_factory=dict)
    _warm: set[tuple[int, str]] = field(default_factory=set)

    def load(self, *, videos: bool = False) -> LoadedModel:
        """Give the model for pictures, or the one for videos.

        Raises
        ------
        InputError
            If there is no such model, or it takes no videos.
        """
        source = source_of(self.name, videos=videos)
        if source not in self._loaded:
            self._loaded[source] = load(self.name, self.device, self.dtype, self.attn_implementation, videos=videos)
        loaded = self._loaded[source]
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
        return read_vocabulary(vocabulary_of(EMBEDDED if drawn else self.name))
