"""A control that is measured: one constant gate for each head, the mean of what registers do to it on the racing half.

Registers gate each row by what it reads. If the mean of each head's gates does as well, it is not which rows are
weaker but which heads are, and the constant is simpler. It often names fewer false objects, and repeats itself more
(`docs/real_model.md`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from farsight.attention import LayerCall, locate, watched
from farsight.errors import InputError
from farsight.evaluate.local import answer_request
from farsight.evaluate.plan import Plan, batches
from farsight.evaluate.run import request_of
from farsight.evaluate.tasks import Item
from farsight.farsight import FarSight
from farsight.inputs.checkpoints import LoadedModel
from farsight.methods.constant_gate import ConstantGate
from farsight.methods.grammar import label_of, load_method
from farsight.tune.method_file import write_method

LABEL = "constant(value=per head, rows=generated)"
NAME = "per_head.yaml"
REGISTERS = FarSight(sigma=0.1, rows="generated")
"""Whose gates are measured."""
MOST = 16
"""Captions on which they are."""


def per_head(plan: Plan, items: Sequence[Item], load: Callable[[], LoadedModel], folder: Path) -> ConstantGate:
    """Measure the mean gate of each head while `MOST` captions are generated; what is in the folder is kept.

    Parameters
    ----------
    plan
        Of the tuning.
    items
        Captions of the racing half.
    load
        Gives the model.
    folder
        Gets `NAME`, which is read instead the next time.

    Raises
    ------
    SettingError, UnsupportedModelError
        If the model takes no registers.
    InputError
        If the file is damaged.
    """
    if (file := folder / NAME).exists():
        known = load_method(file)
        if not isinstance(known, ConstantGate):
            raise InputError(f"{file}: has no constant gate; delete it to have it measured again")
        return known
    gates: defaultdict[int, list[Tensor]] = defaultdict(list)

    def see(call: LayerCall) -> None:
        if call.factor is not None:
            gates[call.index].append(call.factor[:, :, -1].double().mean(0).cpu())

    loaded, one = load(), replace(plan, methods={LABEL: REGISTERS})
    with watched(locate(loaded.model), see):
        for batch in batches(one, {LABEL: items[:MOST]}):
            answer_request(loaded, replace(request_of(one, 0, batch), watched=False))
    means = (sum(gates[layer][1:], start=gates[layer][0]) / len(gates[layer]) for layer in sorted(gates))
    gate = ConstantGate(value=tuple(tuple(round(float(one), 4) for one in layer) for layer in means), rows="generated")
    write_method(file, gate, comments=[f"mean gates of {label_of(REGISTERS)} on {len(items[:MOST])} captions"])
    return gate
