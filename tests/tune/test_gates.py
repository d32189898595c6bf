"""The gate of each head that tune measures: the mean of what registers do, kept in the folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from tiny_checkpoint import save_tiny_llava

from farsight.attention import LayerCall, locate, watched
from farsight.errors import InputError
from farsight.evaluate.local import answer
from farsight.evaluate.plan import Plan
from farsight.evaluate.tasks import Item, Task
from farsight.inputs.checkpoints import LoadedModel, load
from farsight.method import Plain
from farsight.methods.constant_gate import ConstantGate
from farsight.metrics.vocabulary import coco
from farsight.tune.gates import MOST, NAME, REGISTERS, per_head


@pytest.fixture
def loaded(tmp_path: Path) -> LoadedModel:
    return load(save_tiny_llava(tmp_path / "model"), device="cpu")


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    for number in range(3):
        Image.new("RGB", (30, 20), (90 * number, 0, 0)).save(tmp_path / f"{number}.png")
    items = tuple(
        Item(
            item_id=f"p/{n}", part="p", kind="caption", image_id=f"{n}", path=tmp_path / f"{n % 3}.png",
            prompt="What is this?", max_new_tokens=4,
        )
        for n in range(MOST + 3)
    )  # fmt: skip
    task = Task(name="t", items=items, vocabulary=coco(), sources={})
    return Plan(model="m", task=task, methods={"plain": Plain()}, batch_size=2)


def test_it_is_the_mean_gate_of_each_head_over_what_is_generated(
    plan: Plan, loaded: LoadedModel, tmp_path: Path
) -> None:
    gate = per_head(plan, plan.task.items, lambda: loaded, tmp_path)
    gates: dict[int, list[torch.Tensor]] = {}

    def see(call: LayerCall) -> None:
        assert call.factor is not None
        gates.setdefault(call.index, []).append(call.factor[0, :, -1])

    for item in plan.task.items[:MOST]:
        assert item.path is not None
        with watched(locate(loaded.model), see), Image.open(item.path) as picture:
            answer(
                loaded, REGISTERS, [picture.convert("RGB")], [item.prompt], max_new_tokens=4,
                generation={"min_new_tokens": 4}, watch=False,
            )  # fmt: skip
    expected = torch.stack([torch.stack(gates[layer]).mean(0) for layer in sorted(gates)])
    assert gate.rows == "generated"
    assert torch.tensor(gate.value) == pytest.approx(expected.numpy(), abs=2e-4)
    assert 0 < expected.min() < expected.max() < 1


def test_what_the_folder_has_is_not_measured_again(plan: Plan, tmp_path: Path) -> None:
    def never() -> LoadedModel:
        raise AssertionError

    (tmp_path / NAME).write_text("{method: constant, rows: generated, value: [[0.5, 0.6]]}")
    assert per_head(plan, plan.task.items, never, tmp_path) == ConstantGate(value=((0.5, 0.6),), rows="generated")
    (tmp_path / NAME).write_text("method: beam")
    with pytest.raises(InputError, match=r"per_head\.yaml: has no constant gate; delete it"):
        per_head(plan, plan.task.items, never, tmp_path)
