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

    What is asked twice of one picture, as POPE's questions about what is there are, is answered once.

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
        items = [item for same in batch for item in same]
        missing = {item.item_id for item in items if (label, item.item_id) not in folder.rows}
        if missing:
            loaded = loaded or load()
            rows = [row for row in _answered(plan, loaded, label, method, batch) if row["item"] in missing]
            folder.append(rows)
        progress(len(items))


def _batches(plan: Plan) -> Iterator[tuple[str, Method, list[list[Item]]]]:
    """Batches of items that are of one part, each with all that ask the same of the same picture."""
    alike: dict[tuple[object, ...], list[Item]] = {}
    for item in plan.task.items:
        own = item.item_id if plan.generation.get("do_sample") else None
        alike.setdefault((item.path, item.prompt, item.max_new_tokens, own), []).append(item)
    parts: dict[str, list[list[Item]]] = {}
    for items in alike.values():
        parts.setdefault(items[0].part, []).append(items)
    for label, method in plan.methods.items():
        for part in parts.values():
            for start in range(0, len(part), plan.batch_size):
                yield label, method, part[start : start + plan.batch_size]


def _answered(
    plan: Plan, loaded: LoadedModel, label: str, method: Method, batch: list[list[Item]]
) -> list[dict[str, Any]]:
    pictures: dict[str, Visual] = {}
    failed: dict[str, str] = {}
    opened: dict[Path, Visual] = {}  # questions about one video stand together, and its frames take long to read
    first = [same[0] for same in batch]
    for item in first:
        try:
            if item.path not in opened:
                opened[item.path] = open_frames(item.path) if item.medium == "video" else open_image(item.path)
            pictures[item.item_id] = opened[item.path]
        except InputError as error:
            failed[item.item_id] = str(error)
    asked = [item for item in first if item.item_id in pictures]
    try:
        answers = (
            answer(
                loaded,
                method,
                list(pictures.values()),
                [item.prompt for item in asked],
                max_new_tokens=first[0].max_new_tokens,
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
    return [
        _row(plan, label, method, item, by_item.get(same[0].item_id), failed.get(same[0].item_id))
        for same in batch
        for item in same
    ]


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
