"""Ask a model all items of a task under each method, and keep every answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from farsight.errors import InputError
from farsight.evaluate.engine import Answer, Engine, Failure, Request, Said, Visual
from farsight.evaluate.plan import Batch, Plan, batches
from farsight.evaluate.run_folder import RunFolder
from farsight.evaluate.tasks import Item
from farsight.images import open_frames, open_image
from farsight.methods import settings_of

Progress = Callable[[int], None]
"""Told how many answers have been added."""


def run(plan: Plan, folder: RunFolder, engine: Engine, progress: Progress = lambda _: None) -> None:
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
        Told of every answer, also of those that are there already.

    Raises
    ------
    InputError
        If the model does not fit in memory with this batch size, or answers cannot be written. What is there stays.
    """
    asking = _Asking(plan, folder, progress)
    with closing(engine.answers(asking.requests())) as answers:
        for number, said in answers:
            asking.finish(number, said)


class _Asking:
    """Batches on their way: opened when the engine wants one, written when it has answered."""

    def __init__(self, plan: Plan, folder: RunFolder, progress: Progress) -> None:
        self.plan, self.folder, self.progress = plan, folder, progress
        self.out: dict[int, tuple[Batch, list[str | None]]] = {}
        """Each with the reasons for which its prompts are not asked."""

    def requests(self) -> Iterator[Request]:
        """Give what has no answer yet; a batch of which no picture can be read is written down at once."""
        for number, batch in enumerate(batches(self.plan)):
            if not self._missing(batch):
                self.progress(len(batch.items))
                continue
            pictures, reasons = _read([same[0] for same in batch.asked])
            self.out[number] = batch, reasons
            asked = [same[0] for same, reason in zip(batch.asked, reasons, strict=True) if reason is None]
            if not asked:
                self.finish(number, [])
                continue
            yield Request(
                number=number,
                method=batch.method,
                pictures=pictures,
                prompts=[item.prompt for item in asked],
                max_new_tokens=batch.asked[0][0].max_new_tokens,
                generation=self.plan.generation,
            )

    def finish(self, number: int, said: Said) -> None:
        """Write the rows of a batch that are not there yet."""
        batch, reasons = self.out.pop(number)
        missing, left = self._missing(batch), iter(said)
        rows: list[dict[str, Any]] = []
        for same, reason in zip(batch.asked, reasons, strict=True):
            one = next(left) if reason is None else Failure(reason=reason)
            rows += [_row(self.plan, batch, item, one) for item in same if item.item_id in missing]
        self.folder.append(rows)
        self.progress(len(batch.items))

    def _missing(self, batch: Batch) -> set[str]:
        return {item.item_id for item in batch.items if (batch.label, item.item_id) not in self.folder.rows}


def _read(items: list[Item]) -> tuple[list[Visual], list[str | None]]:
    """Open the pictures that can be, and say of each item why its own cannot."""
    pictures: list[Visual] = []
    reasons: list[str | None] = []
    opened: dict[Path, Visual] = {}  # questions about one video stand together, and its frames take long to read
    for item in items:
        try:
            if item.path not in opened:
                opened[item.path] = open_frames(item.path) if item.medium == "video" else open_image(item.path)
            pictures.append(opened[item.path])
            reasons.append(None)
        except InputError as error:
            reasons.append(str(error))
    return pictures, reasons


def _row(plan: Plan, batch: Batch, item: Item, said: Answer | Failure) -> dict[str, Any]:
    """One answer with all that is needed to ask for it again."""
    answer = said if isinstance(said, Answer) else None
    return {
        "method": batch.label,
        "item": item.item_id,
        "part": item.part,
        "image_id": item.image_id,
        "image": item.path.name,
        "prompt": item.prompt,
        "text": answer.text if answer else "",
        "tokens": answer.tokens if answer else 0,
        "ended": answer.ended if answer else False,
        "absorbed": answer.absorbed if answer else None,
        "failed": said.reason if isinstance(said, Failure) else None,
        "model": plan.model,
        "settings": settings_of(batch.method),
        "max_new_tokens": item.max_new_tokens,
        "generation": dict(plan.generation),
    }
