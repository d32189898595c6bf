"""``farsight tune --judge``: a detector judges what nobody did, and its errors stand beside what comes out."""

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from refusals import refused
from tiny_detector import save_tiny_detector

from farsight.cli.truth import vocabulary_file
from farsight.judging.judgements import NAME, Judgement, Judgements


@pytest.fixture
def command(tmp_path: Path, model: Path) -> list[object]:
    images = tmp_path / "images"
    images.mkdir()
    for number in range(10):
        Image.new("RGB", (30, 20), (20 * number, 0, 0)).save(images / f"{number}.png")
    return [
        "tune", "--model", model, "--images", images, "-n", 6, "--device", "cpu", "--out", tmp_path / "tuned",
        "--methods", "greedy,constant(value=0.2)", "--synonyms", "scenes",
    ]  # fmt: skip


def test_its_errors_stand_beside_the_verdict(run: Any, command: list[object], tmp_path: Path) -> None:
    detector = save_tiny_detector(tmp_path / "owl")
    assert run(*command).exit_code == 0
    unjudged = run(*command, "--judge", detector)
    assert unjudged.exit_code == 2
    assert "judge more" in unjudged.stderr
    rows = [
        Judgement(f"{number}.png", word, "there" if word == "dog" else "not there", "me")
        for number in range(6)
        for word in ("dog", "cat")
    ]
    Judgements(tmp_path / "tuned" / NAME).append(rows)
    result = run(*command, "--judge", detector)
    assert result.exit_code == 0, result.stderr
    verdict = json.loads((tmp_path / "tuned" / "verdict.json").read_text())
    assert verdict["judge"]["false_there"]["of"] == verdict["judge"]["false_not_there"]["of"] == 6
    assert f"objects are judged by {detector}: it says there of what is not" in result.stdout
    page = (tmp_path / "tuned" / "report.html").read_text()
    assert page.count("not there of what is") == 1 + bool(verdict["race"]) + bool(verdict["final"])


def test_it_is_refused_where_the_truth_is_known(run: Any, command: list[object], tmp_path: Path) -> None:
    objects = tmp_path / "objects.jsonl"
    objects.write_text("".join(json.dumps({"image_id": n, "objects": ["dog"]}) + "\n" for n in range(10)))
    refused(run(*command, "--objects", objects, "--judge", "some/detector"), "--judge is for --images")


def let_it_say(text: str, tuned: Path) -> None:
    """Put words into the mouth of a model whose random weights know none."""
    rows = [json.loads(line) | {"text": text} for line in (tuned / "answers.jsonl").read_text().splitlines()]
    (tuned / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_what_a_vocabulary_named_is_judged_by_the_same_one(run: Any, command: list[object], tmp_path: Path) -> None:
    tuned, words, same = tmp_path / "tuned", tmp_path / "words.txt", tmp_path / "same.toml"
    assert run(*command).exit_code == 0
    let_it_say("A dog and a sandcastle.", tuned)
    words.write_text("dog\ncat\n")
    shutil.copy(str(vocabulary_file("scenes")), same)
    judge = ["judge", tuned, "--json"]
    remedy = f"pass the same: farsight judge {tuned} --synonyms FILE"
    refused(run(*judge), "was tuned with --synonyms FILE, and there is none here", remedy)
    refused(run(*judge, "--synonyms", words), f"{words} is another, or has changed since", remedy)
    if importlib.util.find_spec("gradio"):
        refused(run("web", "--judge", tuned, "--device", "cpu"), remedy)
    found = [json.loads(run(*judge, "--synonyms", vocabulary).stdout) for vocabulary in ("scenes", same)]
    assert found[0]["methods"] == found[1]["methods"]
    for changed in (command[:-2], [*command[:-1], words]):  # and neither does it go on with another
        result = run(*changed)
        assert (result.exit_code, "task.sources.synonyms was" in result.stderr) == (2, True)


def test_what_every_noun_named_is_judged_by_nouns(run: Any, command: list[object], tmp_path: Path) -> None:
    tuned = tmp_path / "tuned"
    assert run(*command[:-2]).exit_code == 0
    let_it_say("A dog and a sandcastle.", tuned)
    refused(run("judge", tuned, "--json", "--synonyms", "scenes"), "was tuned without --synonyms", "leave it out")
    found = json.loads(run("judge", tuned, "--json").stdout)
    assert found["methods"][found["baseline"]]["mentions"] == 2 * found["pictures"]


def test_who_judged_all_as_unsure_is_not_sent_to_judge_again(run: Any, command: list[object], tmp_path: Path) -> None:
    tuned = tmp_path / "tuned"
    assert run(*command).exit_code == 0
    let_it_say("A dog and a cat.", tuned)
    rows = [Judgement(f"{number}.png", word, "unsure", "me") for number in range(10) for word in ("dog", "cat")]
    Judgements(tuned / NAME).append(rows)
    result = run(*command)
    assert result.exit_code == 0, result.stderr
    assert "all that is named there is judged, and less than half of what greedy" in result.stdout
    assert "to be judged first" not in result.stdout
    verdict = json.loads((tuned / "verdict.json").read_text())
    assert (verdict["unknown"], verdict["unsure"]) == (0, 2 * 5)
    assert "--images" in verdict["next"][0]["command"]
