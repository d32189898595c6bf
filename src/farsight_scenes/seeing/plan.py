"""What a training run of a seeing model is, read from a TOML file that says ``kind = "seeing"``."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from farsight.errors import SettingError
from farsight.files import opened, read_toml, real_path
from farsight.inputs.named_models import source_of
from farsight.setting_checks import check_whole

from ..plan import Stage, check_plan, of_a_plan

KIND = "seeing"
SMOLLM2 = "smollm2"


@dataclass(frozen=True, kw_only=True)
class Start:
    """The language model that learns to see.

    Parameters
    ----------
    model
        "smollm2", or the folder of another Llama.
    weights
        Hash of its weights, so that a run does not go on with others; read from the folder.
    """

    model: str
    weights: str

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return Path(source_of(self.model))


@dataclass(frozen=True, kw_only=True)
class SeeingPlan:
    """A training run, from a language model and a tower to what makes the one see through the other.

    Parameters
    ----------
    seed
        Seed of weights, order and wording.
    scenes
        How many pictures of the split ``train``.
    false_share, snowball
        Share of the training captions with an object that is not there, and how likely it draws each absent object
        of its company after it.
    save_every
        Steps between two saved states.
    rank
        Of the adapters.
    start
        The language model.
    projector, language
        The stages, in this order; at least one for projector and adapters together.
    """

    seed: int = 0
    scenes: int
    false_share: float
    snowball: float
    save_every: int = 100
    rank: int
    start: Start
    projector: Stage
    language: tuple[Stage, ...]

    def __post_init__(self) -> None:
        """Refuse what cannot be run."""
        check_plan(self)
        check_whole("rank", self.rank, 1, 576)
        if self.projector.lessons or any(stage.sinks for stage in self.stages):
            raise SettingError("a seeing model's projector has no lessons, and none of its stages has sinks")

    @property
    def stages(self) -> tuple[Stage, ...]:
        """All stages in order."""
        return (self.projector, *self.language)


def seeing_plan_path() -> Path:
    """Return the plan that ships."""
    return Path(__file__).with_name("smollm2.toml")


def is_seeing_plan(data: Mapping[str, Any]) -> bool:
    """Say whether a plan is of a seeing model."""
    return data.get("kind") == KIND


def read_seeing_plan(path: Path) -> SeeingPlan:
    """Read a plan; raises `InputError` if it cannot be read, lacks a setting or has one that does not exist."""
    return make_seeing_plan(path, read_toml(path))


def make_seeing_plan(path: Path, data: dict[str, Any]) -> SeeingPlan:
    """Make a plan of what the file ``path`` says; raises as `read_seeing_plan`."""
    with of_a_plan(path, seeing_plan_path()):
        del data["kind"]
        projector = Stage(name="projector", **data.pop("projector"))
        language = tuple(Stage(**stage) for stage in data.pop("language"))
        start = _found(**data.pop("start"), beside=path.parent)
        return SeeingPlan(**data, projector=projector, language=language, start=start)


def _found(*, beside: Path, model: str) -> Start:
    """Make the folder absolute and hash the weights in it."""
    if not isinstance(model, str) or not model:
        raise SettingError(f"start: model must be '{SMOLLM2}' or a folder, got {model!r:.100}")
    found = model if model == SMOLLM2 else str(real_path(beside / model))
    with opened(Path(source_of(found)) / "model.safetensors", remedy="name a Llama under [start]") as file:
        return Start(model=found, weights=hashlib.file_digest(file, "sha256").hexdigest()[:16])
