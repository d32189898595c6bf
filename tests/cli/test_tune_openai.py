"""``farsight tune --engine openai``: a server on which one method helps, and what becomes of the others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from refusals import refused
from troubled_server import answer, prompt_of, troubled

from farsight.evaluate.finished import read_run
from farsight.judging.judgements import Judgement, Judgements
from farsight.methods.grammar import parse_method

pytest.importorskip("openai", reason="pip install openai")

PICTURES = 24
TOKENS = "farsight(sigma=0.0953102, horizon=infinite)"


def saying(true: str) -> Any:
    """A server that makes up a cat, unless there are registers in front."""

    def knowing(asked: dict[str, Any], _: int) -> Any:
        tokens = asked.get("chat_template_kwargs", {}).get("registers", 0)
        return answer(true if tokens else "A dog and a cat.", prompt=10 + tokens)

    return knowing


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    images = tmp_path / "images"
    images.mkdir()
    for number in range(PICTURES):
        Image.new("RGB", (30, 20), (10 * number, 0, 0)).save(images / f"{number}.png")
    objects = tmp_path / "objects.jsonl"
    objects.write_text("".join(json.dumps({"image_id": n, "objects": ["dog"]}) + "\n" for n in range(PICTURES)))
    return [
        "tune", "--engine", "openai", "-m", "m", "--images", images, "--objects", objects, "--out", tmp_path / "tuned",
        "--methods", f"{TOKENS},beam,farsight",
    ]  # fmt: skip


def test_the_method_that_helps_is_found_and_the_others_are_listed_with_the_reason(
    run: Any, command: list[object], tmp_path: Path
) -> None:
    with troubled(saying("A dog in the garden.")) as server:
        result = run(*command, "--base-url", server.url)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith(f"Turn on {TOKENS}: CHAIR_I 50.0 -> 0.0 % (-50.0 [-50.0, -50.0]), recall +0.0")
    assert "It says less" not in result.stdout
    assert "register_tokens: 10\n" in result.stdout
    assert parse_method(f"@{tmp_path / 'tuned' / 'method.yaml'}") == parse_method(TOKENS)
    verdict = json.loads((tmp_path / "tuned" / "verdict.json").read_text())
    assert "cannot be asked of a server" in verdict["costs"]["beam"]["refused"]
    assert verdict["costs"][TOKENS]["ratio"] > 0
    page = (tmp_path / "tuned" / "report.html").read_text()
    assert 'title="false">cat<' in page
    assert "farsight export m --registers 10" in page
    assert "<h1>Which method for m on images?</h1>" in page
    assert "# farsight tune on images\n" in (tmp_path / "tuned" / "method.yaml").read_text()
    assert '<td data-heading="method">10 register tokens</td>' in page
    assert {"to": "use it in any other engine", "command": "farsight export m --registers 10 --out MODEL"} in (
        verdict["next"]
    )
    assert verdict["answers"] == {"captions": 2 * PICTURES, "questions": 0}
    assert f"answers.jsonl ({2 * PICTURES} captions)" in result.stdout


def test_a_run_carries_the_vocabulary_of_the_drawn_world_and_asks_for_any_other(
    run: Any, command: list[object], tmp_path: Path
) -> None:
    (tmp_path / "objects.jsonl").write_text(
        "".join(json.dumps({"image_id": n, "objects": ["dog", "hydrant"]}) + "\n" for n in range(PICTURES))
    )  # a hydrant is none of COCO's objects
    words = tmp_path / "words.txt"
    words.write_text("dog\ncat\nhydrant\n")
    tuned = tmp_path / "tuned"
    with troubled(saying("A dog in the garden.")) as server:
        assert run(*command, "--base-url", server.url, "--synonyms", "scenes").exit_code == 0
        for reads in ("chair", "audit"):
            found = run(reads, tuned, "--json")
            assert found.exit_code == 0, found.stderr
            assert set(json.loads(found.stdout)["files"]) == {"greedy", TOKENS}
        again = [*command[:-4], "--out", tmp_path / "other", *command[-2:]]
        assert run(*again, "--base-url", server.url, "--synonyms", words).exit_code == 0
    refused(run("chair", tmp_path / "other"), "was scored by a vocabulary of its own; pass the same: --synonyms FILE")
    assert run("chair", tmp_path / "other", "--synonyms", words).exit_code == 0


def test_what_reads_a_run_reads_the_second_half(run: Any, command: list[object], tmp_path: Path) -> None:
    with troubled(saying("A dog in the garden.")) as server:
        assert run(*command, "--base-url", server.url).exit_code == 0
    tuned, half = tmp_path / "tuned", PICTURES // 2
    scored = json.loads(run("chair", tuned, "--json").stdout)
    assert {name: found["chair_i"] for name, found in scored["files"].items()} == {"greedy": 0.5, TOKENS: 0.0}
    assert scored["differences"][TOKENS]["chair_i"]["items"] == half
    assert set(json.loads(run("audit", tuned, "--json").stdout)["files"]) == {"greedy", TOKENS}
    assert "-50.0 [-50.0, -50.0]" in run("table", tuned).stdout
    found = read_run(tuned)
    assert (list(found.methods), len(found.items["captions"])) == (["greedy", TOKENS], half)


def test_where_nobody_won_it_is_said_that_there_is_nothing_to_read(
    run: Any, command: list[object], tmp_path: Path
) -> None:
    with troubled(saying("A dog in the garden.")) as server:
        assert run(*command, "--base-url", server.url).exit_code == 0
    with troubled(saying("A cat.")) as server:
        other = [tmp_path / "other" if one == tmp_path / "tuned" else one for one in command]
        assert run(*other, "--base-url", server.url).stdout.startswith("Nothing here beats")
    for reads in ("chair", "audit", "table"):
        refused(run(reads, tmp_path / "other"), "'farsight tune' has no winner there")


def test_another_winner_under_another_budget_is_a_second_look(run: Any, command: list[object], tmp_path: Path) -> None:
    second = "farsight(sigma=0.693147, horizon=infinite)"
    command[command.index(f"{TOKENS},beam,farsight")] = f"{TOKENS},{second}"

    def knowing(asked: dict[str, Any], _: int) -> Any:
        tokens = asked.get("chat_template_kwargs", {}).get("registers", 0)
        said = {0: "A dog and a cat.", 1: "A dog in my garden.", 10: "A dog in the garden."}[tokens]
        return answer(said, prompt=10 + tokens)

    with troubled(knowing) as server:
        first = run(*command, "--base-url", server.url)
        winner = json.loads((tmp_path / "tuned" / "verdict.json").read_text())["winner"]
        costs = json.loads((tmp_path / "tuned" / "costs.json").read_text())
        costs = {label: cost | {"ratios": [9.0 if label == winner else 1.0] * 5} for label, cost in costs.items()}
        (tmp_path / "tuned" / "costs.json").write_text(json.dumps(costs))
        again = run(*command, "--base-url", server.url, "--budget", 2)
    assert "looked at" not in first.stdout
    assert f"The second half was looked at 2 times (before for {winner})" in again.stdout


def test_words_beyond_the_guard_keep_it_off_unless_the_user_says_otherwise(
    run: Any, command: list[object], tmp_path: Path
) -> None:
    with troubled(saying("A dog.")) as server:
        kept = run(*command, "--base-url", server.url)
        freed = run(*command, "--base-url", server.url, "--guard", "words=off")
    assert kept.stdout.startswith("Nothing here beats plain decoding on your pictures: the nearest was")
    assert "clearly beyond the guard of words" in kept.stdout
    assert freed.stdout.startswith(f"Turn on {TOKENS}")
    assert "It says less (words -60.0 % [-60.0, -60.0]), which may be part of the fall." in freed.stdout


@pytest.mark.parametrize("vocabulary", [[], ["--synonyms", "coco.txt"]], ids=["nouns", "vocabulary"])
def test_pictures_of_which_nothing_is_known_are_judged_in_two_sittings(
    run: Any, command: list[object], tmp_path: Path, vocabulary: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if not vocabulary:
        pytest.importorskip("textblob", reason="pip install textblob")
    monkeypatch.chdir(tmp_path)
    Path("coco.txt").write_text("dog\ncat\ngarden\n")
    where = command.index("--objects")
    command = [*command[:where], *command[where + 2 :], *vocabulary]
    with troubled(saying("A dog in the garden.")) as server:
        first = run(*command, "--base-url", server.url)
        assert "nothing here says which method is better" in first.stdout
        judge(tmp_path / "tuned")
        second = run(*command, "--base-url", server.url)
        assert second.stdout.startswith(f"The race chose {TOKENS}. It and plain decoding were asked about 12 other")
        judge(tmp_path / "tuned")
        asked = len(server.asked)
        third = run(*command, "--base-url", server.url)
    assert third.stdout.startswith(f"Turn on {TOKENS}: CHAIR_I 50.0 -> 0.0 %"), third.stdout
    assert {prompt_of(one) for one in server.asked[asked:]} <= {"Hello"}  # nothing but how long a prompt is
    assert 'title="false">cat<' in (tmp_path / "tuned" / "report.html").read_text()


def judge(folder: Path) -> None:
    """Say of everything that was named whether it is there."""
    rows = [json.loads(line) for line in (folder / "answers.jsonl").read_text().splitlines()]
    Judgements(folder / "judgements.jsonl").append(
        Judgement(row["image_id"], name, "not there" if name == "cat" else "there", "me")
        for row in rows
        for name in ("dog", "cat", "garden")
        if name in row["text"]
    )
