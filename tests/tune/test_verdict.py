"""What came out, in a sentence, in a file and on a page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from racing import Asked, tuned

from farsight.evaluate.plan import Plan
from farsight.evaluate.tasks import Item, Task
from farsight.judging.annotated import Annotated
from farsight.method import Plain
from farsight.metrics.paired import Difference
from farsight.metrics.vocabulary import coco
from farsight.tune.cost import Cost
from farsight.tune.draw import draw_race
from farsight.tune.guards import GUARDS
from farsight.tune.next_steps import Steps, after_agreement, after_verdict
from farsight.tune.page import verdict_page
from farsight.tune.verdict import Verdict

COSTS = {"better": Cost(ratios=(1.0, 1.02, 1.1)), "same": Cost(ratios=(1.5,) * 5), "gone": Cost(refused="no layers")}


def verdict(better: float = 0.1, pictures: int = 80, **changed: object) -> Verdict:
    outcome = tuned(Asked({"plain": 0.3, "better": better, "same": 0.3}), pictures)
    found = Verdict(outcome=outcome, costs=COSTS, guards=GUARDS, budget=2.0)
    return replace(found, outcome=replace(outcome, **changed)) if changed else found  # type: ignore[arg-type]


def test_a_winner_is_to_be_turned_on_with_its_figures_and_intervals() -> None:
    found = verdict()
    chair = found.outcome.final["chair_i"]
    assert found.sentence.startswith(
        f"Turn on better: CHAIR_I {100 * chair.baseline:.1f} -> {100 * chair.other:.1f} % "
        f"({100 * chair.value:+.1f} [{100 * chair.low:+.1f}, {100 * chair.high:+.1f}]), recall +0.0 [+0.0, +0.0]"
    )
    assert found.sentence.endswith(", time x1.02.")
    assert found.chosen == "better"


def test_a_winner_that_may_be_luck_is_not_turned_on() -> None:
    found = verdict(better=0.26, pictures=60)
    assert found.outcome.race.winner is not None
    assert found.sentence.startswith("Nothing here beats plain decoding on your pictures; the nearest was ")
    assert "and its difference may be chance: CHAIR_I" in found.sentence
    assert found.chosen == "plain"


def test_a_winner_of_whom_nothing_is_known_on_the_other_half_is_not_turned_on() -> None:
    found = verdict(final={})
    why = "better won the race, and on the other pictures nothing is known of what it or plain decoding names."
    assert found.sentence.endswith(why)
    assert found.chosen == "plain"
    assert len(draw_race(found.outcome).axes) == 1


def test_a_guard_that_does_not_hold_is_named() -> None:
    found = verdict(broken=(GUARDS[0],))
    assert found.sentence.startswith(
        "Nothing here beats plain decoding on your pictures within the guards; the nearest"
    )
    assert "but recall: more than 1 point lower." in found.sentence


def test_a_winner_that_says_less_is_said_to() -> None:
    usual = verdict()
    less = Difference(name="words", baseline=50, other=47, low=-4, high=-2, p=0.01, items=40)
    found = replace(usual, outcome=replace(usual.outcome, final={**usual.outcome.final, "words": less}))
    assert "It says less (words -6.0 % [-8.0, -4.0]), which may be part of the fall." in found.sentence


@pytest.mark.parametrize(
    ("costs", "because"),
    [
        ({"a": Cost(refused="no")}, "the model takes none of the methods"),
        ({"a": Cost(refused="no"), "b": Cost(ratios=(9,) * 5)}, "no method is within the budget"),
    ],
)
def test_without_a_race_it_is_said_why(costs: dict[str, Cost], because: str) -> None:
    outcome = tuned(Asked({"plain": 0.3}), 20)
    found = Verdict(outcome=outcome, costs=costs, guards=GUARDS, budget=2.0)
    assert found.sentence == f"Nothing here beats plain decoding on your pictures: {because}."


def test_where_nobody_is_better_in_the_race_the_nearest_is_named_with_why_it_left() -> None:
    found = Verdict(outcome=tuned(Asked({"plain": 0.1, "bad": 0.6}), 60), costs=COSTS, guards=GUARDS, budget=None)
    assert "the nearest was bad with CHAIR_I +" in found.sentence
    assert found.sentence.endswith("pictures of the race, and it is out: clearly worse than plain decoding.")


def test_the_record_is_json_and_has_every_rung() -> None:
    found = json.loads(json.dumps(verdict().record(), allow_nan=False))
    assert found["turn_on"] is True
    assert found["guards"][0] == {"name": "recall", "asked": "at most 1 point lower", "held": True}
    assert [rung["pictures"] for rung in found["race"]] == [40]
    assert found["race"][0]["methods"]["better"]["left"] is None


def test_the_race_is_drawn_with_a_row_for_each_method_and_a_column_for_each_rung() -> None:
    outcome = tuned(Asked({"plain": 0.3} | {f"m{number}": 0.1 + number / 50 for number in range(9)}), 100)
    drawn = draw_race(outcome)
    titles = [axes.get_title(loc="left") for axes in drawn.axes]
    assert titles == ["12 pictures", "25 pictures", "50 pictures", "50 others"]
    assert [label.get_text() for label in drawn.axes[0].get_yticklabels()] == list(outcome.race.last)
    assert next(iter(outcome.race.last)) == outcome.race.winner
    assert len(outcome.race.last) == 9
    assert len({axes.get_xlim() for axes in drawn.axes}) == 1
    [legend] = drawn.legends
    assert [text.get_text() for text in legend.get_texts()] == ["goes on", "leaves", "on the others: turned on"]


def test_the_page_has_the_verdict_the_race_the_costs_and_the_pictures_that_changed(tmp_path: Path) -> None:
    found = verdict()
    Image.new("RGB", (30, 20), "red").save(tmp_path / "a.png")
    items = [
        Item(
            item_id=f"p/{name}", part="p", kind="caption", image_id=name, path=tmp_path / name, prompt="?",
            max_new_tokens=9,
        )
        for name in ("a.png", "b.png", "c.png")
    ]  # fmt: skip
    said = {
        ("plain", "p/a.png"): "A dog and a cat.",
        ("better", "p/a.png"): "A dog.",
        ("plain", "p/b.png"): "A <b>dog</b>.",
        ("better", "p/b.png"): "A <b>dog</b>.",
        ("plain", "p/c.png"): "A dog.",
    }
    rows = {key: {"text": text} for key, text in said.items()}
    truth = Annotated(objects={"a.png": frozenset({"dog"})}, vocabulary=coco())
    steps = after_verdict(tmp_path, asking(items), {}, turn_on=True, forms={"vllm": {}, "register_tokens": 10})
    shown = verdict_page("Which?", found, steps, items, rows, truth, "made today")
    assert found.sentence.replace("->", "→") in shown  # which a narrow page does not break
    assert "--model &#39;my model&#39;" in shown
    assert "--registers 10" in shown
    assert 'class="false" title="false">cat<' in shown
    assert "p, a.png" in shown
    assert "p, b.png" not in shown  # nothing changed
    assert '<td class="prose" data-heading="because">no layers</td>' in shown
    assert "<h2>The winner</h2>" in shown
    assert ">won the race</td>" in shown
    luck = replace(found, outcome=replace(found.outcome, broken=(GUARDS[0],)))
    assert "<h2>Who came furthest</h2>" in verdict_page("Which?", luck, steps, items, rows, truth, "made today")
    assert "&lt;b&gt;" not in shown


def asking(items: Sequence[Item], name: str = "chair", **sources: str) -> Plan:
    task = Task(name=name, items=tuple(items), vocabulary=coco(), sources=sources)
    return Plan(model="my model", task=task, methods={"plain": Plain()})


def item(path: Path | None) -> Item:
    return Item(item_id="p/1", part="p", kind="caption", image_id="1", path=path, prompt="?", max_new_tokens=9)


def commands(steps: Steps) -> str:
    return "\n".join(command for _, command in steps)


def test_there_is_something_to_do_next_where_nothing_helps(tmp_path: Path) -> None:
    given = {"images": "my photos", "objects": [Path("o.jsonl")], "out": tmp_path}
    plan = asking([item(None)], objects="x")
    steps = after_verdict(tmp_path, plan, given, turn_on=False, forms={})
    assert dict(steps)["look again with more pictures, which tell smaller effects"] == (
        f"farsight tune --images DIR --objects FILE --out {tmp_path}-more"
    )
    assert "method.yaml" not in commands(steps)
    assert "--budget" not in commands(steps)
    within = after_verdict(tmp_path, plan, given | {"budget": 1.1}, turn_on=False, forms={})
    assert dict(within)["let slower methods race, too"] == (
        f"farsight tune --images 'my photos' --objects o.jsonl --out {tmp_path}"
    )
    more = after_verdict(tmp_path, asking([item(None)], "scenes:test", count="50"), {}, turn_on=False, forms={})
    assert f"--count 100 --out {tmp_path}-more" in commands(more)


def test_the_next_steps_ask_the_same_of_other_pictures(tmp_path: Path) -> None:
    given = {"model": "my model", "images": Path("a"), "prompt": ["What?", "Who?"], "synonyms": "scenes", "count": 9}
    alone = asking([item(tmp_path / "a b.png")], "pictures", count="9")
    own = after_verdict(tmp_path, alone, given | {"budget": 1.1, "methods": ["beam"]}, turn_on=True, forms={})
    assert f"farsight describe '{tmp_path}/a b.png' --model 'my model' --method @{tmp_path}/method.yaml" in commands(
        own
    )
    assert dict(own)["measure it on other pictures"] == (
        "farsight eval --model 'my model' --images DIR --prompt 'What?' --synonyms scenes "
        f"--methods greedy,@{tmp_path}/method.yaml --objects FILE --out {tmp_path}-eval"
    )
    lists = asking([item(None)], "lists", objects="x")
    everything = after_verdict(tmp_path, lists, {"task": "lists", "objects": ["o"]}, turn_on=True, forms={})
    assert "farsight describe --prompt PROMPT --model" in commands(everything)
    assert "farsight web" not in commands(everything)
    assert f"--task lists --objects FILE --methods greedy,@{tmp_path}/method.yaml --out" in commands(everything)
    drawn = asking([item(tmp_path)], "scenes:test", count="24")
    others = after_verdict(tmp_path, drawn, {"task": "scenes:test", "out": "x"}, turn_on=True, forms={})
    assert f"--out {tmp_path}-eval --methods greedy,@{tmp_path}/method.yaml --skip 24 --count 24" in commands(others)


def test_what_a_vocabulary_named_is_judged_with_the_same(tmp_path: Path) -> None:
    given = {"images": "a", "synonyms": "my words.txt", "json": False}
    assert [command for _, command in after_agreement(tmp_path, given)] == [
        f"farsight judge {tmp_path} --synonyms 'my words.txt'",
        "farsight tune --images a --synonyms 'my words.txt'",
    ]
    assert f"farsight judge {tmp_path}\n" in commands(after_agreement(tmp_path, {}))


def test_who_has_judged_all_is_told_what_tells_more_than_judging(tmp_path: Path) -> None:
    out, given = tmp_path / "t", {"images": "a", "methods": ["beam,flb"]}
    (_, other), (_, fewer), _ = after_agreement(out, given, all_judged=True)
    assert other == f"farsight tune --images DIR --methods beam,flb --out {out}-more"
    assert fewer == (
        f"mkdir {out}-fewer && cp {out}/judgements.jsonl {out}-fewer && "
        f"farsight tune --images a --methods METHODS --out {out}-fewer"
    )


def test_a_second_look_at_the_second_half_is_said() -> None:
    once, winner = verdict(), "better"
    assert replace(once, looks=[winner]).sentence == once.sentence
    twice = replace(once, looks=["same", winner])
    assert twice.sentence.startswith(once.sentence)
    assert "The second half was looked at 2 times (before for same), and one look alone" in twice.sentence
    assert twice.record()["looks"] == ["same", winner]


def test_where_nobody_raced_more_pictures_are_no_remedy(tmp_path: Path) -> None:
    given = {"images": "my photos", "budget": 0.3, "out": tmp_path}
    steps = after_verdict(tmp_path, asking([item(None)]), given, turn_on=False, forms={}, raced=False)
    assert [what for what, _ in steps] == ["let slower methods race, too", "see whether there is anything to absorb"]


def test_a_look_under_other_guards_is_said() -> None:
    once = verdict()
    asked = "recall=1, words=10, repetition=1, answers=1"
    assert once.record()["looked_with"] == [asked]
    assert replace(once, guards_before=[asked]).sentence == once.sentence
    again = replace(once, guards_before=[asked], guards=GUARDS[1:])
    assert (
        again.sentence
        == f"{once.sentence} It was looked at under other guards before ({asked}): be sure on other pictures."
    )
    assert again.record()["looked_with"] == [asked, "words=10, repetition=1, answers=1"]
    assert replace(again, outcome=replace(once.outcome, final={})).record()["looked_with"] == [asked]
