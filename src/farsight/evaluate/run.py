"""Ask a model all items of a task under each method, and keep every answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

from farsight.errors import InputError
from farsight.evaluate.engine import Answer, Engine, Failure, Request
from farsight.evaluate.plan import Batch, Plan, batches
from farsight.evaluate.run_folder import RunFolder, from_folder
from farsight.evaluate.tasks import Item
from farsight.evaluate.times import keep_time
from farsight.methods import settings_of

Progress = Callable[[Batch], None]
"""Told of every batch that is answered."""


def run(
    plan: Plan,
    folder: RunFolder,
    engine: Engine,
    progress: Progress = lambda _: None,
    *,
    only: Mapping[str, Sequence[Item]] | None = None,
) -> None:
    """Answer what has no answer yet.

    What is asked twice of one picture, as POPE's questions about what is there are, is answered once.

    Parameters
    ----------
    plan
        What to ask.
    folder
        Where the answers go; written by this process alone.
    engine
        What answers; it loads no model if nothing is left to do.
    progress
        Told of every batch, also of those that are there already.
    only
        By label, the items that it is asked now; by default all are asked all.

    Raises
    ------
    InputError
        If the folder has answers to something else, if the model does not fit in memory with this batch size, or if
        answers cannot be written. What is there stays.
    """
    _check(plan, folder)
    asked: dict[int, Batch] = {}

    def requests() -> Iterator[Request]:
        for number, batch in enumerate(batches(plan, only)):
            if _missing(batch, folder):
                asked[number] = batch
                yield request_of(plan, number, batch)
            else:
                progress(batch)

    with closing(engine.answers(requests())) as answers:
        for number, said in answers:
            batch = asked.pop(number)
            missing = _missing(batch, folder)
            keep_time(folder.path, batch.label, batch.items[0].item_id, said)
            folder.append(
                _row(plan, folder, batch, item, one)
                for same, one in zip(batch.asked, said, strict=True)
                for item in same
                if item.item_id in missing
            )
            progress(batch)


def _check(plan: Plan, folder: RunFolder) -> None:
    items = {item.item_id for item in plan.task.items}
    for label, item in folder.rows:
        if label not in plan.methods or item not in items:
            raise InputError(
                f"{folder.answers}: has an answer of '{label}' to '{item}', which is not asked; delete its line"
            )


def _missing(batch: Batch, folder: RunFolder) -> set[str]:
    return {item.item_id for item in batch.items if (batch.label, item.item_id) not in folder.rows}


def request_of(plan: Plan, number: int, batch: Batch) -> Request:
    """Give a batch as an engine is asked it."""
    first = [same[0] for same in batch.asked]
    return Request(
        number=number,
        method=batch.method,
        paths=[item.path for item in first],
        medium=first[0].medium,
        prompts=[item.prompt for item in first],
        earlier=[item.earlier for item in first],
        max_new_tokens=first[0].max_new_tokens,
        vocabulary=plan.task.vocabulary if first[0].describes else None,
        generation={**plan.task.generation, **plan.generation},
    )


def _row(plan: Plan, folder: RunFolder, batch: Batch, item: Item, said: Answer | Failure) -> dict[str, Any]:
    """One answer with all that is needed to ask for it again."""
    answer = said if isinstance(said, Answer) else None
    return {
        "method": batch.label,
        "item": item.item_id,
        "part": item.part,
        "image_id": item.image_id,
        "image": None if item.path is None else item.path.name,
        "picture": None if item.path is None else from_folder(folder.path, item.path),
        "prompt": item.prompt,
        **({"earlier": list(item.earlier)} if item.earlier else {}),
        "text": answer.text if answer else "",
        "tokens": answer.tokens if answer else 0,
        "ended": answer.ended if answer else False,
        "absorbed": answer.absorbed if answer else None,
        **({"checked": dict(answer.checked)} if answer and answer.checked is not None else {}),
        "failed": said.reason if isinstance(said, Failure) else None,
        "model": plan.model,
        "settings": settings_of(batch.method),
        "max_new_tokens": item.max_new_tokens,
        "generation": {**plan.task.generation, **plan.generation},
    }
