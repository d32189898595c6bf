"""``farsight judge``: answers in, a page or figures out."""

from __future__ import annotations

import json
import signal
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from processes import started
from refusals import refused


@pytest.fixture
def said(tmp_path: Path) -> Path:
    rows = []
    for number in range(3):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{number}.png")
        rows.append({"image": f"{number}.png", "text": "A dog chases two cats past a fire hydrant."})
    path = tmp_path / "october.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def judgement(image: str, name: str, verdict: str, judge: str = "ann") -> str:
    return json.dumps({"image_id": image, "object": name, "verdict": verdict, "judge": judge}) + "\n"


def test_figures_of_production_come_with_one_command(run: Any, said: Path) -> None:
    (said.parent / "october.judgements.jsonl").write_text(
        "".join(judgement(f"{n}.png", "dog", "there") + judgement(f"{n}.png", "cat", "not there") for n in range(3))
    )
    result = run("judge", said, "--json", "--judge", "ann")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["pictures_left"] == 3  # the hydrant
    october = found["methods"]["october"]
    assert (october["chair_i"], october["judged"], october["mentions"]) == (0.5, 6, 9)


def test_a_month_later_only_what_is_new_is_asked_about(run: Any, said: Path, tmp_path: Path) -> None:
    photos, november = tmp_path / "photos", tmp_path / "november.jsonl"
    photos.mkdir()
    for number in range(4):
        Image.new("RGB", (8, 8)).save(photos / f"{number}.png")
    rows = [{"image": f"{number}.png", "text": "A dog chases a zebra."} for number in range(3)]
    november.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"image": "3.png", "text": "A dog."}]))
    words = {"dog": "there", "cat": "not there", "fire hydrant": "there"}
    (tmp_path / "october.judgements.jsonl").write_text(
        "".join(judgement(f"{number}.png", *word) for number in range(3) for word in words.items())
    )

    def left(*sources: Path) -> dict[str, Any]:
        result = run("judge", *sources, "--images", photos, "--json", "--judge", "ann")
        found: dict[str, Any] = json.loads(result.stdout)
        return found

    assert left(said)["pictures_left"] == 0
    both = left(said, november)
    assert both["pictures_left"] == 4  # three zebras and a picture
    assert both["methods"]["november"]["judged"] == 3  # the dogs of October
    assert both["methods"]["november"]["difference"]["items"] == 3


def test_two_files_of_judges_are_compared(run: Any, said: Path, tmp_path: Path) -> None:
    for judge, verdict in (("ann", "there"), ("bob", "not there")):
        (tmp_path / f"{judge}.jsonl").write_text(
            judgement("0.png", "dog", "there", judge) + judgement("1.png", "cat", verdict, judge)
        )
    result = run(
        "judge", said, "--json", "--judgements", tmp_path / "ann.jsonl", "--judgements", tmp_path / "bob.jsonl"
    )
    (found,) = json.loads(result.stdout)["judges"]
    assert (found["both"], found["agreed"]) == (2, 1)


def test_what_stands_for_what_is_one_file_for_all_judges_and_no_other_is_touched(
    run: Any, said: Path, tmp_path: Path
) -> None:
    (tmp_path / "synonyms.txt").write_text("cat, dog\n")  # of somebody else
    (tmp_path / "october.synonyms.txt").write_text("animal, dog, cat\n")
    (tmp_path / "bob.jsonl").write_text("".join(judgement(f"{n}.png", "dog", "there", "bob") for n in range(3)))
    found = json.loads(run("judge", said, "--json", "--judgements", tmp_path / "bob.jsonl").stdout)
    assert found["methods"]["october"]["judged"] == 6  # dogs and cats


def test_a_vocabulary_takes_the_place_of_nouns(run: Any, said: Path, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("animal, dog, cat\n")
    result = run("judge", said, "--json", "--synonyms", tmp_path / "words.txt")
    assert json.loads(result.stdout)["methods"]["october"]["mentions"] == 6


def test_a_log_that_a_kill_cut_off_anywhere_is_judged_without_its_last_line(said: Path) -> None:
    from farsight.judging.answers import read_answers

    whole = said.read_bytes()
    last = json.dumps({"image": "2.png", "text": "Ein Hund, ein Kätzchen."}, ensure_ascii=False).encode()
    for cut in range(1, len(last)):
        said.write_bytes(whole + last[:cut])
        found = read_answers([said])
        assert found.left_out == {"are cut off": 1}
        assert [len(one.answers["october"]) for one in found.pictures] == [1, 1, 1]
    said.write_bytes(whole + last)  # all but its end
    assert [len(one.answers["october"]) for one in read_answers([said]).pictures] == [1, 1, 2]


def test_a_bad_line_in_the_middle_is_refused(run: Any, said: Path) -> None:
    said.write_text('{"image": "0.png", "te\n' + said.read_text())
    refused(run("judge", said, "--json"), "october.jsonl:1: is not a JSON object on one line")


@pytest.mark.parametrize(
    ("more", "because"),
    [
        (["--json", "--port", "1"], "--port is of no use"),
        (["--judge", ""], "--judge is a name"),
        (["--images", "nowhere"], "nowhere: no such folder"),
        (["--port", "99999"], "--port 99999 is no port"),
        (["--host", " "], "--host is empty"),
    ],
    ids=["unused", "judge", "images", "port", "host"],
)
def test_what_is_wrong_is_said_in_one_line(run: Any, said: Path, more: list[str], because: str) -> None:
    refused(run("judge", said, *more), because)


def test_answers_that_name_nothing_are_refused(run: Any, said: Path, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("zebra\n")
    refused(run("judge", said, "--json", "--synonyms", tmp_path / "words.txt"), "no answer names anything")


def test_the_page_is_there_until_it_is_ended_and_verdicts_stay(said: Path) -> None:
    command = ["judge", said, "--port", "0", "--no-open", "--judge", "ann"]
    with started(*command) as process:
        assert process.stdout is not None
        address = process.stdout.readline().partition(" at ")[2].split()[0]
        body = json.dumps({"picture": 1, "object": "dog", "verdict": "there"}).encode()
        request = urllib.request.Request(f"{address}/judge", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as given:
            assert json.load(given) == {"left": 3}
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 128 + signal.SIGTERM
    assert '"verdict": "there"' in (said.parent / "october.judgements.jsonl").read_text()
