"""``farsight amber`` as it is called."""

import json
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from refusals import refused

QUESTIONS = [("discriminative-attribute-state", "no"), ("discriminative-attribute-state", "yes"), ("relation", "no")]
"""Asked about each of four pictures."""


def saved(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def lines(path: Path, responses: dict[int, str]) -> Path:
    return saved(path, "".join(json.dumps({"id": one, "response": text}) + "\n" for one, text in responses.items()))


def cells(output: str) -> list[list[str]]:
    """The rows of all tables."""
    return [line.split() for line in output.splitlines() if line.strip() and "─" not in line]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Four pictures of a road, with a dog to be expected, and three questions about each."""
    folder = tmp_path / "data"
    asked = [(1005 + number, *QUESTIONS[number % 3], number // 3 + 1) for number in range(12)]
    saved(
        folder / "annotations.json",
        [{"id": one, "type": "generative", "truth": ["road", "tree"], "hallu": ["dog"]} for one in range(1, 5)]
        + [{"id": number, "type": kind, "truth": truth} for number, kind, truth, _ in asked],
    )
    saved(folder / "relation.json", {"road": ["path"], "tree": ["forest"], "dog": [], "puppy": [], "street": []})
    saved(folder / "safe_words.txt", "sign\nindividual")
    saved(
        folder / "query" / "query_discriminative.json",
        [{"id": number, "image": f"AMBER_{picture}.jpg", "query": "?"} for number, _, _, picture in asked],
    )
    return folder


def answers(words: Iterable[str]) -> dict[int, str]:
    return dict(enumerate(words, start=1005))


RIGHT = answers(["No", "Yes", "No"] * 4)
TRUE = dict.fromkeys(range(1, 5), "a road and trees")
FALSE = {1: "a road and a dog", 2: "a street", 3: "a path", 4: "a tree, a tree and a dog"}


def test_both_parts_of_a_file_give_a_row_of_figures_and_a_row_for_each_group(
    run: Any, tmp_path: Path, data: Path
) -> None:
    path = lines(tmp_path / "plain.jsonl", FALSE | RIGHT | {1005: "Yes", 1007: "Yes"})
    result = run("amber", path, "--data", data)
    assert (result.exit_code, result.stderr) == (0, "")
    assert cells(result.stdout) == [
        ["responses", "AMBER", "CHAIR", "Cover", "Hal", "Cog", "accuracy", "precision", "recall", "F1"],
        ["plain", "71.4", "42.9", "37.5", "75.0", "50.0", "83.3", "100.0", "75.0", "85.7"],
        ["plain"],
        ["questions", "about", "n", "accuracy", "precision", "recall", "F1"],
        ["attribute", "8", "87.5", "100.0", "75.0", "85.7"],
        ["state", "8", "87.5", "100.0", "75.0", "85.7"],
        ["relation", "4", "75.0", "100.0", "75.0", "85.7"],
    ]


def test_a_part_alone_is_scored_and_what_is_missing_is_said(run: Any, tmp_path: Path, data: Path) -> None:
    result = run("amber", lines(tmp_path / "plain.jsonl", {1: "a dog", 2: "a tree"}), "--data", data)
    assert result.exit_code == 0
    assert cells(result.stdout) == [
        ["responses", "CHAIR", "Cover", "Hal", "Cog"],
        ["plain", "50.0", "25.0", "50.0", "50.0"],
    ]
    assert result.stderr == "plain: 2 of 4 pictures are described and 0 of 12 questions answered\n"
    result = run("amber", lines(tmp_path / "plain.jsonl", RIGHT), "--data", data)
    assert cells(result.stdout)[:2] == [
        ["responses", "accuracy", "precision", "recall", "F1"],
        ["plain", "100.0", "100.0", "100.0", "100.0"],
    ]
    assert result.stderr == "plain: 0 of 4 pictures are described and 12 of 12 questions answered\n"


def test_free_text_is_wrong_by_the_official_rule_which_is_said_and_read_leniently(
    run: Any, tmp_path: Path, data: Path
) -> None:
    path = lines(tmp_path / "plain.jsonl", TRUE | answers(f"{text}, sure." for text in RIGHT.values()))
    result = run("amber", path, "--data", data)
    assert cells(result.stdout)[1][6] == "0.0"
    assert result.stderr == (
        "plain: 12 answers are not exactly 'Yes' or 'No' and count as wrong, as in AMBER's script; "
        "--lenient reads them\n"
    )
    result = run("amber", path, "--data", data, "--lenient")
    assert (cells(result.stdout)[1][6], result.stderr) == ("100.0", "")
    lines(path, TRUE | RIGHT | {1005: "Perhaps"})
    result = run("amber", path, "--data", data, "--lenient", "--json")
    assert result.stderr == "plain: 1 answers say neither yes nor no and count as wrong\n"
    assert json.loads(result.stdout)["rule"] == "lenient"


def test_word_vectors_acquit_similar_words(run: Any, tmp_path: Path, data: Path) -> None:
    path = lines(tmp_path / "plain.jsonl", {1: "a street and a puppy"})
    vectors = saved(tmp_path / "v.txt", "street 1 0 0\nroad 0.9 0.1 0\ndog 0 1 0\npuppy 0 0.9 0.1\n")
    plain = json.loads(run("amber", path, "--data", data, "--json").stdout)
    result = run("amber", path, "--data", data, "--json", "--vectors", vectors)
    assert result.stderr.splitlines()[0] == f"{vectors} has vectors for 4 of AMBER's 7 words"
    record = json.loads(result.stdout)
    assert (plain["vectors"], record["vectors"]) == (None, str(vectors))
    without, having = (one["files"]["plain"]["generative"]["counts"] for one in (plain, record))
    assert without == {"chair": [2, 2], "cover": [0, 2], "hal": [1, 1], "cog": [0, 1]}
    assert having == {"chair": [1, 2], "cover": [1, 2], "hal": [1, 1], "cog": [1, 1]}


def test_several_files_are_compared_with_the_first_on_what_both_have(run: Any, tmp_path: Path, data: Path) -> None:
    first = lines(tmp_path / "plain.jsonl", FALSE | RIGHT | {1005: "Yes"})
    second = saved(
        tmp_path / "better.json", [{"id": one, "response": text} for one, text in (TRUE | RIGHT).items() if one != 2]
    )
    result = run("amber", first, second, "--data", data)
    assert result.exit_code == 0
    figures = re.findall(r"(\w[\w ]*?) +([-+][\d.]+) \[[-+][\d.]+, [-+][\d.]+\] p (?:[\d.]+|< 0.001)", result.stdout)
    found = {name.strip(): value for name, value in figures}
    assert found["CHAIR"] == "-33.33"  # of the three pictures that both describe: 2 of 6 nouns
    assert found["Cover"] == "+50.00"
    assert found["accuracy"] == "+8.33"
    assert set(found) >= {"AMBER", "Hal", "Cog", "precision", "recall", "F1", "F1 state", "accuracy relation"}
    tail = [row for row in cells(result.stdout) if row[0] in ("right", "wrong", "descriptions", "answers")]
    assert tail == [
        ["right", "where", "plain", "is", "wrong", "1"],
        ["wrong", "where", "plain", "is", "right", "0"],
        ["descriptions", "of", "both", "3"],
        ["answers", "of", "both", "12"],
    ]
    assert "paired bootstrap over pictures" in result.stderr


def test_json_has_the_figures_the_counts_and_the_differences(run: Any, tmp_path: Path, data: Path) -> None:
    first, second = (lines(tmp_path / f"{name}.jsonl", said | RIGHT) for name, said in (("a", FALSE), ("b", TRUE)))
    record = json.loads(run("amber", first, second, "--data", data, "--json").stdout)
    assert (record["baseline"], record["rule"], list(record["files"])) == ("a", "official", ["a", "b"])
    assert record["files"]["a"]["generative"]["counts"]["chair"] == [3, 7]
    assert record["files"]["a"]["discriminative"]["groups"]["relation"]["counts"]["recall"] == [4, 4]
    assert record["files"]["a"]["missing"] == {"generative": 0, "discriminative": 0}
    chair = record["comparisons"]["b"]["differences"]["chair"]
    assert chair["difference"] == pytest.approx(-300 / 7)
    assert chair["low"] <= chair["difference"] <= chair["high"]
    assert record["comparisons"]["b"]["mcnemar"] == {
        "only_baseline_right": 0, "only_other_right": 0, "p": 1.0, "items": 12
    }  # fmt: skip


def test_the_seed_decides_the_interval(run: Any, tmp_path: Path, data: Path) -> None:
    better_and_worse = TRUE | {2: "a street, a street and a dog"}
    first, second = (lines(tmp_path / f"{name}.jsonl", said) for name, said in (("a", FALSE), ("b", better_and_worse)))
    one, same, other = (
        json.loads(run("amber", first, second, "--data", data, "--json", "--seed", seed).stdout)["comparisons"]
        for seed in (1, 1, 2)
    )
    assert one == same
    assert one["b"]["differences"]["chair"]["p"] != other["b"]["differences"]["chair"]["p"]


def test_details_say_what_is_false_and_where(run: Any, tmp_path: Path, data: Path) -> None:
    path = lines(tmp_path / "plain.jsonl", FALSE | {1005: "Yes"})
    assert run("amber", path, "--data", data, "--details", tmp_path / "out.jsonl").exit_code == 0
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [(row["file"], row["id"]) for row in rows] == [("plain", one) for one in (1, 2, 3, 4, 1005)]
    assert (rows[0]["hallucinated"], rows[0]["missed"], rows[0]["cog"]) == (["dog"], ["tree"], ["dog"])
    [false] = [noun for noun in rows[0]["nouns"] if noun["hallucinated"]]
    assert rows[0]["response"][false["start"] : false["end"]] == "dog"
    assert (rows[4]["said"], rows[4]["truth"], rows[4]["right"]) == ("yes", "no", False)


def test_bad_rows_are_left_out_and_counted_when_asked(run: Any, tmp_path: Path, data: Path) -> None:
    path = lines(tmp_path / "plain.jsonl", TRUE | RIGHT | {99999: "No"})
    refused(run("amber", path, "--data", data), "plain.jsonl:17: id 99999 is not among the 16 ids of AMBER")
    result = run("amber", path, "--data", data, "--skip-bad")
    assert result.exit_code == 0
    assert result.stderr.startswith("plain: 1 bad rows left out; the first: ")


def test_what_cannot_be_read_or_written_is_one_line(run: Any, tmp_path: Path, data: Path) -> None:
    path = lines(tmp_path / "plain.jsonl", TRUE)
    answered = lines(tmp_path / "answers.jsonl", RIGHT)
    other = lines(tmp_path / "other.jsonl", RIGHT)
    refused(run("amber", path), "Missing option '--data'")
    refused(run("amber", path, "--data", tmp_path), "cannot be read", "give the folder 'data' of the AMBER repository")
    refused(run("amber", tmp_path / "gone.json", "--data", data), "gone.json: cannot be read")
    refused(run("amber", path, path, "--data", data), "the same file is given twice")
    refused(run("amber", path, "--data", data, "--details", path), "would be overwritten although it is read")
    refused(run("amber", path, "--data", data, "--vectors", tmp_path / "gone.txt"), "gone.txt: cannot be read")
    refused(run("amber", path, "--data", data, "--vectors", path), "plain.jsonl:1: is not a word and")
    (data / "query" / "query_discriminative.json").unlink()
    refused(run("amber", answered, other, "--data", data, "--json"), "has no query_all.json")


def test_details_that_cannot_be_written_are_one_line(run: Any, tmp_path: Path, data: Path) -> None:
    path = lines(tmp_path / "plain.jsonl", TRUE | RIGHT)
    refused(run("amber", path, "--data", data, "--details", tmp_path / "no" / "out.jsonl"), "cannot be written")


def test_files_without_an_item_in_common_are_scored_and_not_compared(run: Any, tmp_path: Path, data: Path) -> None:
    described, answered = lines(tmp_path / "a.jsonl", TRUE), lines(tmp_path / "b.jsonl", RIGHT)
    result = run("amber", described, answered, "--data", data, "--json")
    assert result.exit_code == 0
    record = json.loads(result.stdout)
    assert list(record["files"]) == ["a", "b"]
    assert record["comparisons"] == {}
    assert "fewer than 2 pictures in common" in record["not_compared"]["b"]
    assert "b: no differences and no intervals, as the responses have fewer than 2 pictures" in result.stderr


def test_one_file_is_scored_without_pytorch_and_scipy(tmp_path: Path, data: Path) -> None:
    path = lines(tmp_path / "plain.jsonl", TRUE)
    script = (
        f"import sys; sys.argv = ['farsight', 'amber', {str(path)!r}, '--data', {str(data)!r}]\n"
        "from farsight.cli import main\n"
        "try: main()\n"
        "finally: print(sorted({'torch', 'transformers', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_model_that_names_what_is_there_is_faultless_on_the_real_benchmark(
    run: Any, tmp_path: Path, shared_data: Path
) -> None:
    annotations = json.loads((shared_data / "amber" / "annotations.json").read_text())
    responses = [
        {"id": one["id"], "response": ", ".join(one["truth"]) if "hallu" in one else one["truth"].title()}
        for one in annotations
    ]
    result = run("amber", saved(tmp_path / "oracle.json", responses), "--data", shared_data / "amber")
    assert (result.exit_code, result.stderr) == (0, "")
    assert cells(result.stdout)[1] == ["oracle", "100.0", "0.0", "93.2", "0.0", "0.0", *["100.0"] * 4]
