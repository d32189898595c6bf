"""What a run asks, in which batches: the same ones whatever answers them and however often it is interrupted."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import torch
import transformers

import farsight
from farsight.errors import InputError, SettingError
from farsight.evaluate.fingerprints import picture_fingerprints
from farsight.evaluate.tasks import Item, Task
from farsight.method import Method
from farsight.methods import settings_of
from farsight.methods.verified import PICTURES_ALONE, apart


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All that decides the answers of a run.

    Raises
    ------
    InputError
        If methods could not be compared, since a part of the task is about one picture alone.
    SettingError
        If a method checks descriptions, and none are asked for, or not of pictures.
    """

    model: str
    task: Task
    methods: Mapping[str, Method]
    """By label; the first is what the others are compared with."""
    batch_size: int = 16
    generation: Mapping[str, Any] = field(default_factory=dict)
    """More arguments of ``generate``."""
    weights: str | None = None
    """Fingerprint of the checkpoint, where it is a folder."""
    device: str = "cpu"
    dtype: str | None = None
    attn_implementation: str | None = None
    engine: Mapping[str, Any] | None = None
    """Of an engine whose answers are not those of Transformers to the last bit: its name, version and settings."""

    def __post_init__(self) -> None:
        described = [item for item in self.task.items if item.describes]
        for label, method in self.methods.items():
            if apart(method)[1] is None:
                continue
            if not described:
                raise SettingError(
                    f"'{label}' checks what descriptions name, and {self.task.name} asks for none, so that all answers "
                    "would pass unchanged: leave it out, or ask for captions"
                )
            if any(item.medium != "picture" for item in described):
                raise SettingError(f"'{label}': {PICTURES_ALONE}")
        pictures: dict[str, set[str]] = {}
        for item in self.task.items:
            pictures.setdefault(item.part, set()).add(item.image_id)
        for part, ids in pictures.items():
            if len(self.methods) > 1 and len(ids) < 2:
                raise InputError(
                    f"{part} is about one picture alone, and methods are compared on at least 2, better on hundreds: "
                    f"give more pictures or questions (--count, --question-count){told_missing(self.task)}"
                )

    @property
    def answers(self) -> int:
        """How many answers the finished run has."""
        return len(self.methods) * len(self.task.items)

    @cached_property
    def pictures(self) -> dict[str, str | None]:
        """Fingerprints of all pictures or videos that are asked about."""
        return picture_fingerprints(self.task.items)

    def held_to(self) -> dict[str, Any]:
        """Give all that a run folder holds a run to: the configuration and the pictures."""
        return self.record() | {"pictures": self.pictures}

    def record(self) -> dict[str, Any]:
        """Give the configuration.

        What answers is part of it only where it may change an answer.
        """
        return {
            **versions(),
            "model": self.model,
            "weights": self.weights,
            "device": self.device,
            "dtype": self.dtype,
            "attn_implementation": self.attn_implementation,
            "task": {"name": self.task.name, "items": len(self.task.items), "sources": dict(self.task.sources)},
            "methods": {label: settings_of(method) for label, method in self.methods.items()},
            "batch_size": self.batch_size,
            "generation": {**self.task.generation, **self.generation},
            **({} if self.engine is None else {"engine": dict(self.engine)}),
        }


def told_missing(task: Task, most: int = 3) -> str:
    """Name the pictures that a task lacks, for the end of a sentence."""
    named = ", ".join(f"'{name}'" for name in task.missing[:most]) + (", ..." if len(task.missing) > most else "")
    return f"; {len(task.missing)} pictures whose objects are known are not in the folder: {named}" if named else ""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Items of one part that one method answers at once."""

    label: str
    method: Method
    asked: tuple[tuple[Item, ...], ...]
    """Each prompt with all items that ask the same of the same picture."""

    @property
    def items(self) -> list[Item]:
        """All items, in order."""
        return [item for same in self.asked for item in same]


def batches(plan: Plan, only: Mapping[str, Sequence[Item]] | None = None) -> Iterator[Batch]:
    """Batches of items that are of one part, each with all that ask the same of the same picture.

    Every method answers a batch before the next one is asked, so that their times are of the same minutes; but one
    method goes after the other where an engine has to be started anew for each. Batches are the same however often a
    run is interrupted, so the answers are too: padding and the shape of a batch can change the last bits of a logit.

    Parameters
    ----------
    plan
        The plan of the run.
    only
        By label, the items that it is asked; by default all are asked all.
    """
    of_methods = [list(_batches(plan, label, only)) for label in plan.methods]
    if plan.engine is not None:
        yield from chain.from_iterable(of_methods)
    else:
        yield from (batch for same in zip_longest(*of_methods) for batch in same if batch is not None)


def _batches(plan: Plan, label: str, only: Mapping[str, Sequence[Item]] | None) -> Iterator[Batch]:
    for part in _alike(plan, plan.task.items if only is None else only.get(label, ())):
        for start in range(0, len(part), plan.batch_size):
            yield Batch(label=label, method=plan.methods[label], asked=tuple(part[start : start + plan.batch_size]))


def _alike(plan: Plan, items: Sequence[Item]) -> Iterable[list[tuple[Item, ...]]]:
    """Items of each part, those together that ask the same of the same picture."""
    alike: dict[tuple[object, ...], list[Item]] = {}
    for item in items:
        own = item.item_id if plan.generation.get("do_sample") else None
        alike.setdefault((item.path, item.earlier, item.prompt, item.max_new_tokens, own), []).append(item)
    parts: dict[str, list[tuple[Item, ...]]] = {}
    for same in alike.values():
        parts.setdefault(same[0].part, []).append(tuple(same))
    return parts.values()


def commit() -> dict[str, str]:
    """Give the commit of farsight, if it is imported from a checkout of its repository; never that of another folder.

    It is written beside what came out, and no run is held to it.
    """
    package = Path(farsight.__file__).resolve().parent
    root = package.parents[1]
    if package != root / "src" / "farsight" or not (root / ".git").exists():
        return {}
    asked = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    with suppress(OSError, subprocess.SubprocessError):
        found = subprocess.run(asked, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
        return {"farsight_commit": found}
    return {}


def versions() -> dict[str, str]:
    """Give the versions of what decides answers, in this process."""
    return {
        "farsight": farsight.__version__,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
