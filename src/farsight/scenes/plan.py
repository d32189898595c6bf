"""What a training run is: sizes, steps and seeds, read from a TOML file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

from farsight.errors import InputError
from farsight.files import read_toml, reading

from .lessons import LESSONS


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
        layer on; see `farsight.scenes.sinks`. 0 leaves attention alone.
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
        for name in ("steps", "batch", "rate"):
            if not isinstance(getattr(self, name), int | float):
                raise InputError(f"stage {self.name}: {name} is {getattr(self, name)!r}, not a number")
        if self.steps < 1 or self.batch < 1 or self.rate <= 0:
            raise InputError(f"stage {self.name}: steps and batch must be 1 or more and rate above 0")
        if not isinstance(self.sinks, int | float) or not 0 <= self.sinks < 1:
            raise InputError(f"stage {self.name}: sinks is {self.sinks!r}, not a share from 0 to below 1")
        if not isinstance(self.decay, int | float) or self.decay < 0:
            raise InputError(f"stage {self.name}: decay is {self.decay!r}, not a number of 0 or more")
        if self.false_share is not None and not 0 <= self.false_share <= 1:
            raise InputError(f"stage {self.name}: false_share is {self.false_share!r}, not a share from 0 to 1")
        if unknown := set(self.lessons) - set(self.known_lessons):
            known = ", ".join(self.known_lessons)
            raise InputError(f"stage {self.name}: no lesson {min(unknown)!r}; choose from {known}")

    def false_share_of(self, plan: float) -> float:
        """Share of the training captions with a false object: the stage's own, or that of the plan."""
        return plan if self.false_share is None else self.false_share


class Schedule(Protocol):
    """What `farsight.scenes.progress` needs of a plan: a frozen dataclass with stages of steps."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def seed(self) -> int: ...

    @property
    def scenes(self) -> int:
        """How many pictures or videos."""

    @property
    def save_every(self) -> int: ...

    @property
    def stages(self) -> tuple[Stage, ...]: ...


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
        if not self.language or not all(stage.lessons for stage in self.language):
            raise InputError("a training plan needs at least one [[language]] stage, each with lessons")
        if self.save_every < 1 or self.scenes < max(stage.batch for stage in self.stages):
            raise InputError("save_every must be 1 or more, and scenes at least the largest batch")
        if len({stage.name for stage in self.stages}) < len(self.stages):
            raise InputError("two stages of the training plan have one name; give each its own")

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
    with reading(path, "a training plan", f"see {default_plan_path().name}"):
        try:
            tower, projector = (Stage(name=name, **data.pop(name)) for name in ("tower", "projector"))
            language = tuple(Stage(**stage) for stage in data.pop("language"))
            sizes = Sizes(**data.pop("sizes", {}))
            return Plan(**data, sizes=sizes, language=language, tower=tower, projector=projector)
        except KeyError as error:
            raise InputError(f"{path} has no table {error}; see {default_plan_path().name} for all of them") from error
        except TypeError as error:
            raise InputError(f"{path}: {str(error).split(') ')[-1]}; see {default_plan_path().name}") from error


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
