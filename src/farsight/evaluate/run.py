"""Ask a model all items of a task under each method, and keep every answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers

import farsight
from farsight.checkpoints import LoadedModel
from farsight.errors import InputError
from farsight.evaluate.local import Answer, Visual, answer
from farsight.evaluate.run_folder import RunFolder
from farsight.evaluate.tasks import Item, Task
from farsight.images import open_frames, open_image
from farsight.method import Method
from farsight.methods import settings_of

Progress = Callable[[int], None]
"""Told how many answers have been added."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All that decides the answers of a run."""

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

    @property
    def answers(self) -> int:
        """How many answers the finished run has."""
        return len(self.methods) * len(self.task.items)

    def record(self) -> dict[str, Any]:
        """Give the configuration, which a run folder holds a run to."""
        return {
            "farsight": farsight.__version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "model": self.model,
            "weights": self.weights,
            "device": self.device,
            "dtype": self.dtype,
            "attn_implementation": self.attn_implementation,
            "task": {"name": self.task.name, "items": len(self.task.items), "sources": dict(self.task.sources)},
            "methods": {label: settings_of(method) for label, method in self.methods.items()},
            "batch_size": self.batch_size,
            "generation": dict(self.generation),
        }


def run(plan: Plan, folder: RunFolder, load: Callable[[], LoadedModel], progress: Progress = lambda _: None) -> None:
    """Answer what has no answer yet.

    Batches are the same however often a run is interrupted, so the answers are too: padding and the shape of a batch
    can change the last bits of a logit.

    Parameters
    ----------
    plan
        What to ask.
    folder
        Where the answers go.
    load
        Gives the model; not called if nothing is left to do.
    progress
        Told of every answer, also of those that are there already.

    Raises
    ------
    InputError
        If the model does not fit in memory with this batch size, or answers cannot be written. What is there stays.
    """
    loaded: LoadedModel | None = None
    for label, method, batch in _batches(plan):
        missing = {item.item_id for item in batch if (label, item.item_id) not in folder.rows}
        if missing:
            loaded = loaded or load()
            rows = [row for row in _answered(plan, loaded, label, method, batch) if row["item"] in missing]
            folder.append(rows)
        progress(len(batch))


def _batches(plan: Plan) -> Iterator[tuple[str, Method, tuple[Item, ...]]]:
    for label, method in plan.methods.items():
        for items in plan.task.parts.values():
            for start in range(0, len(items), plan.batch_size):
                yield label, method, items[start : start + plan.batch_size]


def _answered(
    plan: Plan, loaded: LoadedModel, label: str, method: Method, batch: tuple[Item, ...]
) -> list[dict[str, Any]]:
    pictures: dict[str, Visual] = {}
    failed: dict[str, str] = {}
    opened: dict[Path, Visual] = {}  # questions about one video stand together, and its frames take long to read
    for item in batch:
        try:
            if item.path not in opened:
                opened[item.path] = open_frames(item.path) if item.medium == "video" else open_image(item.path)
            pictures[item.item_id] = opened[item.path]
        except InputError as error:
            failed[item.item_id] = str(error)
    asked = [item for item in batch if item.item_id in pictures]
    try:
        answers = (
            answer(
                loaded,
                method,
                list(pictures.values()),
                [item.prompt for item in asked],
                max_new_tokens=batch[0].max_new_tokens,
                generation=plan.generation,
            )
            if asked
            else []
        )
    except torch.OutOfMemoryError as error:
        raise InputError(
            f"a batch of {len(asked)} does not fit in the memory of the device; choose a new folder and a smaller "
            f"--batch-size than {plan.batch_size}"
        ) from error
    by_item = dict(zip((item.item_id for item in asked), answers, strict=True))
    return [_row(plan, label, method, item, by_item.get(item.item_id), failed.get(item.item_id)) for item in batch]


def _row(plan: Plan, label: str, method: Method, item: Item, said: Answer | None, failed: str | None) -> dict[str, Any]:
    """One answer with all that is needed to ask for it again."""
    return {
        "method": label,
        "item": item.item_id,
        "part": item.part,
        "image_id": item.image_id,
        "image": item.path.name,
        "prompt": item.prompt,
        "text": said.text if said else "",
        "tokens": said.tokens if said else 0,
        "ended": said.ended if said else False,
        "absorbed": said.absorbed if said else None,
        "failed": failed,
        "model": plan.model,
        "settings": settings_of(method),
        "max_new_tokens": item.max_new_tokens,
        "generation": dict(plan.generation),
    }
