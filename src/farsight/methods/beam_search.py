"""Beam search: what every method that changes decoding has to be better than."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from torch import nn
from transformers import GenerationMixin

from farsight.errors import UnsupportedModelError
from farsight.instances import replaced
from farsight.method import Method
from farsight.setting_checks import MOST_BEAMS, setting, whole

_AFTER_INPUTS = list(inspect.signature(GenerationMixin.generate).parameters)[2:]


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

    num_beams: int = setting(5, whole(2, MOST_BEAMS))

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """Make ``model.generate`` use beams; see `Method`."""
        if not hasattr(model, "generate"):
            raise UnsupportedModelError(f"{type(model).__name__} has no generate to search with")
        generate: Any = model.generate
        with replaced(model, "generate", partial(_searched, generate, self.num_beams)):
            yield


def _searched(generate: Callable[..., Any], num_beams: int, /, *args: Any, **kwargs: Any) -> Any:
    return generate(*args[:1], **with_beams(args, kwargs, num_beams))


def with_beams(args: tuple[Any, ...], kwargs: Mapping[str, Any], num_beams: int) -> dict[str, Any]:
    """The arguments of `generate` after its inputs, with beams.

    Where a generation config is among them the beams are put into a copy of it: Transformers wants settings in one of
    the two places.
    """
    given = dict(zip(_AFTER_INPUTS, args[1:], strict=False)) | dict(kwargs)
    beams = {"num_beams": num_beams, "do_sample": False}
    if (config := given.get("generation_config")) is None:
        return given | beams
    config = copy.deepcopy(config)
    config.update(**beams)
    for name in beams:
        given.pop(name, None)
    return given | {"generation_config": config}
