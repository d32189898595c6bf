"""The second half as a run like any other: plain decoding and the winner on the pictures that chose nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from farsight.evaluate.run_folder import Key
from farsight.evaluate.tasks import Item, Task
from farsight.tune.asked import About


def second_half(
    task: Task, units: Sequence[About], labels: Sequence[str], rows: Mapping[Key, Mapping[str, Any]]
) -> Task:
    """Give the task of which the second half's answers are all answers, without what could not be asked.

    Parameters
    ----------
    task
        The task that was tuned on.
    units
        The pictures of the second half.
    labels
        Plain decoding and the winner.
    rows
        The answers by method and item.

    Returns
    -------
    Without parts that are about fewer than two pictures, which cannot be compared.
    """
    parts: dict[str, list[Item]] = {}
    for item in (item for about in units for item in about):
        if all(rows[label, item.item_id]["failed"] is None for label in labels):
            parts.setdefault(item.part, []).append(item)
    kept = {part for part, items in parts.items() if len({item.image_id for item in items}) > 1}
    chosen = {item.item_id for part in kept for item in parts[part]}
    return replace(task, items=tuple(item for item in task.items if item.item_id in chosen))
