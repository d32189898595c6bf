"""Pictures are described from the lists of their objects: which are asked, in which words, and how answers end."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from refusals import refused
from tiny_checkpoint import save_tiny_llama
from typer.testing import CliRunner

from farsight import InputError
from farsight.cli import app
from farsight.evaluate.engine import Answer
from farsight.evaluate.list_tasks import WORDINGS, list_items
from farsight.metrics.vocabulary import coco

EXAMPLES = [(names, text) for wording in WORDINGS.values() for names, text in wording.examples.items()]
OBJECTS = {
    **{f"usual{number}": frozenset(["dog", "cat", "bed", "car", "bus"][: 3 + number % 3]) for number in range(8)},
    "few": frozenset(["dog"]),
    "many": frozenset(["dog", "cat", "bed", "car", "bus", "tv", "cup", "fork"]),
    "none": frozenset(),
}


@pytest.mark.parametrize(("names", "text"), EXAMPLES, ids=[names for names, _ in EXAMPLES])
def test_examples_have_four_sentences_and_name_their_list_and_nothing_else(names: str, text: str) -> None:
    assert {mention.object for mention in coco().mentions(text)} == set(names.split(", "))
    assert text.count(".") == 4
    beginnings = [wording.beginning for wording in WORDINGS.values() if names in wording.examples]
    assert text.startswith(beginnings[0].strip())


def test_usual_lists_come_first_in_an_order_drawn_with_seed_7_and_empty_ones_never() -> None:
    order = [item.image_id for item in list_items(OBJECTS, "")]
    usual = [name for name in OBJECTS if name.startswith("usual")]
    random.Random(7).shuffle(usual)
    assert order[:8] == usual
    assert sorted(order[8:]) == ["few", "many"]
    assert [item.image_id for item in list_items(OBJECTS, "", skip=3, limit=4)] == order[3:7]


def test_a_prompt_is_the_examples_and_the_list_in_alphabetical_order() -> None:
    [item] = list_items({"1": frozenset(["dog", "bench", "person"])}, "")
    assert item.prompt.endswith("\n\nObjects in the photo: bench, dog, person\nDescription: The photo shows")
    assert item.prompt.count("Objects in the photo:") == 4
    assert (item.medium, item.path, item.truth) == ("completion", None, {"objects": ["bench", "dog", "person"]})
    [item] = list_items({"1": frozenset(["dog", "bench", "person"])}, "chat")
    assert item.prompt.startswith("Here is a list of the objects in a photo: bench, dog, person.")
    assert item.medium == "text"


def test_the_trial_tells_objects_in_an_order_drawn_for_each_picture() -> None:
    names = ["bench", "dog", "person"]
    told = {}
    for image in ("1", "2", "3", "4"):
        [item] = list_items({image: frozenset(names)}, "trial")
        order = sorted(names)
        random.Random(image).shuffle(order)
        assert item.prompt.endswith(f"\n\nObjects in the photo: {', '.join(order)}\nDescription: The photo shows")
        told[image] = item.prompt
    assert len(set(told.values())) > 1


def test_a_part_that_holds_no_list_is_refused() -> None:
    with pytest.raises(InputError, match="none of 10 lists of objects is left after the first 10: skip fewer"):
        list_items(OBJECTS, "", skip=10)


class Words:
    """A tokenizer of single characters."""

    def decode(self, tokens: list[int], skip_special_tokens: bool) -> str:
        return "".join(map(chr, tokens))


@pytest.mark.parametrize(
    ("text", "stop", "read"),
    [
        ("a dog.\n\nOb", "\n", ("a dog.", 7, True)),
        ("a dog.", "\n", ("a dog.", 6, False)),
        ("a dog.\nOb", None, ("a dog.\nOb", 9, False)),
    ],
)
def test_an_answer_ends_where_its_line_does(text: str, stop: str | None, read: tuple[str, int, bool]) -> None:
    answer = Answer.of([*map(ord, text)], ends=(), tokenizer=Words(), absorbed=float, stop=stop)
    assert (answer.text, answer.tokens, answer.ended) == read
    assert answer.absorbed == answer.tokens


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture
def objects(tmp_path: Path) -> Path:
    path = tmp_path / "objects.jsonl"
    path.write_text(
        "".join(json.dumps({"image_id": one, "objects": [*names]}) + "\n" for one, names in OBJECTS.items())
    )
    return path


def asked(model: Path, objects: Path, out: Path, *more: object) -> Any:
    command = ["eval", "--task", "lists", "--model", model, "--objects", objects, "--out", out, "--device", "cpu"]
    command += ["-n", 6, "--batch-size", 4, *more]
    return CliRunner().invoke(app, [str(one) for one in command], env={"COLUMNS": "200", "TERM": "dumb"})


def rows(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "answers.jsonl").read_text().splitlines()]


def test_a_model_that_sees_nothing_is_evaluated_on_lists(model: Path, objects: Path, tmp_path: Path) -> None:
    methods = ("--methods", "greedy,farsight(sigma=0.1, rows=generated)")
    result = asked(model, objects, tmp_path / "run", *methods)
    assert result.exit_code == 0, result.stderr
    assert "CHAIR_S" in result.stdout
    found = json.loads((tmp_path / "run" / "results.json").read_text())
    assert found["config"]["generation"] == {"repetition_penalty": 1.1}
    assert {row["image"] for row in rows(tmp_path / "run")} == {None}
    assert len(rows(tmp_path / "run")) == 20
    assert "completion" in (tmp_path / "run" / "report.html").read_text()
    answers = tmp_path / "run" / "answers.jsonl"
    whole = answers.read_bytes()
    answers.write_bytes(whole[: len(whole) // 2])
    assert asked(model, objects, tmp_path / "run", *methods).exit_code == 0
    assert answers.read_bytes() == whole


def test_drawn_answers_are_those_of_their_seed_whenever_they_are_asked(
    model: Path, objects: Path, tmp_path: Path
) -> None:
    one = ("--methods", "greedy", "--temperature", 2)
    assert asked(model, objects, tmp_path / "run", *one, "--seed", 3).exit_code == 0
    answers = tmp_path / "run" / "answers.jsonl"
    whole = answers.read_bytes()
    first = rows(tmp_path / "run")
    assert first[0]["generation"] == {"do_sample": True, "temperature": 2.0, "seed": 3, "repetition_penalty": 1.1}
    answers.write_bytes(b"".join(whole.splitlines(keepends=True)[:4]))
    assert asked(model, objects, tmp_path / "run", *one, "--seed", 3).exit_code == 0
    assert answers.read_bytes() == whole
    assert asked(model, objects, tmp_path / "other", *one, "--seed", 4).exit_code == 0
    assert [row["text"] for row in rows(tmp_path / "other")] != [row["text"] for row in first]


def test_a_repetition_penalty_of_ones_own_replaces_that_of_the_task(model: Path, objects: Path, tmp_path: Path) -> None:
    result = asked(model, objects, tmp_path / "run", "--methods", "greedy", "--repetition-penalty", 1)
    assert result.exit_code == 0, result.stderr
    assert rows(tmp_path / "run")[0]["generation"] == {"repetition_penalty": 1.0}


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        (("--images", "."), "--images is of no use to the task 'lists'"),
        (("--prompt", "Hm?"), "--prompt is of no use to the task 'lists'"),
        (("--temperature", "0"), "--temperature must be a finite number > 0, got 0.0"),
        (("--repetition-penalty", "nan"), "--repetition-penalty must be a finite number > 0, got nan"),
        (("--skip", "10"), "none of 10 lists of objects is left after the first 10: skip fewer"),
        (("--engine", "vllm"), "vLLM"),
    ],
    ids=lambda one: "" if isinstance(one, str) else " ".join(one),
)
def test_what_lists_have_no_use_for_is_refused(
    model: Path, objects: Path, tmp_path: Path, more: tuple[str, ...], problem: str
) -> None:
    refused(asked(model, objects, tmp_path / "run", "--methods", "greedy", *more), problem)


def test_lists_need_objects(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["eval", "--task", "lists", "--out", str(tmp_path / "run")])
    refused(result, "task 'lists' needs --objects")
