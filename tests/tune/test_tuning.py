"""All of it in order, with an engine that says what it is told to: asked, judged, asked again."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from farsight.errors import InputError, SettingError
from farsight.evaluate.engine import Answer, Failure, Request
from farsight.evaluate.plan import Plan
from farsight.evaluate.run_folder import RunFolder, claimed
from farsight.evaluate.tasks import Item, Task
from farsight.judging.annotated import Annotated
from farsight.judging.judged import Judged
from farsight.judging.judgements import Judgement
from farsight.judging.judgements import Verdict as Word
from farsight.judging.truth import Truth
from farsight.methods.grammar import parse_methods
from farsight.metrics.vocabulary import coco
from farsight.tune.agreement import Agreement
from farsight.tune.asked import by_picture
from farsight.tune.cost import Cost
from farsight.tune.forecast import Stage
from farsight.tune.guards import GUARDS
from farsight.tune.race import Rung, halves
from farsight.tune.tuning import COSTS, Tuning
from farsight.tune.verdict import VERDICT, Verdict

PICTURES = 40
SAID = {
    "plain": "A dog and a cat.",
    "deco": "A dog and a boat.",
    "beam": "A dog.",
    "dola": "A dog, a cat and a car.",
}  # fmt: skip
ITEMS = tuple(
    Item(item_id=f"p/{n}", part="p", kind="caption", image_id=f"{n}", path=None, prompt=f"{n}?", max_new_tokens=9)
    for n in range(PICTURES)
)


@dataclass
class Engine:
    """Says the same of every picture."""

    asked: list[Request] = field(default_factory=list)

    def answers(self, requests: Iterable[Request]) -> Generator[tuple[int, Any], None, None]:
        for request in requests:
            self.asked.append(request)
            text = SAID[request.method.name]
            yield request.number, [Answer(text=text, tokens=5, ended=True, absorbed=None) for _ in request.prompts]


class Silent:
    def stage(self, stage: Stage) -> None: ...
    def told(self, doing: str, elapsed: float, left: float | None) -> None: ...
    def rung(self, rung: Rung) -> None: ...


def judged(pictures: Iterable[str]) -> Annotated:
    """What somebody has judged: of these pictures all, of the others nothing."""
    return Annotated(objects={name: frozenset({"dog"}) for name in pictures}, vocabulary=coco())


def tuning(folder: RunFolder, truth: Truth, engine: Engine, **changed: Any) -> Tuning:
    plan = Plan(
        model="m",
        task=Task(name="pictures", items=ITEMS, vocabulary=coco(), sources={}),
        methods=parse_methods("plain,deco,beam,dola"),
        batch_size=7,
        engine=None if not changed.get("loads_each") else {"name": "vllm"},
    )
    folder.begin(plan.held_to())
    settings = {"judged": True, "timed": False} | changed
    made = Tuning(
        plan=plan, folder=folder, engine=engine, truth=truth, guards=GUARDS[:1], progress=Silent(), **settings
    )
    made.measure_costs()
    return made


def test_it_goes_on_with_what_was_judged_and_asks_nothing_twice(tmp_path: Path) -> None:
    engine = Engine()
    first, second = ([about[0].image_id for about in half] for half in halves(by_picture_of_items(), 0))
    with claimed(tmp_path / "tuned") as folder:
        found = tuning(folder, judged([]), engine).found()
        assert isinstance(found, Agreement)
        assert (found.winner, found.pictures, set(found.same)) == (None, 20, {"deco", "beam", "dola"})
        assert len(folder.rows) == 4 * 20

    with claimed(tmp_path / "tuned") as folder:
        found = tuning(folder, judged(first), engine).found()
        assert isinstance(found, Agreement)
        assert (found.winner, found.pictures, found.unknown) == ("beam", 20, 2 * 20)
        assert len(folder.rows) == 4 * 20 + 2 * 20

    with claimed(tmp_path / "tuned") as folder:
        before = len(engine.asked)
        found = tuning(folder, judged(first + second), engine).found()
        assert isinstance(found, Verdict)
        assert found.outcome.turn_on
        assert found.sentence.startswith("Turn on beam: CHAIR_I 50.0 -> 0.0 % (-50.0 [-50.0, -50.0])")
        assert "It says less (words -60.0 % [-60.0, -60.0])" in found.sentence
        assert len(engine.asked) == before


def said(pictures: Iterable[str], verdicts: Mapping[str, Word]) -> Judged:
    """The same judgements of each picture."""
    rows = [Judgement(picture, name, verdict, "ann") for picture in pictures for name, verdict in verdicts.items()]
    return Judged(judgements=rows, names=coco())


def test_a_method_whose_inventions_nobody_judged_does_not_race(tmp_path: Path) -> None:
    """Not even where most of what it names is judged, as plain decoding names it, too."""
    pictures = [item.image_id for item in ITEMS]
    there: dict[str, Word] = {"dog": "there", "cat": "not there", "boat": "not there"}
    with claimed(tmp_path / "tuned") as folder:
        found = tuning(folder, said(pictures, there), Engine()).found()
        assert isinstance(found, Agreement)
        assert found.unknown == 20  # the car of dola, which adds it to what plain decoding names
    with claimed(tmp_path / "tuned") as folder:
        verdict = tuning(folder, said(pictures, there | {"car": "unsure"}), Engine()).found()
        assert isinstance(verdict, Verdict)
        assert verdict.outcome.race.winner == "beam"


def test_how_much_was_judged_stands_in_the_verdict(tmp_path: Path) -> None:
    first, second = ([about[0].image_id for about in half] for half in halves(by_picture_of_items(), 0))
    whole: dict[str, Word] = {"dog": "there", "cat": "not there", "boat": "not there", "car": "not there"}
    rows = [*said(first, whole).judgements, *said(second, {"dog": "there"}).judgements]
    rows += said(second[:6], {"cat": "not there"}).judgements
    with claimed(tmp_path / "tuned") as folder:
        found = tuning(folder, Judged(judgements=rows, names=coco()), Engine()).found()
        assert isinstance(found, Verdict)
        assert (
            "Known by judging, of the objects: 26 of 40 that greedy names, 20 of 20 that beam names." in found.sentence
        )
        judged = {"greedy": {"named": 40, "known": 26}, "beam": {"named": 20, "known": 20}}
        assert found.record()["judged"] == judged


def test_where_too_much_is_unsure_it_is_said_rather_than_asked_again(tmp_path: Path) -> None:
    pictures = [item.image_id for item in ITEMS]
    verdicts: dict[str, Word] = {"dog": "there", "cat": "unsure", "boat": "unsure", "car": "unsure"}
    with claimed(tmp_path / "tuned") as folder:
        found = tuning(folder, said(pictures, verdicts), Engine()).found()
        assert isinstance(found, Agreement)
        assert (found.unknown, found.record()["unsure"]) == (0, 3 * 20)
        assert "all that is named there is judged, and less than half of what dola names is known" in found.sentence
        assert "to be judged first" not in found.sentence


def test_where_nothing_is_named_there_is_nothing_to_judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for label in SAID:
        monkeypatch.setitem(SAID, label, f"Nothing, says {label}.")
    with claimed(tmp_path / "tuned") as folder:
        found = tuning(folder, said([], {}), Engine()).found()
        assert isinstance(found, Verdict)
        assert "nothing is known of what" in found.sentence


def by_picture_of_items() -> list[tuple[Item, ...]]:
    return by_picture(Task(name="pictures", items=ITEMS, vocabulary=coco(), sources={}))


def test_where_the_truth_is_known_the_race_has_rungs(tmp_path: Path) -> None:
    with claimed(tmp_path / "tuned") as folder:
        found = tuning(folder, judged(item.image_id for item in ITEMS), Engine(), judged=False).found()
        assert isinstance(found, Verdict)
        assert [rung.pictures for rung in found.outcome.race.rungs] == [10, 20]
        assert len(folder.rows) == 4 * 10 + 2 * 10 + 2 * 20  # one is as plain, one clearly worse


def test_an_engine_that_loads_the_model_for_each_method_is_asked_all_at_once(tmp_path: Path) -> None:
    engine, truth = Engine(), judged(item.image_id for item in ITEMS)
    with claimed(tmp_path / "tuned") as folder:
        found = tuning(folder, truth, engine, judged=False, knows_methods=True, loads_each=True)
        assert [stage.pictures for stage in found.forecast().stages] == [20, 20]
        verdict = found.found()
        assert isinstance(verdict, Verdict)
        assert [rung.pictures for rung in verdict.outcome.race.rungs] == [20]
    loaded = [name for name, _ in groupby(request.method.name for request in engine.asked)]
    assert loaded == ["plain", "deco", "beam", "dola", "plain", "beam"]


def test_what_the_engine_refused_is_told_with_the_costs(tmp_path: Path) -> None:
    with claimed(tmp_path / "tuned") as folder:
        known = judged(item.image_id for item in ITEMS)
        found = tuning(folder, known, Engine(), judged=False, refused={"opera": "no beams here"}).found()
        assert isinstance(found, Verdict)
        assert found.costs["opera"].refused == "no beams here"


def test_where_every_method_is_refused_nobody_is_asked_to_judge_plain_decoding(tmp_path: Path) -> None:
    class Alone(Engine):
        def answers(self, requests: Iterable[Request]) -> Generator[tuple[int, Any], None, None]:
            for request in requests:
                if request.method.name != "plain":
                    raise SettingError("no")
                yield from super().answers([request])

    with claimed(tmp_path / "tuned") as folder:
        found = tuning(folder, judged([]), Alone()).found()
        assert isinstance(found, Verdict)
        assert "the model takes none of the methods" in found.sentence
        assert found.left_out == dict.fromkeys(["deco", "beam", "dola"], "no")


@dataclass
class Failing(Engine):
    """Cannot be asked some things; ``failing`` says of a method and a picture whether."""

    failing: Callable[[str, int], bool] = field(kw_only=True)

    def answers(self, requests: Iterable[Request]) -> Generator[tuple[int, Any], None, None]:
        for request in requests:
            for number, said in super().answers([request]):
                numbers = [int(prompt.rstrip("?")) for prompt in request.prompts]
                bad = Failure(reason="it is damaged")
                yield (
                    number,
                    [
                        bad if self.failing(request.method.name, n) else one
                        for n, one in zip(numbers, said, strict=True)
                    ],
                )


EVERYTHING = judged(item.image_id for item in ITEMS)


def test_a_method_that_fails_is_out_of_the_race_with_the_reason_and_takes_nobody_with_it(tmp_path: Path) -> None:
    engine = Failing(failing=lambda name, number: name == "deco")
    with claimed(tmp_path / "tuned") as folder:
        found = tuning(folder, EVERYTHING, engine, judged=False).found()
    assert isinstance(found, Verdict)
    assert found.sentence.startswith("Turn on beam: CHAIR_I 50.0 -> 0.0 %")
    left = {one.label: one.left for one in found.outcome.race.rungs[0].standings}
    assert left["deco"] == "failed 10 of 10 times where plain decoding did not: it is damaged"
    assert found.outcome.race.rungs[-1].pictures == 20


def test_a_winner_that_fails_on_the_other_half_is_not_turned_on(tmp_path: Path) -> None:
    second = {int(about[0].image_id) for about in halves(by_picture_of_items(), 0)[1]}
    engine = Failing(failing=lambda name, number: name == "beam" and number in second)
    with claimed(tmp_path / "tuned") as folder:
        found = tuning(folder, EVERYTHING, engine, judged=False).found()
    assert isinstance(found, Verdict)
    assert not found.outcome.turn_on
    failed = "failed 20 of 20 times where plain decoding did not: it is damaged"
    assert found.sentence.endswith(f"beam won the race, and on the other pictures it {failed}.")


def test_where_every_method_fails_it_is_said(tmp_path: Path) -> None:
    engine = Failing(failing=lambda name, number: name != "plain")
    for by_people in (False, True):
        with claimed(tmp_path / f"{by_people}") as folder:
            found = tuning(folder, EVERYTHING if not by_people else judged([]), engine, judged=by_people).found()
        assert isinstance(found, Verdict)
        assert "no method could be compared; deco failed " in found.sentence


def test_pictures_that_cannot_be_read_are_in_no_figure(tmp_path: Path) -> None:
    engine = Failing(failing=lambda name, number: number % 4 == 0)
    with claimed(tmp_path / "tuned") as folder:
        made = tuning(folder, EVERYTHING, engine, judged=False)
        found = made.found()
    assert isinstance(found, Verdict)
    assert found.outcome.turn_on
    read = [sum(int(about[0].image_id) % 4 > 0 for about in half) for half in made.halves]
    assert [found.outcome.race.rungs[-1].pictures, found.outcome.final["chair_i"].items] == read
    assert sum(read) == 30
    assert (len(made.failed), set(made.failed.values())) == (10, {"it is damaged"})
    assert made.answers["captions"] == sum(row["failed"] is None for row in folder.rows.values())


def test_who_fails_and_what_cannot_be_read_is_in_no_agreement(tmp_path: Path) -> None:
    engine = Failing(failing=lambda name, number: name == "deco" or number % 4 == 0)
    with claimed(tmp_path / "tuned") as folder:
        made = tuning(folder, judged([]), engine)
        found = made.found()
    assert isinstance(found, Agreement)
    assert found.pictures == sum(int(about[0].image_id) % 4 > 0 for about in made.halves[0])
    assert found.same == {"beam": 0, "dola": 0}  # not the same because both said nothing
    assert found.added == {"beam": 0, "dola": 1}
    assert found.left_out["deco"].startswith("failed ")
    assert found.record()["left_out"] == found.left_out


def test_too_few_pictures_that_can_be_read_are_refused(tmp_path: Path) -> None:
    for by_people in (False, True):
        engine = Failing(failing=lambda name, number: number > 3)
        refusal = pytest.raises(InputError, match=r"of 20 pictures of one half could be asked about.*it is damaged")
        with claimed(tmp_path / f"{by_people}") as folder, refusal:
            tuning(folder, EVERYTHING, engine, judged=by_people).found()


def test_who_is_over_the_budget_is_named_where_people_judge(tmp_path: Path) -> None:
    with claimed(tmp_path / "tuned") as folder:
        made = tuning(folder, judged([]), Engine(), budget=1.1)
        made.costs["deco"] = Cost(ratios=(1.104,) * 5)
        costs = {label: cost.record() for label, cost in made.costs.items()}
        (folder.path / COSTS).write_text(json.dumps(costs))
        found = made.found()
        assert isinstance(found, Agreement)
        assert set(found.same) == {"beam", "dola"}
        assert found.left_out == {"deco": "takes x1.104 the time, and the budget is x1.1"}

        (folder.path / COSTS).write_text(json.dumps(dict.fromkeys(costs, costs["deco"])))
        nobody = made.found()
        assert isinstance(nobody, Verdict)
        assert "no method is within the budget" in nobody.sentence


def test_another_budget_times_on_only_who_is_not_told_apart_from_it(tmp_path: Path) -> None:
    costs = {"deco": (1.05, 1.2, 1.08, 1.12, 1.11), "beam": (2.0,) * 5, "dola": (1.0,) * 5}
    with claimed(tmp_path / "tuned") as folder:
        engine = Engine()
        tuning(folder, EVERYTHING, engine, judged=False)
        (folder.path / COSTS).write_text(
            json.dumps({label: Cost(ratios=ratios).record() for label, ratios in costs.items()})
        )
    with claimed(tmp_path / "tuned") as folder:
        engine.asked.clear()
        tuning(folder, EVERYTHING, engine, judged=False, timed=True, budget=1.1)
        kept = json.loads((folder.path / COSTS).read_text())
    assert {request.method.name for request in engine.asked} == {"plain", "deco"}
    assert {label: len(cost["ratios"]) > 5 for label, cost in kept.items()} == {
        "deco": True,
        "beam": False,
        "dola": False,
    }


def test_the_guards_of_the_verdict_that_is_there_are_looks_too(tmp_path: Path) -> None:
    with claimed(tmp_path / "tuned") as folder:
        first = tuning(folder, EVERYTHING, Engine(), judged=False).found()
        assert isinstance(first, Verdict)
        (folder.path / VERDICT).write_text(json.dumps(first.record()))
    with claimed(tmp_path / "tuned") as folder:
        other = replace(tuning(folder, EVERYTHING, Engine(), judged=False), guards=()).found()
        assert isinstance(other, Verdict)
        assert "It was looked at under other guards before (recall=1)" in other.sentence
        (folder.path / VERDICT).write_text("[]")
    damaged = pytest.raises(InputError, match=r"verdict.json.*delete it, and it is written again")
    with claimed(tmp_path / "tuned") as folder, damaged:
        tuning(folder, EVERYTHING, Engine(), judged=False).found()


def test_damaged_costs_are_named_with_what_to_do(tmp_path: Path) -> None:
    with claimed(tmp_path / "tuned") as folder:
        made = tuning(folder, judged([]), Engine())
        (folder.path / COSTS).write_text('{"deco": {"ratios": "fast", "refused": null}}')
        with pytest.raises(InputError, match=r"costs.json.*delete it to have the methods timed again"):
            Tuning(
                plan=made.plan, folder=folder, engine=Engine(), truth=judged([]), guards=(), progress=Silent()
            ).measure_costs()
