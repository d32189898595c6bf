"""What AdaIAT has to know, measured on captions of the racing half: how much rows that name objects read of the answer.

As ``farsight calibrate --for adaiat`` measures it, with the prompts, the lengths and the batches of the race.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from farsight.diagnose.object_rows import ObjectRows
from farsight.errors import InputError, SettingError
from farsight.evaluate.engine import Answer, Said
from farsight.evaluate.plan import Batch
from farsight.evaluate.tasks import Task
from farsight.inputs.checkpoints import LoadedModel
from farsight.methods.adaiat import AdaIAT


def measure(loaded: LoadedModel, task: Task, generated: Iterator[tuple[Batch, Said]], file: Path) -> None:
    """Write what `AdaIAT.load` reads while captions are generated; see `farsight.tune.measured.MeasuredFirst`.

    Raises
    ------
    SettingError, UnsupportedModelError
        If the model takes no AdaIAT, or if captions name no true or no false object.
    """
    with AdaIAT(true_rows=1.0, false_rows=1.0)(loaded.model):
        pass  # what the method refuses is not measured
    rows, longest = ObjectRows(loaded, task.vocabulary.mentions), 0
    pictures = set[str]()
    with rows.reading():
        for batch, said in generated:
            asked = zip((same[0] for same in batch.asked), said, strict=True)
            answered = [(item, one) for item, one in asked if isinstance(one, Answer)]
            for place, (item, one) in enumerate(answered):
                rows.add(place, one.ids, item.truth["objects"])
                pictures.add(item.image_id)
                longest = max(longest, item.max_new_tokens)
    try:
        found = rows.found(pictures=len(pictures), prompt=f"the prompts of {task.name}", max_new_tokens=longest)
    except InputError as error:
        raise SettingError(str(error)) from error
    found.save(file)
