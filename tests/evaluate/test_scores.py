"""Answers are scored with the metrics, part by part, and compared with the first method."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from farsight import InputError
from farsight.evaluate.page import differences_table, figures_table, headline, run_page
from farsight.evaluate.scores import PartScores, score_run
from farsight.evaluate.tasks import Item, Task
from farsight.metrics.vocabulary import coco

SAID = {
    "greedy": ["A dog and a cat.", "A cat.", "", "A dog, a dog and a bus-stop."],
    "other": ["A dog.", "A cat and a dog.", "A cat.", "A dog."],
}
ANSWERS = {"greedy": ["Yes", "Yes", "No", "Yes"], "other": ["Yes", "No", "No", "Yes"]}
LABELS = ["yes", "no", "no", "yes"]


def item(number: int, kind: Any) -> Item:
    question = {"question_id": str(number), "image": str(number), "text": "?", "label": LABELS[number]}
    return Item(
        item_id=f"{kind}/{number}", part=kind, kind=kind, image_id=str(number), path=Path(f"{number}.png"), prompt="?",
        max_new_tokens=9, truth={"objects": ["dog"]} if kind == "caption" else question,
    )  # fmt: skip


ITEMS = [item(number, kind) for kind in ("caption", "question") for number in range(4)]
TASK = Task(name="test", items=tuple(ITEMS), vocabulary=coco(), sources={})


def rows(failed: dict[str, str] | None = None) -> dict[tuple[str, str], dict[str, Any]]:
    said = {"caption": SAID, "question": ANSWERS}
    return {
        (label, one.item_id): {
            "text": said[one.kind][label][int(one.image_id)],
            "failed": (failed or {}).get(one.item_id),
            "absorbed": None if label == "greedy" else 0.25,
            "ended": True,
            "tokens": 4,
        }
        for label in SAID
        for one in ITEMS
    }


@pytest.fixture(scope="module")
def scored() -> dict[str, PartScores]:
    return {part.part: part for part in score_run(TASK, ["greedy", "other"], rows())}


def test_captions_get_chair_and_what_goes_with_it(scored: dict[str, PartScores]) -> None:
    greedy, other = (scored["caption"].figures[label] for label in ("greedy", "other"))
    assert greedy["chair_s"] == 2 / 4
    assert greedy["chair_i"] == 2 / 5
    assert greedy["recall"] == 2 / 4
    assert greedy["first_3"] == 2 / 4
    assert greedy["silent"] == 1
    assert greedy["absorbed"] is None
    assert other["absorbed"] == 0.25
    assert {"words_per_caption", "objects_per_caption", "repetition_4", "ended"} <= greedy.keys()


def test_answers_get_pope_with_a_balanced_accuracy(scored: dict[str, PartScores]) -> None:
    greedy, other = (scored["question"].figures[label] for label in ("greedy", "other"))
    assert greedy["accuracy"] == 3 / 4
    assert greedy["balanced_accuracy"] == (1 + 1 / 2) / 2
    assert other["accuracy"] == 1


def test_differences_are_to_the_first_method_and_have_intervals(scored: dict[str, PartScores]) -> None:
    found = scored["caption"].differences["other"]["chair_s"]
    assert found.value == 2 / 4 - 2 / 4
    assert found.low < 0 < found.high
    assert scored["question"].differences["other"]["accuracy"].value == 1 / 4
    assert "greedy" not in scored["caption"].differences


def test_failed_items_are_counted_and_left_out() -> None:
    [captions, questions] = score_run(TASK, ["greedy", "other"], rows({"caption/1": "1.png: damaged"}))
    assert captions.failed == {"caption/1": "1.png: damaged"}
    assert len(captions.captions["greedy"].captions) == 3
    assert questions.failed == {}


def test_a_part_without_a_single_picture_says_why() -> None:
    failed = {one.item_id: "damaged" for one in ITEMS if one.kind == "caption"}
    with pytest.raises(InputError, match="nothing of caption could be asked: caption/0: damaged; caption/1"):
        score_run(TASK, ["greedy", "other"], rows(failed))


def test_too_few_pictures_for_a_comparison_are_named() -> None:
    """Those that could not be read, and those that something is known of and that are not there."""
    failed = {f"caption/{number}": f"{number}.png is damaged" for number in range(3)}
    said = "caption: 3 of 4 could not be asked.*caption/0: 0.png is damaged; .*known are not in the folder: 'nine'"
    with pytest.raises(InputError, match=said):
        score_run(replace(TASK, missing=("nine",)), ["greedy", "other"], rows(failed))
    [captions, _] = score_run(TASK, ["greedy"], {key: row for key, row in rows(failed).items() if key[0] == "greedy"})
    assert captions.figures["greedy"]["captions"] == 1


def test_the_page_shows_pictures_of_which_any_methods_say_different_things() -> None:
    """Methods that say the same stand together, and a picture of which all say the same is not shown."""
    said = {"greedy": ["A cat.", "A dog."], "same": ["A cat.", "A dog."], "third": ["A cat.", "A dog and a bus."]}
    found = {
        (label, f"caption/{n}"): {"text": text, "failed": None, "absorbed": None, "ended": True, "tokens": 4}
        for label, texts in said.items()
        for n, text in enumerate(texts)
    }
    task = replace(TASK, items=tuple(ITEMS[:2]))
    html = run_page("A run", score_run(task, list(said), found), {}, "footer")
    assert "caption, image 1" in html
    assert "caption, image 0" not in html
    assert "greedy, same" in html
    assert html.count("third") >= 3
    equal = {key: row | {"text": "A cat."} for key, row in found.items()}
    html = run_page("A run", score_run(task, list(said), equal), {}, "footer")
    assert "The methods say the same of every picture." in html
    assert "caption, image" not in html


def test_tables_and_the_page_have_the_figures(scored: dict[str, PartScores]) -> None:
    table = figures_table(scored["caption"])
    assert list(table.columns[:4]) == ["caption", "n", "CHAIR_S", "CHAIR_I"]
    assert [row[:4] for row in table.rows] == [["greedy", "4", "50.0", "40.0"], ["other", "4", "50.0", "40.0"]]
    assert differences_table(scored["question"], "greedy").rows[0][1].startswith("+25.0 [")
    html = run_page("A run", list(scored.values()), {}, "footer")
    assert headline(scored["question"]) in html
    assert '<span class="false" title="false">cat</span>' in html
    assert "<script" not in html
