"""Descriptions that are checked when they are there: one, a run of them, a threshold, refusals where it is idle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from refusals import refused

from farsight import InputError, Verified
from farsight.calibration import Verifier
from farsight.evaluate.run_folder import RunFolder
from farsight_scenes.draw import draw


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn") / "scenes"
    draw("calibration", 12, folder)
    return folder


def evaluated(out: Path) -> list[object]:
    return [
        "eval", "--task", "scenes:test", "--count", 3, "--question-count", 7, "--batch-size", 3, "-n", 60,
        "--methods", "greedy,verified,verified(threshold=9)", "--out", out, "--device", "cpu",
    ]  # fmt: skip


def test_a_description_tells_what_was_checked_and_that_it_is_no_decoding(run: Any, drawn: Path) -> None:
    picture = next(drawn.glob("*.png"))
    result = run("describe", picture, "--method", "verified(threshold=99)", columns=200)
    assert result.exit_code == 0, result.stderr
    *_, text, pace, told = result.stdout.splitlines()
    assert text == "(the model said nothing)" or "." in text
    assert pace.startswith("verified(threshold=99): ")
    assert told.startswith("no decoding: ")
    assert "checked by the model itself" in told
    assert "left out: " in told
    rows = json.loads(run("describe", picture, "--method", "verified", "--compare", "--json").stdout)
    assert [("checked" in row, "checks" in row) for row in rows] == [(False, False), (True, True)]
    assert rows[1]["checked"]["draft"] == rows[0]["text"]
    assert rows[1]["tokens"] == rows[0]["tokens"]


def test_a_vocabulary_of_ones_own_says_what_is_checked(run: Any, drawn: Path, tmp_path: Path) -> None:
    picture, words = next(drawn.glob("*.png")), tmp_path / "words.txt"
    words.write_text("thing, image, picture, this\n")
    rows = json.loads(run("describe", picture, "--method", "verified", "--synonyms", words, "--json").stdout)
    assert set(rows[0]["checked"]["scores"]) <= {"thing"}
    refused(run("describe", picture, "--synonyms", words), "--explain and --method verified")


def test_where_it_would_do_nothing_it_is_refused(run: Any, drawn: Path, tmp_path: Path) -> None:
    picture, checks = next(drawn.glob("*.png")), ["--methods", "greedy,verified", "--out", tmp_path / "run"]
    refused(run("describe", "--method", "verified", "-p", "Hello"), "there is none here")
    refused(run("describe", picture, "--method", "verified", "--explain"), "leave one out")
    refused(run("diagnose", picture, "--method", "verified", "--out", tmp_path / "page"), "is no decoding method")
    refused(run("eval", "--task", "videos:test", "--count", 2, *checks), "'verified': verified looks for objects in a")
    refused(run("eval", "--task", "pope", "--images", drawn, "--questions", drawn / "pope_random.jsonl", *checks),
            "pope asks for none, so that all answers would pass unchanged")  # fmt: skip
    refused(run("serve", "--method", "verified", "--port", 0), "is no decoding method")


def test_a_run_counts_the_checks_and_leaves_other_answers_alone(run: Any, tmp_path: Path) -> None:
    result = run(*evaluated(tmp_path / "run"), columns=200)
    assert result.exit_code == 0, result.stderr
    assert "verified does not decode, it checks finished answers. free: " in result.stdout
    assert "Answers of pope_random, pope_popular, pope_adversarial are no descriptions" in result.stdout
    rows = [json.loads(line) for line in (tmp_path / "run" / "answers.jsonl").read_text().splitlines()]
    said = {(row["method"], row["item"]): row for row in rows}
    for (label, item), row in said.items():
        draft = said["greedy", item]
        assert ("checked" in row) == (label != "greedy" and row["part"] in ("free", "counted"))
        assert row["tokens"] == draft["tokens"]
        if "checked" in row:
            assert row["checked"]["draft"] == draft["text"]
            assert set(row["checked"]["failed"]) <= set(row["checked"]["scores"])
        else:
            assert row["text"] == draft["text"]
    assert any(row["text"] == "" for row in rows if row["method"] == "verified(threshold=9)")
    times = [json.loads(line) for line in (tmp_path / "run" / "times.jsonl").read_text().splitlines()]
    assert {row["first"].partition("/")[0] for row in times if row["method"] == "verified"} == {"free", "counted"}
    figures = json.loads((tmp_path / "run" / "results.json").read_text())["parts"]["free"]["figures"]
    assert figures["verified"]["checks"] > 0
    assert figures["verified(threshold=9)"]["left_out"] == figures["verified(threshold=9)"]["checks"]
    assert figures["verified(threshold=9)"]["recall"] == 0
    assert "checks" not in figures["greedy"]


def test_a_run_that_was_cut_off_ends_with_the_same_answers(
    run: Any, drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers that were drawn, which a seed repeats."""
    asked = [
        "eval", "--task", "chair", "--images", drawn, "--objects", drawn / "objects.jsonl", "--synonyms", "scenes",
        "--count", 6, "--batch-size", 2, "-n", 30, "--temperature", 1, "--seed", 3, "--methods", "greedy,verified",
        "--device", "cpu", "--out",
    ]  # fmt: skip
    assert run(*asked, tmp_path / "whole").exit_code == 0
    kept, appended = RunFolder.append, []

    def append(self: RunFolder, rows: Any) -> None:
        kept(self, rows)
        appended.append(1)
        if len(appended) == 4:
            raise InputError("cut off")

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "append", append)
        assert run(*asked, tmp_path / "cut").exit_code == 2
    assert run(*asked, tmp_path / "cut").exit_code == 0
    whole, cut = ((tmp_path / name / "answers.jsonl").read_bytes() for name in ("whole", "cut"))
    assert whole == cut


def test_a_threshold_is_measured_and_read(run: Any, drawn: Path, tmp_path: Path) -> None:
    file = tmp_path / "checks.json"
    asked = ["calibrate", "--for", "verified", "--images", drawn, "--objects", drawn / "objects.jsonl", "-n", 160]
    refused(run(*asked[:5], "--out", file), "pass --objects FILE")
    refused(run(*asked, "--absorb", 0.1, "--out", file), "--absorb says nothing of 'verified'")
    refused(
        run("calibrate", "--images", drawn, "--verifier", "x", "--out", file), "--verifier says nothing of 'farsight'"
    )
    result = run(*asked, "--synonyms", "scenes", "--out", file)
    assert result.exit_code == 0, result.stderr
    assert f"use it as verified(load={file})" in result.stdout.replace("\n", "")
    found = Verifier.read(file)
    assert (found.verifier, found.pictures) == ("self", 12)
    assert min(found.true_count, found.false_count) >= 5
    assert min(found.false_there, found.false_not_there) >= 0
    assert Verified.load(file) == Verified(threshold=found.threshold)
    file.write_text(file.read_text().replace('"self"', "3"))
    with pytest.raises(InputError, match="has no threshold of a verifier"):
        Verified.load(file)
    file.write_text("{}")
    refused(
        run("describe", next(drawn.glob("*.png")), "--method", f"verified(load={file})"),
        "is no calibration of a verifier",
    )
