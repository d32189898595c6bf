"""``farsight pope`` and ``farsight pope-questions`` as they are called."""

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from refusals import refused


def saved(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def cells(output: str) -> list[list[str]]:
    """The rows of all tables."""
    return [line.split() for line in output.splitlines() if line.strip() and "─" not in line]


LABELS = ["yes", "no", "yes", "no", "yes", "no"]


@pytest.fixture
def questions(tmp_path: Path) -> dict[str, Path]:
    """Six questions about three pictures in each of three splits."""
    return {
        split: saved(
            tmp_path / f"pope_{split}.jsonl",
            (
                {"question_id": number, "image": f"{number // 2}.jpg", "text": f"Is there a {split}?", "label": label}
                for number, label in enumerate(LABELS)
            ),
        )
        for split in ("random", "popular", "adversarial")
    }


def answered(path: Path, words: str) -> Path:
    """Answers y, n or ? to the questions, one letter each."""
    said = {"y": "Yes.", "n": "No.", "?": "Nope"}
    return saved(path, ({"question_id": number, "answer": said[word]} for number, word in enumerate(words)))


def test_one_file_of_answers_gives_one_row_of_figures(run: Any, tmp_path: Path, questions: dict[str, Path]) -> None:
    result = run("pope", answered(tmp_path / "plain.jsonl", "ynyyny"), "--questions", questions["random"])
    assert (result.exit_code, result.stderr) == (0, "")
    head, row = cells(result.stdout)
    assert " ".join(head) == "answers accuracy precision recall F1 yes ratio TP FP TN FN questions"
    assert row == ["plain", "50.0", "50.0", "66.7", "57.1", "66.7", "2", "2", "1", "1", "6"]


def test_the_strict_rule_counts_what_is_unanswered(run: Any, tmp_path: Path, questions: dict[str, Path]) -> None:
    answers = answered(tmp_path / "plain.jsonl", "ynyyn?")
    result = run("pope", answers, "--questions", questions["random"], "--strict")
    assert cells(result.stdout)[1] == ["plain", "66.7", "66.7", "66.7", "66.7", "50.0", "2", "1", "2", "1", "6", "0"]
    saved(answers, ({"question_id": number, "answer": "Perhaps."} for number in range(6)))
    result = run("pope", answers, "--questions", questions["random"], "--strict", "--json")
    found = json.loads(result.stdout)
    assert found["rule"] == "strict"
    assert found["methods"]["plain"][0]["unanswered"] == 6


def test_splits_come_in_one_table_with_their_mean(run: Any, tmp_path: Path, questions: dict[str, Path]) -> None:
    answers = [answered(tmp_path / f"plain_{split}.jsonl", words) for split, words in SPLITS.items()]
    result = run("pope", *answers, *asked(questions))
    title, _, *rows = cells(result.stdout)
    assert (result.exit_code, title) == (0, ["plain"])
    assert [row[:2] for row in rows] == [
        ["pope_random", "100.0"],
        ["pope_popular", "50.0"],
        ["pope_adversarial", "66.7"],
        ["mean", "72.2"],
    ]
    assert len(rows[3]) == 6


SPLITS = {"random": "ynynyn", "popular": "nnnnnn", "adversarial": "ynynny"}


def asked(questions: dict[str, Path]) -> list[Any]:
    return [part for path in questions.values() for part in ("--questions", path)]


def test_methods_are_compared_with_the_first_and_never_without_an_interval(
    run: Any, tmp_path: Path, questions: dict[str, Path]
) -> None:
    plain = answered(tmp_path / "plain.jsonl", "yyyynn")
    other, third = answered(tmp_path / "other.jsonl", "ynynnn"), answered(tmp_path / "third.jsonl", "nnnnnn")
    result = run("pope", plain, other, third, "--questions", questions["random"])
    assert result.exit_code == 0
    assert "percentage points, with 95 % intervals" in result.stderr
    rows = cells(result.stdout)
    assert [row[0] for row in rows[1:4]] == ["plain", "other", "third"]
    assert rows[4] == ["minus", "plain", "other", "third"]
    accuracy = " ".join(rows[5])
    assert accuracy.startswith("accuracy +33.3 [+0.0, +50.0] p ")
    assert accuracy.count("[") == accuracy.count("]") == accuracy.count("p ") == 2
    assert ["right", "where", "plain", "is", "wrong", "2", "2"] in rows
    assert ["wrong", "where", "plain", "is", "right", "0", "2"] in rows
    assert ["McNemar's", "test", "p", "0.500", "p", "1.000"] in rows


def test_every_method_and_split_is_in_the_json(run: Any, tmp_path: Path, questions: dict[str, Path]) -> None:
    answers = [
        answered(tmp_path / method / f"{split}.jsonl", words)
        for method in ("plain", "farsight")
        for split, words in SPLITS.items()
    ]
    result = run("pope", *answers, *asked(questions), "--json", "--seed", 1)
    assert (result.exit_code, result.stderr) == (0, "")
    found = json.loads(result.stdout)
    assert (found["rule"], found["baseline"]) == ("official", "plain")
    assert list(found["methods"]) == ["plain", "farsight"]
    assert [row["split"] for row in found["methods"]["farsight"]] == [
        *(path.stem for path in questions.values()),
        "mean",
    ]
    assert list(found["comparisons"]) == ["farsight"]
    for one in found["comparisons"]["farsight"].values():
        assert (
            one["differences"]["f1"] | {"difference": 0.0, "low": 0.0, "high": 0.0, "p": 1.0}
            == (one["differences"]["f1"])
        )
        assert one["mcnemar"] == {"only_baseline_right": 0, "only_other_right": 0, "p": 1.0, "items": 6}


def test_details_have_a_row_for_each_method_and_question(run: Any, tmp_path: Path, questions: dict[str, Path]) -> None:
    answers = [answered(tmp_path / f"{name}.jsonl", "ynynn?") for name in ("plain", "other")]
    details = tmp_path / "details.jsonl"
    details.write_text("old")
    result = run("pope", *answers, "--questions", questions["random"], "--details", details)
    assert result.exit_code == 0
    rows = [json.loads(line) for line in details.read_text().splitlines()]
    assert [(row["method"], row["question_id"]) for row in rows] == [
        (method, str(number)) for method in ("plain", "other") for number in range(6)
    ]
    assert rows[5] == {
        "method": "plain", "split": "pope_random", "question_id": "5", "image": "2.jpg", "text": "Is there a random?",
        "label": "no", "answer": "Nope", "said": "yes", "right": False,
    }  # fmt: skip
    assert not list(tmp_path.glob(".*"))


def test_real_answers_score_as_the_official_script_has_them(run: Any, shared_data: Path) -> None:
    folder = shared_data / "pope"
    splits = ("random", "popular", "adversarial")
    result = run(
        "pope",
        *(folder / f"answers_coco_{split}.jsonl" for split in splits),
        *(part for split in splits for part in ("--questions", folder / f"coco_pope_{split}.jsonl")),
        "--json",
    )
    expected = json.loads((folder / "expected.json").read_text())
    *rows, mean = json.loads(result.stdout)["methods"]["answers_coco"]
    for split, row in zip(splits, rows, strict=True):
        assert row["split"] == f"coco_pope_{split}"
        assert row | expected[f"coco_{split}"] == row
    assert mean["f1"] == pytest.approx(sum(one["f1"] for one in expected.values()) / 3)


def test_bad_answers_are_refused_or_counted(run: Any, tmp_path: Path, questions: dict[str, Path]) -> None:
    answers = answered(tmp_path / "plain.jsonl", "ynyn")
    refused(
        run("pope", answers, *asked(questions)[:2]), "2 of 6 questions have no answer", "question_id 4", "--skip-bad"
    )
    result = run("pope", answers, *asked(questions)[:2], "--skip-bad")
    assert result.exit_code == 0
    assert "plain, pope_random: 2 bad rows left out; the first: " in result.stderr
    assert cells(result.stdout)[1][-1] == "4"


def test_swapped_files_are_told_apart(run: Any, tmp_path: Path, questions: dict[str, Path]) -> None:
    answers = answered(tmp_path / "plain.jsonl", "ynynyn")
    refused(run("pope", questions["random"], "--questions", answers), f"{answers}:1", "is an answer, not a question")
    copy = saved(tmp_path / "copy.jsonl", map(json.loads, questions["random"].read_text().splitlines()))
    refused(run("pope", copy, "--questions", questions["random"]), f"{copy}:1", "is a question, not an answer")


def test_a_number_of_files_that_does_not_go_up_is_refused(run: Any, tmp_path: Path, questions: dict[str, Path]) -> None:
    answers = [answered(tmp_path / f"{number}.jsonl", "ynynyn") for number in range(4)]
    refused(run("pope", *answers, *asked(questions)), "4 files of answers do not go with 3 files of questions")
    refused(run("pope", answers[0], *asked(questions)), "1 files of answers do not go with 3 files of questions")
    refused(run("pope", answers[0], answers[0], *asked(questions)[:2]), "is given twice among the answers")
    refused(run("pope", *answers[:2], *asked(questions)[:2], *asked(questions)[:2]), "twice among the questions")
    refused(run("pope", answers[0]), "Missing option '--questions'")
    refused(run("pope", "--questions", questions["random"]), "Missing argument")


def test_answers_to_another_split_by_their_name_are_refused(
    run: Any, tmp_path: Path, questions: dict[str, Path]
) -> None:
    answers = [answered(tmp_path / f"plain_{split}.jsonl", words) for split, words in SPLITS.items()]
    mixed_up = run("pope", answers[1], answers[0], answers[2], *asked(questions))
    refused(mixed_up, "plain_popular.jsonl", "pope_random.jsonl", "another split by its name")
    neutral = answered(tmp_path / "plain.jsonl", "ynynyn")
    assert run("pope", neutral, "--questions", questions["popular"]).exit_code == 0


def test_details_never_overwrite_what_is_read(run: Any, tmp_path: Path, questions: dict[str, Path]) -> None:
    answers = answered(tmp_path / "plain.jsonl", "ynynyn")
    before = answers.read_text()
    refused(
        run("pope", answers, *asked(questions)[:2], "--details", answers), "would be overwritten although it is read"
    )
    assert answers.read_text() == before
    missing = tmp_path / "gone" / "details.jsonl"
    refused(run("pope", answers, *asked(questions)[:2], "--details", missing), "there is no folder", "create it first")


def test_methods_with_one_picture_in_common_are_scored_and_not_compared(run: Any, tmp_path: Path) -> None:
    row = {"question_id": 1, "image": "a.jpg", "text": "Is there a cat?", "label": "yes"}
    asked_once = saved(tmp_path / "q.jsonl", [row])
    answers = [saved(tmp_path / f"{name}.jsonl", [{"question_id": 1, "answer": "Yes"}]) for name in "ab"]
    result = run("pope", *answers, "--questions", asked_once)
    assert result.exit_code == 0
    assert [line[:2] for line in cells(result.stdout)[1:]] == [["a", "100.0"], ["b", "100.0"]]
    assert "b, q: no differences and no intervals, as the methods have answered questions about 1 pictures" in (
        result.stderr
    )
    found = json.loads(run("pope", *answers, "--questions", asked_once, "--json").stdout)
    assert (found["comparisons"], list(found["not_compared"])) == ({"b": {}}, ["b, q"])


def test_on_two_pictures_the_bootstrap_claims_no_more_than_the_exact_test(run: Any, tmp_path: Path) -> None:
    rows = [{"question_id": one, "image": f"{one}.jpg", "text": "Is there a cat?", "label": "yes"} for one in (1, 2)]
    questions = saved(tmp_path / "q.jsonl", rows)
    wrong, right = (
        saved(tmp_path / f"{word}.jsonl", ({"question_id": one, "answer": word} for one in (1, 2)))
        for word in ("No", "Yes")
    )
    found = json.loads(run("pope", wrong, right, "--questions", questions, "--json").stdout)["comparisons"]["Yes"]["q"]
    assert found["differences"]["accuracy"]["p"] == found["mcnemar"]["p"] == 0.5


def test_answers_that_the_official_rule_may_misread_are_counted(
    run: Any, tmp_path: Path, questions: dict[str, Path]
) -> None:
    said = ["Yes, there is.", "**No**", "NO", "no", "There is no dog", "Nope"]
    answers = saved(tmp_path / "plain.jsonl", ({"question_id": n, "answer": text} for n, text in enumerate(said)))
    result = run("pope", answers, "--questions", questions["random"])
    assert cells(result.stdout)[1][6:10] == ["2", "2", "1", "1"]
    assert result.stderr == (
        'plain, pope_random: 4 of 6 answers begin neither with Yes nor with No (the first: "**No**"); by the official '
        "rule 3 of them count as yes. --strict reads them by their words\n"
    )
    strict = run("pope", answers, "--questions", questions["random"], "--strict", "--json")
    assert strict.stderr == ""
    [row] = json.loads(strict.stdout)["methods"]["plain"]
    assert (row["unclear"], row["tp"], row["tn"], row["fn"]) == (4, 1, 3, 2)


def relabeled(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Four of six questions, the last of them with the other label, as RePOPE has them."""
    return saved(path, (row | {"label": "yes"} if row["question_id"] == 3 else row for row in rows[:4]))


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_relabeled_questions_are_shown_beside_those_that_they_replace(
    run: Any, tmp_path: Path, questions: dict[str, Path]
) -> None:
    again = relabeled(tmp_path / "repope_random.jsonl", rows_of(questions["random"]))
    answers = answered(tmp_path / "plain.jsonl", "ynyyny")
    both = ("pope", answers, "--questions", questions["random"], "--relabeled", again)
    result = run(*both)
    assert result.exit_code == 0, result.stderr
    title, _, *rows = cells(result.stdout)
    assert title == ["plain"]
    assert rows == [
        ["pope_random", "50.0", "50.0", "66.7", "57.1", "66.7", "2", "2", "1", "1", "6"],
        ["repope_random", "100.0", "100.0", "100.0", "100.0", "75.0", "3", "0", "1", "0", "4"],
    ]
    assert result.stderr.splitlines() == [
        "plain, repope_random: 2 answers left out, as their questions are not asked there",
        "repope_random: 4 of the 6 questions of pope_random, 1 with another label",
    ]
    found = json.loads(run(*both, "--json").stdout)["methods"]["plain"]
    assert [(row["split"], row["questions"], row["not_asked"], row["skipped"]) for row in found] == [
        ("pope_random", 6, 0, 0),
        ("repope_random", 4, 2, 0),
    ]


def test_relabeled_splits_have_a_mean_of_their_own_and_are_compared_too(
    run: Any, tmp_path: Path, questions: dict[str, Path]
) -> None:
    again = [relabeled(tmp_path / f"re{path.name}", rows_of(path)) for path in questions.values()]
    methods = [
        answered(tmp_path / method / f"{split}.jsonl", words)
        for method in ("plain", "farsight")
        for split, words in SPLITS.items()
    ]
    options = [part for path in again for part in ("--relabeled", path)]
    found = json.loads(run("pope", *methods, *asked(questions), *options, "--json").stdout)
    names = [f"{pre}pope_{split}" for pre in ("", "re") for split in SPLITS]
    assert [row["split"] for row in found["methods"]["plain"]] == [*names[:3], "mean", *names[3:], "mean, relabeled"]
    assert list(found["comparisons"]["farsight"]) == names
    mean = found["methods"]["plain"][-1]["accuracy"]
    assert mean == pytest.approx(sum(row["accuracy"] for row in found["methods"]["plain"][4:7]) / 3)


def test_relabeled_questions_must_be_the_same_questions(run: Any, tmp_path: Path, questions: dict[str, Path]) -> None:
    answers = answered(tmp_path / "plain.jsonl", "ynynyn")
    other = saved(tmp_path / "re.jsonl", (row | {"text": "Is there a bus?"} for row in rows_of(questions["random"])))
    one = ("pope", answers, "--questions", questions["random"], "--relabeled")
    refused(run(*one, other), "question_id 0 of re", "Is there a bus?", "Is there a random?")
    refused(run(*one, questions["random"]), "given twice among the questions")
    refused(run(*one, other, "--relabeled", answers), "2 files of --relabeled do not go with 1 of --questions")


OBJECTS = [
    {"image_id": 7, "objects": ["cat", "sofa", "umbrella"]},
    {"image_id": 11, "objects": ["cat", "dog"]},
    {"image_id": 12, "objects": []},
]


def test_questions_are_written_in_three_files_and_counted(run: Any, tmp_path: Path) -> None:
    objects, out = saved(tmp_path / "objects.jsonl", OBJECTS), tmp_path / "new" / "questions"
    result = run("pope-questions", objects, "--out", out, "--image-template", "COCO_{:0>4}.jpg")
    assert (result.exit_code, result.stderr) == (0, "")
    files = [out / f"pope_{kind}.jsonl" for kind in ("random", "popular", "adversarial")]
    assert sorted(out.iterdir()) == sorted(files)
    assert result.stdout.splitlines() == [
        f"wrote {', '.join(map(str, files))}",
        "6 questions in each, half of them with the answer yes, about 2 images",
        "2 images have fewer than 3 pairs, as too few objects are there or missing",
        "1 images are left out, as no object is there or none is missing (first: 12)",
    ]
    for path in files:
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        assert [row["question_id"] for row in rows] == [1, 2, 3, 4, 5, 6]
        assert [row["image"] for row in rows] == ["COCO_0007.jpg"] * 2 + ["COCO_0011.jpg"] * 4
        assert rows[1] | {"text": "Is there a dog in the image?", "label": "no"} == rows[1]


def test_the_counts_of_questions_are_there_as_json(run: Any, tmp_path: Path) -> None:
    objects = saved(tmp_path / "objects.jsonl", [*OBJECTS, {"image_id": 13}])
    result = run("pope-questions", objects, "--out", tmp_path, "--per-image", 1, "--seed", 5, "--json", "--skip-bad")
    assert "1 bad rows left out; the first: " in result.stderr
    found = json.loads(result.stdout)
    assert found.pop("files")["popular"] == str(tmp_path / "pope_popular.jsonl")
    assert found == {
        "images": 2, "questions": 4, "per_image": 1, "images_with_fewer": 0, "images_with_nothing_to_ask": 1,
        "skipped": 1, "seed": 5,
    }  # fmt: skip


def test_questions_that_were_made_can_be_scored(run: Any, tmp_path: Path) -> None:
    objects = saved(tmp_path / "objects.jsonl", OBJECTS)
    assert run("pope-questions", objects, "--out", tmp_path).exit_code == 0
    right = ({"question_id": number, "answer": "Yes" if number % 2 else "No"} for number in range(1, 7))
    answers = saved(tmp_path / "perfect.jsonl", right)
    result = run("pope", answers, "--questions", tmp_path / "pope_adversarial.jsonl")
    assert cells(result.stdout)[1] == ["perfect", *["100.0"] * 4, "50.0", "3", "0", "3", "0", "6"]


@pytest.mark.parametrize(
    ("args", "because"),
    [
        (["--per-image", "0"], "per_image must be at least 1 pair of questions, got 0"),
        (["--image-template", "{.__class__}"], "image template '{.__class__}' makes no file name"),
        (["--seed", "x"], "'--seed'"),
    ],
)
def test_bad_settings_of_questions_are_one_line(run: Any, tmp_path: Path, args: list[str], because: str) -> None:
    objects = saved(tmp_path / "objects.jsonl", OBJECTS)
    refused(run("pope-questions", objects, "--out", tmp_path / "out", *args), because)
    assert not (tmp_path / "out").exists()


def test_a_file_where_the_folder_should_be_is_refused(run: Any, tmp_path: Path) -> None:
    objects = saved(tmp_path / "objects.jsonl", OBJECTS)
    refused(run("pope-questions", objects, "--out", objects), str(objects), "folder")
    assert objects.read_text().count("\n") == 3


def test_help_does_not_wait_for_scipy() -> None:
    script = (
        "import sys; sys.argv = ['farsight', '--help']\n"
        "from farsight.cli import main\n"
        "try: main()\n"
        "finally: print(sorted({'scipy', 'numpy', 'farsight.metrics.pope'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines()[-1] == "[]"
