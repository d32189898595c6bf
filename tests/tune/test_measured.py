"""Candidates that are measured before they race: once, on the racing half alone, or out with what can be done."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from farsight.calibration import TextAttention
from farsight.cli import options
from farsight.diagnose import object_rows
from farsight.errors import InputError
from farsight.evaluate.local import LocalEngine
from farsight.evaluate.named_tasks import TaskOptions, make_task
from farsight.evaluate.plan import Plan
from farsight.evaluate.tasks import Item, Task
from farsight.images import open_image
from farsight.inputs.checkpoints import LoadedModel
from farsight.method import Method, Plain
from farsight.methods.adaiat import AdaIAT
from farsight.methods.constant_gate import ConstantGate
from farsight.methods.grammar import load_method, parse_method
from farsight.tune.asked import by_picture
from farsight.tune.candidates import contenders
from farsight.tune.measured import MEASURED, measured
from farsight.tune.method_file import write_method
from farsight.tune.race import halves

GATE = "constant(value=per head, rows=generated)"


@dataclass
class Told:
    lines: list[str] = field(default_factory=list)

    def stage(self, stage: object) -> None: ...
    def rung(self, rung: object) -> None: ...
    def told(self, doing: str, elapsed: float, left: float | None) -> None:
        self.lines.append(doing)


def never() -> LoadedModel:
    raise AssertionError


class Elsewhere:
    """An engine that is not in this process."""

    def answers(self, requests: Iterable[Any]) -> Generator[tuple[int, Any], None, None]:
        raise AssertionError
        yield


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    folder = tmp_path_factory.mktemp("scenes") / "pictures"
    return make_task("scenes:shifted", TaskOptions(count=8, question_count=12, max_new_tokens=40), folder)


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return options.load("embedded", "cpu", None, None)


def plan_of(task: Task, methods: Mapping[str, Method] | None = None) -> Plan:
    racing = methods or {label: one.method for label, one in MEASURED.items()}
    return Plan(model="embedded", task=task, methods={"plain": Plain(), **racing}, batch_size=3)


def test_adaiat_is_measured_as_calibrate_measures_it_on_all_captions_of_the_racing_half(
    task: Task, loaded: LoadedModel, tmp_path: Path
) -> None:
    free = replace(task, items=tuple(item for item in task.items if item.part == "free"))
    told = Told()
    found, out = measured(plan_of(free, {"adaiat": AdaIAT()}), LocalEngine(load=lambda: loaded), 5, tmp_path, told)
    first = [item for about in halves(by_picture(free), 5)[0] for item in about]
    [prompt] = {item.prompt for item in first}
    pictures = [(open_image(item.path), item.truth["objects"]) for item in first if item.path is not None]
    expected = object_rows.measure(loaded, pictures, task.vocabulary.mentions, prompt, max_new_tokens=40)
    kept = TextAttention.read(tmp_path / "adaiat.json")
    assert (kept.pictures, kept.true_count, kept.false_count) == (4, expected.true_count, expected.false_count)
    for name in ("true_rows", "false_rows"):
        for layer, other in zip(getattr(kept, name), getattr(expected, name), strict=True):
            assert layer == pytest.approx(other, rel=1e-3, abs=1e-6)
    assert out == {}
    assert found.methods["adaiat"] == AdaIAT.load(tmp_path / "adaiat.json") == AdaIAT(
        true_rows=kept.true_rows, false_rows=kept.false_rows
    )  # fmt: skip
    assert told.lines == ["measuring adaiat: 0 of 4 captions", "measuring adaiat: 3 of 4 captions"]


def test_what_the_folder_has_is_not_measured_again_and_is_a_method_for_every_face(
    task: Task, loaded: LoadedModel, tmp_path: Path
) -> None:
    before, out = measured(plan_of(task), LocalEngine(load=lambda: loaded), 0, tmp_path, Told())
    assert out == {}
    again, _ = measured(plan_of(task), LocalEngine(load=never), 0, tmp_path, Told())
    assert again == before
    assert measured(plan_of(task), Elsewhere(), 0, tmp_path, Told()) == (before, {})
    assert list(again.methods) == ["plain", GATE, "adaiat"]
    for label, kind in ((GATE, ConstantGate), ("adaiat", AdaIAT)):
        write_method(tmp_path / "method.yaml", again.methods[label])
        assert load_method(tmp_path / "method.yaml") == again.methods[label]
        assert isinstance(again.methods[label], kind)
    stronger = parse_method(f"adaiat(load={tmp_path / 'adaiat.json'}, alpha=20)")
    assert stronger == replace(again.methods["adaiat"], alpha=20)  # type: ignore[call-arg]


@pytest.mark.parametrize("label", sorted(MEASURED))
@pytest.mark.parametrize("content", ["", "{", "[]", "method: beam", '{"method": "constant", "value": "much"}'])
def test_a_damaged_file_is_named_with_the_remedy(task: Task, tmp_path: Path, label: str, content: str) -> None:
    file = tmp_path / MEASURED[label].file
    file.write_text(content)
    with pytest.raises(InputError) as error:
        measured(plan_of(task, {label: MEASURED[label].method}), LocalEngine(load=never), 0, tmp_path, Told())
    assert str(file) in str(error.value).split("; or")[0]
    assert f"delete {file} to have it measured again" in str(error.value)


def test_a_plan_measures_nothing_and_counts_what_would_race(task: Task) -> None:
    plan = plan_of(task)
    assert measured(plan, LocalEngine(load=never), 0, None, Told()) == (plan, {})


def unknown(task: Task) -> Task:
    return replace(task, items=tuple(replace(item, truth={}) for item in task.items if item.kind == "caption"))


@pytest.mark.parametrize("planned", [True, False])
def test_where_nothing_is_annotated_adaiat_is_out_with_what_can_be_done(
    task: Task, planned: bool, tmp_path: Path
) -> None:
    plan = plan_of(unknown(task), {"adaiat": AdaIAT()})
    found, out = measured(plan, LocalEngine(load=never), 0, None if planned else tmp_path, Told())
    assert list(found.methods) == ["plain"]
    assert "where it is annotated what is in the pictures" in out["adaiat"]
    assert "farsight calibrate --for adaiat" in out["adaiat"]
    assert '--methods "adaiat(load=rows.json)"' in out["adaiat"]


def test_with_another_engine_they_are_out(task: Task, tmp_path: Path) -> None:
    found, out = measured(plan_of(task), Elsewhere(), 0, tmp_path, Told())
    assert list(found.methods) == ["plain"]
    assert set(out) == set(MEASURED)
    assert all("only --engine local does" in reason for reason in out.values())
    assert "farsight calibrate --for adaiat" in out["adaiat"]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("objects", "lacking"), [([], "true"), (None, "false")])
def test_captions_that_name_one_kind_of_object_leave_it_out(
    task: Task, loaded: LoadedModel, tmp_path: Path, objects: list[str] | None, lacking: str
) -> None:
    everything = sorted(set(task.vocabulary.objects)) if objects is None else objects

    def told(item: Item) -> Item:
        return replace(item, truth=dict(item.truth) | {"objects": everything}) if item.kind == "caption" else item

    plan = plan_of(replace(task, items=tuple(map(told, task.items))), {"adaiat": AdaIAT()})
    _, out = measured(plan, LocalEngine(load=lambda: loaded), 0, tmp_path, Told())
    assert f"name no {lacking} object" in out["adaiat"]
    assert "farsight calibrate --for adaiat" in out["adaiat"]
    assert not list(tmp_path.iterdir())


def test_a_method_by_the_same_name_that_was_measured_elsewhere_stays_as_it_is(task: Task, tmp_path: Path) -> None:
    given = contenders("adaiat(true_rows=2.0, false_rows=1.0)") | {"adaiat": AdaIAT(true_rows=3.0, false_rows=1.0)}
    plan = plan_of(task, given)
    assert measured(plan, LocalEngine(load=never), 0, tmp_path, Told()) == (plan, {})


def test_both_are_among_the_usual_candidates_and_adaiat_can_be_chosen() -> None:
    assert set(MEASURED) <= set(contenders(None))
    assert contenders("adaiat") == {"adaiat": MEASURED["adaiat"].method}
