"""What a judge has before them, and what becomes of what they say."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from farsight.errors import InputError
from farsight.judging.answers import read_answers
from farsight.judging.desk import Desk
from farsight.judging.judged import Judged
from farsight.judging.judgements import Judgement, Judgements
from farsight.judging.kappa import Kappa, kappas
from farsight.judging.merges import Merges
from farsight.metrics.vocabulary import Vocabulary

WORDS = Vocabulary(name="words", objects={name: [] for name in ("dog", "cat", "sofa", "couch", "tree")})


def written(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def said(image: str, text: str, method: str | None = None, **more: Any) -> dict[str, Any]:
    return {"image": image, "text": text} | ({} if method is None else {"method": method}) | more


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("1.png", "2.png", "3.png"):
        Image.new("RGB", (8, 6)).save(tmp_path / name)
    return tmp_path


def desk_of(folder: Path, *rows: dict[str, Any], judge: str = "ann", others: tuple[str, ...] = ()) -> Desk:
    return Desk(
        answers=read_answers([written(folder / "said.jsonl", *rows)]),
        names=WORDS,
        judgements=Judgements(folder / "judgements.jsonl"),
        merges=Merges(folder / "synonyms.txt"),
        judge=judge,
        others=[Judgements(folder / other) for other in others],
    )


TWO_METHODS = (
    said("1.png", "A dog.", "plain"), said("1.png", "A dog.", "flb"),
    said("2.png", "A dog and a cat.", "plain"), said("2.png", "A dog.", "flb"),
    said("3.png", "A couch, a cat.", "plain"), said("3.png", "A sofa, a tree.", "flb"),
)  # fmt: skip


def test_pictures_come_by_lot_always_the_same(folder: Path) -> None:
    rows = [said("1.png", f"A dog in {number}.", image_id=str(number)) for number in range(40)]
    orders = [[one.image_id for one in desk_of(folder, *some).pictures] for some in (rows, rows[::-1])]
    assert orders[0] == orders[1] != sorted(orders[0])


def test_who_stops_half_way_sees_the_figures_of_all_on_average(folder: Path) -> None:
    """FLB leaves out the false cat of every fourth picture: a judge of any first fifty finds about that difference."""
    found = []
    for study in range(20):
        rows = []
        for number in range(100):
            name, plain = f"{study}-{number}", "A dog and a cat." if number % 4 == 0 else "A dog."
            rows += [said("1.png", plain, "plain", image_id=name), said("1.png", "A dog.", "flb", image_id=name)]
        desk = desk_of(folder, *rows)
        judged = [
            Judgement(picture.image_id, name, "not there" if name == "cat" else "there", "ann")
            for picture in desk.pictures[:50]
            for name in desk.objects(picture)
        ]
        half = replace(desk, judgements=Judgements(folder / f"{study}.jsonl"))
        half.judgements.append(judged)
        found.append(half.figures()[1].difference.value)  # type: ignore[union-attr]
    assert np.mean(found) == pytest.approx(-0.2, abs=0.02)


def test_what_is_judged_makes_figures_of_each_method(folder: Path) -> None:
    desk = desk_of(folder, *TWO_METHODS)
    first, second, third = sorted(desk.pictures, key=lambda one: one.image_id)
    for picture, name, verdict in (
        (third, "cat", "not there"), (third, "couch", "there"), (third, "sofa", "there"), (third, "tree", "unsure"),
        (second, "dog", "there"), (second, "cat", "not there"),
    ):  # fmt: skip
        desk.judge_object(picture, name, verdict)  # type: ignore[arg-type]
    assert [desk.pictures[number] for number in desk.left()] == [first]
    plain, flb = desk.figures()
    assert (plain.false, plain.judged, plain.mentions) == (2, 4, 5)
    assert (flb.false, flb.judged, flb.mentions) == (0, 2, 4)
    assert plain.chair_i == 0.5
    assert flb.chair_i == 0.0
    assert flb.recall == pytest.approx(2 / 3)  # sofa and dog, of sofa, couch and dog
    assert flb.difference is not None
    assert flb.difference.value == -0.5
    assert plain.difference is None
    desk.judge_object(first, "dog", "there")
    assert desk.left() == []
    assert desk.record()["methods"]["plain"]["judged"] == 5


def test_what_is_judged_once_is_known_in_a_later_run(folder: Path) -> None:
    desk = desk_of(folder, *TWO_METHODS)
    for picture in desk.pictures:
        for name in desk.objects(picture):
            desk.judge_object(picture, name, "there")
    later = desk_of(folder, *TWO_METHODS, said("1.png", "A dog.", "opera"))
    assert later.left() == []
    assert later.figures()[2].judged == 1


def test_merged_words_are_one_object_whose_verdict_holds(folder: Path) -> None:
    desk = desk_of(folder, *TWO_METHODS)
    (number,) = (place for place, one in enumerate(desk.pictures) if one.image_id == "3.png")
    picture = desk.pictures[number]
    for name in ("cat", "tree", "couch"):
        desk.judge_object(picture, name, "there")
    desk.merges.merge("couch", "sofa")
    assert desk.objects(picture) == ["cat", "sofa", "tree"]
    assert desk.verdicts()[picture.image_id, "sofa"] == "there"
    assert number not in desk.left()
    assert [one.judged for one in desk.figures()] == [2, 2]


def test_another_judge_judges_all_anew_and_agreement_is_told(folder: Path) -> None:
    ann = desk_of(folder, *TWO_METHODS)
    for picture in ann.pictures:
        for name in ann.objects(picture):
            ann.judge_object(picture, name, "not there" if name == "cat" else "there")
    Judgements(folder / "bob.jsonl").append(
        [one._replace(judge="ann") for one in ann.judgements.read() if one.object != "tree"]
    )
    bob = desk_of(folder, *TWO_METHODS, judge="bob")
    assert len(bob.left()) == 3
    both = desk_of(folder, *TWO_METHODS, others=("bob.jsonl",))
    (found,) = both.kappas()
    assert (found.first, found.second) == ("ann", "ann (bob.jsonl)")
    assert (found.both, found.agreed, found.kappa) == (6, 6, 1.0)


def kappa_of(table: list[list[int]], pictures: int = 1) -> Any:
    rows = []
    for first, line in enumerate(table):
        for second, count in enumerate(line):
            for number in range(count):
                image, name = str(number % pictures), f"{first}{second}-{number}"
                rows.append(Judgement(image, name, ("not there", "there")[first], "ann"))
                rows.append(Judgement(image, name, ("not there", "there")[second], "bob"))
    return agreed(*rows)


def agreed(*rows: Judgement, **same: str) -> list[Kappa]:
    return kappas(Judged(judgements=rows, names=WORDS, same=same).said)


def test_kappa_is_that_of_the_textbook() -> None:
    (found,) = kappa_of([[15, 10], [5, 20]], pictures=7)
    assert found.kappa == pytest.approx(0.4)
    assert (found.both, found.agreed) == (50, 35)
    assert found.low < 0.4 < found.high


def test_kappa_of_one_verdict_alone_tells_nothing() -> None:
    (found,) = kappa_of([[0, 0], [0, 4]])
    assert found.kappa is None
    assert found.agreed == 4
    assert json.dumps(found.record(), allow_nan=False)


def test_judges_who_are_unsure_or_judge_other_things_are_not_compared() -> None:
    assert agreed(Judgement("1", "dog", "there", "ann"), Judgement("1", "cat", "there", "bob")) == []
    assert agreed(Judgement("1", "dog", "there", "ann"), Judgement("1", "dog", "unsure", "bob")) == []
    # of two words for one object the last says what a judge thinks of it
    rows = [Judgement("1", "couch", "there", "ann"), Judgement("1", "sofa", "unsure", "ann")]
    assert agreed(*rows, Judgement("1", "sofa", "there", "bob"), couch="sofa") == []


def test_intervals_of_figures_hold_the_truth_as_often_as_they_say() -> None:
    """CHAIR_I of a method that is wrong in 3 of 10 mentions, in 100 studies of 100 pictures."""
    from farsight.judging.answers import Answers, Picture
    from farsight.judging.figures import figures

    rng = np.random.default_rng(0)
    held = 0
    for study in range(100):
        names = [[name for name in ("dog", "cat", "tree", "sofa") if rng.random() < 0.7] for _ in range(100)]
        pictures = tuple(
            Picture(image_id=str(number), path=Path(), answers={"plain": (" ".join(one),)})
            for number, one in enumerate(names)
        )
        rows = [
            Judgement(str(number), name, "not there" if rng.random() < 0.3 else "there", "ann")
            for number, one in enumerate(names)
            for name in one
        ]
        truth = Judged(judgements=rows, names=WORDS)
        (found,) = figures(Answers(pictures=pictures, methods=("plain",)), truth, seed=study, resamples=400)
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 0.3 <= found.high
    assert 88 <= held <= 99


@pytest.mark.parametrize(
    ("rows", "methods", "left_out"),
    [
        ([said("1.png", "A dog.")], ("said",), {}),
        ([{"image_id": "1.png", "caption": "A dog."}], ("said",), {}),
        ([{"image_id": 1, "response": "A dog.", "picture": "1.png"}], ("said",), {}),
        ([said("1.png", "A dog."), said("1.png", "Yes, a dog.")], ("said",), {"answer yes or no": 1}),
        ([said("1.png", "A dog."), said("1.png", " ")], ("said",), {"are empty": 1}),
        ([said("1.png", "A dog."), said("1.png", "", failed="no memory")], ("said",), {"have failed": 1}),
        ([said("1.png", "A dog."), said("9.png", "A cat.")], ("said",), {"pictures are not there": 1}),
    ],
    ids=["image", "caption", "number", "question", "empty", "failed", "picture"],
)
def test_rows_of_production_and_of_runs_are_read(
    folder: Path, rows: list[dict[str, Any]], methods: tuple[str, ...], left_out: dict[str, int]
) -> None:
    found = read_answers([written(folder / "said.jsonl", *rows)])
    assert found.methods == methods
    assert [one.path.name for one in found.pictures] == ["1.png"]
    assert found.left_out == left_out


def test_several_answers_about_one_picture_are_judged_together(folder: Path) -> None:
    found = read_answers([written(folder / "said.jsonl", said("1.png", "A dog."), said("1.png", "A cat."))])
    assert found.pictures[0].answers == {"said": ("A dog.", "A cat.")}


def test_files_of_several_months_are_methods_of_their_own(folder: Path) -> None:
    october, november = (written(folder / f"{name}.jsonl", said("1.png", "A dog.")) for name in ("october", "november"))
    assert read_answers([october, november]).methods == ("october", "november")


def test_months_without_a_picture_in_common_are_compared_on_all_pictures(folder: Path) -> None:
    rows = [said("1.png", "A dog and a cat.", image_id=str(number)) for number in range(40)]
    months = [written(folder / f"{name}.jsonl", *some) for name, some in (("may", rows[:20]), ("june", rows[20:]))]
    judgements = Judgements(folder / "judgements.jsonl")
    judgements.append(
        [Judgement(str(n), name, "not there" if name == "cat" and (n < 5 or n >= 30) else "there", "ann")
         for n in range(40) for name in ("dog", "cat")]
    )  # fmt: skip
    desk = replace(desk_of(folder, *TWO_METHODS), answers=read_answers(months), judgements=judgements)
    may, june = desk.figures()
    assert (may.chair_i, june.chair_i) == (5 / 40, 10 / 40)
    assert june.difference is not None
    assert june.difference.value == pytest.approx(5 / 40)
    assert june.difference.low < june.difference.value < june.difference.high
    # two shares of pairs of mentions: the textbook's standard error of a difference of independent means
    error = np.hypot(np.std([0.5] * 5 + [0] * 15), np.std([0.5] * 10 + [0] * 10)) / np.sqrt(20)
    assert june.difference.high - june.difference.low == pytest.approx(2 * 1.96 * error, rel=0.1)


def test_pictures_are_found_in_folders_of_another_folder(folder: Path, tmp_path: Path) -> None:
    for day in ("1", "2"):
        (folder / "photos" / day).mkdir(parents=True)
        Image.new("RGB", (8, 6)).save(folder / "photos" / day / "a.png")
    rows = [said(f"{day}/a.png", "A dog.") for day in ("1", "2")]
    (tmp_path / "logs").mkdir()
    found = read_answers([written(tmp_path / "logs" / "said.jsonl", *rows)], folder / "photos")
    assert [one.path for one in found.pictures] == [folder / "photos" / day / "a.png" for day in ("1", "2")]


def test_pictures_are_found_in_another_folder_as_in_coco(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = written(tmp_path_factory.mktemp("elsewhere") / "said.jsonl", {"image_id": 2, "caption": "A dog."})
    assert read_answers([elsewhere], folder).pictures[0].path == folder / "2.png"


@pytest.mark.parametrize(
    ("rows", "because"),
    [
        ([{"text": "A dog."}], "there is no picture: it needs one of picture, "),
        ([{"image": "1.png"}], "there is no 'caption' or 'text'"),
        ([said("9.png", "A dog.")], r"none of its 1 pictures is found, such as '9.png'; .*--images"),
        ([said("1.png", "Yes.")], r"no answer that could be judged \(1 answer yes or no\)"),
        ([said("1.png", "A dog.", method=3)], "'method' is no name"),
    ],
    ids=["no picture", "no text", "not found", "nothing", "method"],
)
def test_what_cannot_be_judged_is_said_with_its_file(folder: Path, rows: list[dict[str, Any]], because: str) -> None:
    with pytest.raises(InputError, match=because) as caught:
        read_answers([written(folder / "said.jsonl", *rows)])
    assert "said.jsonl" in str(caught.value)


def test_a_folder_without_answers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no answers\.jsonl; give a folder of farsight tune or eval"):
        read_answers([tmp_path])
