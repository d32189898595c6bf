"""What a training run of a video model is, read from a TOML file that says ``kind = "video"``."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from farsight.errors import SettingError
from farsight.files import opened, read_toml, real_path
from farsight.setting_checks import check_switch

from .. import checkpoint_path
from ..plan import Stage, check_plan, of_a_plan
from .lessons import VIDEO_LESSONS

EMBEDDED = "embedded"


@dataclass(frozen=True, kw_only=True)
class VideoStage(Stage):
    """Some optimizer steps of the language model, with lessons about videos."""

    known_lessons: ClassVar[tuple[str, ...]] = VIDEO_LESSONS


@dataclass(frozen=True, kw_only=True)
class Start:
    """The image model that a video model is made of.

    Parameters
    ----------
    model
        "embedded", or a folder.
    language
        Start from the layers of its language model as well.
    weights
        Hash of its weights, so that a run does not go on with others; read from the folder.
    """

    model: str = EMBEDDED
    language: bool = True
    weights: str = ""

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return checkpoint_path() if self.model == EMBEDDED else Path(self.model)


@dataclass(frozen=True, kw_only=True)
class VideoPlan:
    """A training run, from an image model to a video model.

    Parameters
    ----------
    seed
        Seed of order and wording, and of weights that are not taken over.
    videos
        How many of the split ``train``.
    false_share, snowball
        Share of the training captions with an object that is not there, and how likely it draws each absent object
        of its company after it.
    save_every
        Steps between two saved states.
    start
        Where tower and projector come from.
    language
        The stages, one or more.
    """

    seed: int = 0
    videos: int
    false_share: float
    snowball: float
    save_every: int = 100
    start: Start
    language: tuple[VideoStage, ...]

    def __post_init__(self) -> None:
        """Refuse what cannot be run."""
        check_plan(self)

    @property
    def scenes(self) -> int:
        """How many videos an epoch has."""
        return self.videos

    @property
    def stages(self) -> tuple[VideoStage, ...]:
        """All stages in order."""
        return self.language


def video_plan_path() -> Path:
    """Return the plan that ships: a model of the embedded video model's form."""
    return Path(__file__).with_name("video.toml")


def is_video_plan(data: Mapping[str, Any]) -> bool:
    """Say whether a plan is of a video model."""
    return data.get("kind") == "video"


def read_video_plan(path: Path) -> VideoPlan:
    """Read a plan and find its image model.

    Raises
    ------
    InputError
        If the file cannot be read, lacks a setting or has one that does not exist, or if there is no image model.
    """
    return make_video_plan(path, read_toml(path))


def make_video_plan(path: Path, data: dict[str, Any]) -> VideoPlan:
    """Make a plan of what the file ``path`` says, and find its image model; raises as `read_video_plan`."""
    with of_a_plan(path, video_plan_path()):
        del data["kind"]
        language = tuple(VideoStage(**stage) for stage in data.pop("language"))
        start = _found(**data.pop("start"), beside=path.parent)
        return VideoPlan(**data, language=language, start=start)


def _found(*, beside: Path, model: str = EMBEDDED, language: bool = True) -> Start:
    """Make the folder absolute and hash the weights in it."""
    check_switch("start: language", language)
    if not isinstance(model, str) or not model:
        raise SettingError(f"start: model must be 'embedded' or a folder, got {model!r:.100}")
    found = Start(model=EMBEDDED if model == EMBEDDED else str(real_path(beside / model)), language=language)
    with opened(found.folder / "model.safetensors", remedy="name an image model under [start]") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()[:16]
    return Start(model=found.model, language=language, weights=digest)
