"""The gate of each head that tune measures: the mean of what registers do."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from tiny_checkpoint import save_tiny_llava

from farsight.attention import LayerCall, locate, watched
from farsight.errors import InputError
from farsight.evaluate.local import LocalEngine, answer
from farsight.evaluate.plan import Plan
from farsight.evaluate.tasks import Item, Task
from farsight.inputs.checkpoints import LoadedModel, load
from farsight.method import Plain
from farsight.methods.constant_gate import ConstantGate
from farsight.metrics.vocabulary import coco
from farsight.tune import gates
from farsight.tune.asked import by_picture
from farsight.tune.measured import MEASURED, measured
from farsight.tune.race import halves

LABEL = "constant(value=per head, rows=generated)"


class Silent:
    def stage(self, stage: object) -> None: ...
    def told(self, doing: str, elapsed: float, left: float | None) -> None: ...
    def rung(self, rung: object) -> None: ...


@pytest.fixture
def loaded(tmp_path: Path) -> LoadedModel:
    return load(save_tiny_llava(tmp_path / "model"), device="cpu")


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    items = []
    for number in range(40):
        Image.new("RGB", (30, 20), (6 * number, 0, 0)).save(tmp_path / f"{number}.png")
        items.append(
            Item(
                item_id=f"p/{number}", part="p", kind="caption", image_id=f"{number}", path=tmp_path / f"{number}.png",
                prompt="What is this?", max_new_tokens=4,
            )
        )  # fmt: skip
    task = Task(name="t", items=tuple(items), vocabulary=coco(), sources={})
    return Plan(model="m", task=task, methods={"plain": Plain(), LABEL: MEASURED[LABEL].method}, batch_size=2)


def test_it_is_the_mean_gate_of_each_head_over_16_captions_of_the_racing_half(
    plan: Plan, loaded: LoadedModel, tmp_path: Path
) -> None:
    found, out = measured(plan, LocalEngine(load=lambda: loaded), 3, tmp_path, Silent())
    gate = found.methods[LABEL]
    means: dict[int, list[torch.Tensor]] = {}

    def see(call: LayerCall) -> None:
        assert call.factor is not None
        means.setdefault(call.index, []).append(call.factor[0, :, -1])

    first, _ = halves(by_picture(plan.task), 3)
    for [item] in first[:16]:
        assert item.path is not None
        with watched(locate(loaded.model), see), Image.open(item.path) as picture:
            answer(
                loaded, gates.REGISTERS, [picture.convert("RGB")], [item.prompt], max_new_tokens=4,
                generation={"min_new_tokens": 4}, watch=False,
            )  # fmt: skip
    expected = torch.stack([torch.stack(means[layer]).mean(0) for layer in sorted(means)])
    assert isinstance(gate, ConstantGate)
    assert (out, gate.rows) == ({}, "generated")
    assert torch.tensor(gate.value) == pytest.approx(expected.numpy(), abs=2e-4)
    assert 0 < expected.min() < expected.max() < 1
    assert "on 16 captions" in (tmp_path / "per_head.yaml").read_text()


def test_another_method_in_its_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "per_head.yaml").write_text("method: beam")
    with pytest.raises(InputError, match=r"per_head\.yaml: has no constant gate"):
        gates.read(tmp_path / "per_head.yaml")
