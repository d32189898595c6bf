"""What a training run is: sizes, steps and seeds, read from a TOML file."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import Field, asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

from farsight.errors import FarSightError, InputError, SettingError
from farsight.files import read_toml, reading
from farsight.setting_checks import check_positive, check_share, check_strength, check_whole

from .lessons import LESSONS

MOST_STEPS, MOST_BATCH, MOST_SCENES = 10_000_000, 100_000, 1_000_000
MOST_WEIGHTS = 1_000_000_000
"""Of a model that is trained from nothing on drawn scenes."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Sizes of the network: widths, numbers of layers and heads, and of words in the tokenizer."""

    vision_width: int = 128
    vision_layers: int = 4
    vision_heads: int = 4
    language_width: int = 192
    language_layers: int = 4
    language_heads: int = 6
    vocabulary: int = 768

    def __post_init__(self) -> None:
        """Refuse what cannot be built."""
        for part in ("vision", "language"):
            width, layers, heads = (getattr(self, f"{part}_{name}") for name in ("width", "layers", "heads"))
            for name, value in ("width", width), ("layers", layers), ("heads", heads):
                check_whole(f"sizes: {part}_{name}", value, 1, 10_000)
            if width % (2 * heads):
                raise SettingError(f"sizes: {part}_width must be a multiple of twice {part}_heads, got {width}")
            if 12 * layers * width**2 > MOST_WEIGHTS:
                raise SettingError(
                    f"sizes: {layers} {part}_layers of width {width} have more than {MOST_WEIGHTS} weights"
                )
        check_whole("sizes: vocabulary", self.vocabulary, 300, 100_000)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Some optimizer steps.

    Parameters
    ----------
    name
        How progress and files call it.
    steps, batch
        How many, and how many pictures (for language: conversations) each sees.
    rate
        Highest learning rate; it warms up and then falls along a cosine.
    lessons
        For stages of the language model: what it learns, with weights.
    sinks
        For stages of the language model: share of the attention that is pulled to the first token, from the second
        layer on; see `farsight_scenes.sinks`. 0 leaves attention alone.
    decay
        For stages of the language model: weight decay of queries and keys. Everything else has 0.01.
    false_share
        For stages of the language model: in place of the plan's.
    """

    name: str
    steps: int
    batch: int
    rate: float
    lessons: Mapping[str, float] = field(default_factory=dict)
    sinks: float = 0.0
    decay: float = 0.01
    false_share: float | None = None

    known_lessons: ClassVar[tuple[str, ...]] = LESSONS

    def __post_init__(self) -> None:
        """Refuse what cannot be run."""
        if not isinstance(self.name, str) or not self.name.isprintable() or not 0 < len(self.name) <= 100:
            raise SettingError(f"name of a stage must be a word, got {self.name!r:.100}")
        stage = f"stage {self.name}: "
        check_whole(f"{stage}steps", self.steps, 1, MOST_STEPS)
        check_whole(f"{stage}batch", self.batch, 1, MOST_BATCH)
        check_positive(f"{stage}rate", self.rate)
        check_share(f"{stage}sinks", self.sinks)
        if self.sinks == 1:
            raise SettingError(f"{stage}sinks must be below 1, got 1")
        check_strength(f"{stage}decay", self.decay)
        if self.false_share is not None:
            check_share(f"{stage}false_share", self.false_share)
        if not isinstance(self.lessons, Mapping):
            raise SettingError(f"{stage}lessons must be a table of names and weights, got {self.lessons!r:.100}")
        if unknown := set(self.lessons) - set(self.known_lessons):
            known = ", ".join(self.known_lessons)
            raise SettingError(f"{stage}no lesson {min(unknown)!r}; choose from {known}")
        for lesson, weight in self.lessons.items():
            check_strength(f"{stage}weight of {lesson}", weight)
        if self.lessons and not 0 < sum(self.lessons.values()) < math.inf:
            raise SettingError(f"{stage}the weights of the lessons add up to {sum(self.lessons.values())}")

    def false_share_of(self, plan: float) -> float:
        """Share of the training captions with a false object: the stage's own, or that of the plan."""
        return plan if self.false_share is None else self.false_share


