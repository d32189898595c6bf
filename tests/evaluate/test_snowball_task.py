"""A question about a picture alone, and after a conversation that is wrong in it: read, made, asked and scored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tiny_checkpoint import save_tiny_llava
from typer.testing import CliRunner

from farsight.cli import app
from farsight.errors import InputError, SettingError
from farsight.evaluate.named_tasks import TaskOptions, choose_task
from farsight.evaluate.openai_engine import messages
from farsight.evaluate.snowball_task import make_talks, read_talks, talk_items
from farsight.evaluate.sums import compare, figures, sums
from farsight.inputs.prompts import chat

ASK = "Is there a cat in the image?"


def entry(image: str, *said: str, answer: str = "no") -> dict[str, Any]:
    roles = ["user", "agent"] * len(said)
    turns = [{"role": role, "type": "text", "content": text} for role, text in zip(roles, said, strict=False)]
    context = [{"role": "user", "type": "image", "content": image}, *turns]
    return {"answer": answer, "modified_answer": "yes" if answer == "no" else "no", "context_list": context}


def written(path: Path, entries: Any) -> Path:
    path.write_text(json.dumps(entries))
    return path


CLEAN = {"a": entry("1", ASK), "b": entry("2", ASK, answer="yes")}
TOLD = {
    "a": entry("1", "Describe it.", "A cat and a dog.", ASK),
    "b": entry("2", "Describe it.", "There is no cat.", ASK, answer="yes"),
}


def test_a_file_in_the_form_of_mmhalsnowball_is_read_turn_by_turn(tmp_path: Path) -> None:
    talks = read_talks(written(tmp_path / "halluconv.json", TOLD))
    assert talks["a"].turns == ("Describe it.", "A cat and a dog.", ASK)
    assert (talks["b"].image, talks["b"].answer, talks["b"].modified_answer) == ("2", "yes", "no")


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([], "is not a JSON object of conversations"),
        ({"a": []}, "sample a.*not a JSON object"),
        ({"a": entry("1", ASK, "No.")}, "sample a.*do not speak in turn"),
        ({"a": {**entry("1", ASK), "answer": 3}}, "sample a.*'answer' is a number"),
        ({"a": {**entry("1"), "context_list": []}}, "sample a.*not exactly one image"),
    ],
    ids=["a list", "no object", "no question", "no answer", "no picture"],
)
def test_a_bad_file_is_named_with_its_sample(tmp_path: Path, entries: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_talks(written(tmp_path / "bad.json", entries))


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"a": TOLD["a"]}, "has no sample b"),
        (CLEAN, "sample a must be a question alone in the first file and a conversation"),
        ({**TOLD, "b": entry("2", "Describe it.", "A dog.", "What?", answer="yes")}, "sample b asks something else"),
    ],
    ids=["missing", "no conversation", "another question"],
)
def test_files_that_do_not_belong_together_are_refused(tmp_path: Path, told: Any, message: str) -> None:
    clean, other = (read_talks(written(tmp_path / f"{name}.json", it)) for name, it in (("c", CLEAN), ("t", told)))
    paths = {"1": Path("1.png"), "2": Path("2.png")}
    with pytest.raises(InputError, match=message):
        list(talk_items("t", clean, other, paths, 9))


def test_conversations_are_made_wrong_in_what_is_asked_and_right_in_the_control() -> None:
    objects = {"1": frozenset({"dog"}), "2": frozenset({"dog", "apple"})}
    made = make_talks(objects)
    assert {name: len(talks) for name, talks in made.items()} == {"clean": 2, "hallucinated": 2, "true": 2}
    assert made["clean"]["1/no"].turns == ("Is there an apple in the image?",)
    assert made["hallucinated"]["1/no"].turns[1] == "In the image there is a dog and an apple."
    assert made["hallucinated"]["1/yes"].turns[1] == "In the image there is nothing else. There is no dog."
    assert made["true"]["1/no"].turns[1] == made["true"]["1/yes"].turns[1] == "In the image there is a dog."


def test_a_conversation_reaches_templates_and_servers_with_its_roles() -> None:
    picture = Image.new("RGB", (4, 4))
    talk = chat(picture, ASK, ("Describe it.", "A cat."))
    assert [one["role"] for one in talk] == ["user", "assistant", "user"]
    assert [part["type"] for part in talk[0]["content"]] == ["image", "text"]
    sent = messages(picture, ASK, ("Describe it.", "A cat."))
    assert [(one["role"], one["content"]) for one in sent[1:]] == [("assistant", "A cat."), ("user", ASK)]
    assert sent[0]["content"][1]["text"] == "Describe it."


def test_flips_are_summed_by_picture_and_compared(tmp_path: Path) -> None:
    clean, told = (read_talks(written(tmp_path / f"{name}.json", it)) for name, it in (("c", CLEAN), ("t", TOLD)))
    items = list(talk_items("t", clean, told, {"1": Path("1.png"), "2": Path("2.png")}, 9))
    said = {"t/clean/a": "No", "t/told/a": "Yes", "t/clean/b": "Yes", "t/told/b": "Yes"}
    one, two = sums("snowball", items, said), sums("snowball", items, said | {"t/told/a": "No"})
    assert figures(one) == {"accuracy_clean": 1, "accuracy_told": 0.5, "flip_rate": 0.5, "weak_flip_rate": 0.5}
    assert compare(one, two)["flip_rate"].value == -0.5


@pytest.mark.parametrize("made", [True, False], ids=["of objects", "of files"])
def test_the_task_is_asked_and_scored_from_the_command_line(tmp_path: Path, made: bool) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for name, grey in (("1", 90), ("2", 200), ("3", 20)):
        Image.new("RGB", (20, 20), (grey, 0, 0)).save(images / f"{name}.png")
    rows = [{"image_id": "1.png", "objects": ["dog"]}, {"image_id": "3.png", "objects": ["cat"]}]
    objects = tmp_path / "objects.jsonl"
    objects.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    files = ["--questions", written(tmp_path / "c.json", CLEAN), "--questions", written(tmp_path / "t.json", TOLD)]
    command = ["eval", "--task", "snowball", "--images", images, *(["--objects", objects] if made else files)]
    command += ["--model", save_tiny_llava(tmp_path / "model"), "--device", "cpu", "--out", tmp_path / "run"]
    result = CliRunner().invoke(app, [*map(str, command), "--methods", "greedy,farsight", "--json"])
    assert result.exit_code == 0, result.stderr
    parts = json.loads(result.stdout)["parts"]
    assert set(parts) == ({"hallucinated", "true"} if made else {"t"})
    for part in parts.values():
        assert set(part["differences"]["farsight"]) == {
            "accuracy_clean", "accuracy_told", "flip_rate", "weak_flip_rate"
        }  # fmt: skip
    answers = [json.loads(line) for line in (tmp_path / "run" / "answers.jsonl").read_text().splitlines()]
    assert {len(row.get("earlier", ())) for row in answers} == {0, 2}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "needs --objects, to make conversations of, or --questions twice"),
        ({"questions": (Path("c.json"),)}, "needs a second --questions"),
        ({"objects": (Path("o"),), "questions": (Path("c.json"),)}, "needs --objects, to make conversations of, or"),
    ],
    ids=["nothing", "one file", "both"],
)
def test_options_that_say_no_conversation_are_refused(options: Any, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        choose_task("snowball", TaskOptions(images=Path(), **options))
