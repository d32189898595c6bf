"""Beam search: what every method that changes decoding has to be better than."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from torch import nn

from farsight.errors import UnsupportedModelError
from farsight.method import Method, replaced
from farsight.setting_checks import check_whole


@dataclass(frozen=True, kw_only=True)
class BeamSearch(Method):
    """Decode with beams instead of greedily: Transformers' own beam search, by the length-normalised likelihood.

    Parameters
    ----------
    num_beams
        How many beams are kept.

    Raises
    ------
    SettingError
        If that is less than 2.
    """

    name: ClassVar[str] = "beam"
    paper: ClassVar[str] = "beam search, as in Transformers"
    changes: ClassVar[str] = "search"

    num_beams: int = 5

    def __post_init__(self) -> None:
        check_whole("num_beams", self.num_beams, 2)

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """Make ``model.generate`` use beams; see `Method`."""
        if not hasattr(model, "generate"):
            raise UnsupportedModelError(f"{type(model).__name__} has no generate to search with")
        with replaced(model, "generate", partial(_searched, model.generate, self.num_beams)):
            yield


def _searched(generate: object, num_beams: int, /, *args: object, **kwargs: object) -> object:
    return generate(*args, **{**kwargs, "num_beams": num_beams, "do_sample": False})  # type: ignore[operator]