class Schedule(Protocol):
    """What `farsight_scenes.progress` needs of a plan: a frozen dataclass with stages of steps."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def seed(self) -> int: ...

    @property
    def scenes(self) -> int:
        """How many pictures or videos."""

    @property
    def false_share(self) -> float: ...

    @property
    def snowball(self) -> float: ...

    @property
    def save_every(self) -> int: ...

    @property
    def language(self) -> tuple[Stage, ...]: ...

    @property
    def stages(self) -> tuple[Stage, ...]: ...


def check_plan(plan: Schedule) -> None:
    """Refuse what cannot be run, in what the plans of all models have.

    Raises
    ------
    SettingError
        Which setting it is, and what it may be.
    """
    if not plan.language or not all(stage.lessons for stage in plan.language):
        raise SettingError("a training plan needs at least one [[language]] stage, each with lessons")
    check_whole("seed", plan.seed, 0, 2**63 - 1)
    check_whole("number of pictures or videos", plan.scenes, max(stage.batch for stage in plan.stages), MOST_SCENES)
    check_share("false_share", plan.false_share)
    check_share("snowball", plan.snowball)
    check_whole("save_every", plan.save_every, 1, MOST_STEPS)
    if len({stage.name for stage in plan.stages}) < len(plan.stages):
        raise SettingError("two stages of the training plan have one name; give each its own")


@contextmanager
def of_a_plan(path: Path, shipped: Path) -> Iterator[None]:
    """Whatever is wrong while a plan is made of what a file says becomes one line that names it."""
    with reading(path, "a training plan", f"see {shipped.name}"):
        try:
            yield
        except KeyError as error:
            raise InputError(f"{path} has no table {error}; see {shipped.name} for all of them") from error
        except TypeError as error:
            raise InputError(f"{path}: {str(error).split(') ')[-1]}; see {shipped.name}") from error
        except FarSightError as error:
            raise InputError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from error


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A training run, from nothing to a checkpoint.

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
    sizes
        The network.
    tower, projector, language
        The stages, in this order; at least one for the language model.
    """

    seed: int = 0
    scenes: int
    false_share: float
    snowball: float
    save_every: int = 100
    sizes: Sizes = field(default_factory=Sizes)
    tower: Stage
    projector: Stage
    language: tuple[Stage, ...]

    def __post_init__(self) -> None:
        """Refuse what cannot be run."""
        check_plan(self)
        for stage in (self.tower, self.projector):
            if (stage.lessons, stage.sinks, stage.decay, stage.false_share) != ({}, 0.0, Stage.decay, None):
                raise SettingError(
                    f"stage {stage.name}: lessons, sinks, decay and false_share are only of [[language]] stages"
                )

    @property
    def stages(self) -> tuple[Stage, ...]:
        """All stages in order."""
        return (self.tower, self.projector, *self.language)


def default_plan_path() -> Path:
    """Return the plan that ships: a model of the embedded one's form."""
    return Path(__file__).with_name("llava.toml")


def read_plan(path: Path) -> Plan:
    """Read a plan.

    Raises
    ------
    InputError
        If the file is missing, is not TOML, lacks a setting or has one that does not exist.
    """
    return make_plan(path, read_toml(path))


def make_plan(path: Path, data: dict[str, Any]) -> Plan:
    """Make a plan of what the file ``path`` says; raises as `read_plan`."""
    with of_a_plan(path, default_plan_path()):
        tower, projector = (Stage(name=name, **data.pop(name)) for name in ("tower", "projector"))
        language = tuple(Stage(**stage) for stage in data.pop("language"))
        sizes = Sizes(**data.pop("sizes", {}))
        return Plan(**data, sizes=sizes, language=language, tower=tower, projector=projector)


def differences(one: Schedule, saved: Mapping[str, Any]) -> list[str]:
    """Say where a plan differs from another one that was written with `asdict`: ``seed is 1, was 0``."""
    return _differences("", _plain(asdict(one)), _plain(saved))


def _differences(where: str, new: object, old: object) -> list[str]:
    if isinstance(new, dict) and isinstance(old, dict):
        keys = [*new, *(key for key in old if key not in new)]
        return [line for key in keys for line in _differences(f"{where}.{key}", new.get(key), old.get(key))]
    if isinstance(new, list) and isinstance(old, list) and len(new) == len(old):
        pairs = enumerate(zip(new, old, strict=True))
        return [line for number, (a, b) in pairs for line in _differences(f"{where}[{number}]", a, b)]
    return [] if new == old else [f"{where[1:]} is {new}, was {old}"]


def _plain(value: Any) -> Any:
    """Turn tuples into lists, as JSON does."""
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value
