"""A control that is measured: one constant gate for each head, the mean of what registers do to it on the racing half.

Registers gate each row by what it reads. If the mean of each head's gates does as well, it is not which rows are
weaker but which heads are, and the constant is simpler. It often names fewer false objects, and repeats itself more
(`docs/real_model.md`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from torch import Tensor

from farsight.attention import LayerCall, locate, watched
from farsight.errors import InputError, SettingError
from farsight.evaluate.engine import Answer, Said
from farsight.evaluate.plan import Batch
from farsight.evaluate.tasks import Task
from farsight.farsight import FarSight
from farsight.inputs.checkpoints import LoadedModel
from farsight.methods.constant_gate import ConstantGate
from farsight.methods.grammar import label_of, load_method
from farsight.tune.method_file import write_method

REGISTERS = FarSight(sigma=0.1, rows="generated")
"""Whose gates are measured."""


def measure(loaded: LoadedModel, task: Task, generated: Iterator[tuple[Batch, Said]], file: Path) -> None:
    """Write the mean gate of each head while captions are generated; see `farsight.tune.measured.MeasuredFirst`.

    Raises
    ------
    SettingError, UnsupportedModelError
        If the model takes no registers, or no caption can be generated.
    """
    gates: defaultdict[int, list[Tensor]] = defaultdict(list)

    def see(call: LayerCall) -> None:
        if call.factor is not None:
            gates[call.index].append(call.factor[:, :, -1].double().mean(0).cpu())

    with watched(locate(loaded.model), see):
        captions = sum(isinstance(one, Answer) for _, said in generated for one in said)
    if not captions:
        raise SettingError("it has to be measured first, and none of the captions could be generated")
    means = (sum(gates[layer][1:], start=gates[layer][0]) / len(gates[layer]) for layer in sorted(gates))
    gate = ConstantGate(value=tuple(tuple(round(float(one), 4) for one in layer) for layer in means), rows="generated")
    write_method(file, gate, comments=[f"mean gates of {label_of(REGISTERS)} on {captions} captions"])


def read(file: Path) -> ConstantGate:
    """Read what `measure` wrote.

    Raises
    ------
    InputError, SettingError
        If it is damaged, or has another method.
    """
    gate = load_method(file)
    if not isinstance(gate, ConstantGate):
        raise InputError(f"{file}: has no constant gate")
    return gate
