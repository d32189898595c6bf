"""POPE: answers in free text to questions of yes or no."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farsight.errors import InputError
from farsight.metrics.pope.answers import begins_clearly, read_official, read_strict
from farsight.metrics.pope.comparison import compare
from farsight.metrics.pope.scoring import PopeScore, score, table

SPLITS = ("random", "popular", "adversarial")


def asked(number: int, label: str = "yes", image: str | None = None) -> dict[str, Any]:
    image = image or f"{number}.jpg"
    return {"question_id": number, "image": image, "text": f"Is there object {number} in the image?", "label": label}


def said(number: int, answer: str) -> dict[str, Any]:
    return {"question_id": number, "answer": answer}


def saved(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


# The rules ------------------------------------------------------------------------------------------------------------


def by_the_book(text: str) -> str:
    """The official rule once more, character by character."""
    first_sentence = ""
    for character in text:
        if character == ".":
            break
        if character != ",":
            first_sentence += character
    padded = f" {first_sentence} "
    return "no" if any(f" {word} " in padded for word in ("No", "not", "no")) else "yes"


PIECES = st.sampled_from(
    ["No", "no", "not", "NO", "None", "Yes", "cannot", "know", " ", "  ", ",", ".", "!", "\n", "'"]
)


@given(st.one_of(st.text(), st.lists(PIECES, max_size=12).map("".join)))
def test_the_official_rule_is_read_to_the_letter(answer: str) -> None:
    assert read_official(answer) == by_the_book(answer)


@pytest.mark.parametrize(
    ("answer", "official", "strict"),
    [
        ("Yes", "yes", "yes"),
        ("yes, there is a dog in the image.", "yes", "yes"),
        ("YES!", "yes", "yes"),
        ("No.", "no", "no"),
        ("No, there is no dog.", "no", "no"),
        ("n,o", "no", "unanswered"),
        ("There is no dog", "no", "no"),
        ("I do not see it", "no", "no"),
        ("Yes. No doubt about it.", "yes", "yes"),
        ("Certainly. There is no dog.", "yes", "unanswered"),
        ("A dog, not far from the door", "no", "no"),
        ("Yes, no doubt about it", "no", "unanswered"),
        ("NO", "yes", "no"),
        ("none", "yes", "no"),
        ("Nope", "yes", "no"),
        ("No!", "yes", "no"),
        ("no\n", "yes", "no"),
        ("No\tdog", "yes", "no"),
        ("It isn't there", "yes", "no"),
        ("It isn’t there", "yes", "no"),
        ("I cannot see one", "yes", "no"),
        ("**Yes**", "yes", "yes"),
        ("\n Yes\nNo other animals", "yes", "yes"),
        ("yesterday", "yes", "unanswered"),
        ("I know", "yes", "unanswered"),
        ("There is a dog.", "yes", "unanswered"),
        ("", "yes", "unanswered"),
        ("...", "yes", "unanswered"),
    ],
)  # fmt: skip
def test_the_two_rules_read_an_answer(answer: str, official: str, strict: str) -> None:
    assert (read_official(answer), read_strict(answer)) == (official, strict)


@given(st.text())
def test_upper_and_lower_case_are_the_same_to_the_strict_rule_in_plain_letters(answer: str) -> None:
    answer = answer.encode("ascii", "ignore").decode()
    assert read_strict(answer.upper()) == read_strict(answer.lower())


@given(st.text(), st.sampled_from(".!?"), st.text())
def test_the_strict_rule_hears_the_first_sentence_only(first: str, end: str, rest: str) -> None:
    first = f"a{first}"
    assert read_strict(first + end + rest) == read_strict(first)


# The figures ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", SPLITS)
def test_real_questions_and_awkward_answers_score_as_the_official_script_has_them(
    shared_data: Path, split: str
) -> None:
    folder = shared_data / "pope"
    expected = json.loads((folder / "expected.json").read_text())[f"coco_{split}"]
    found = score(folder / f"answers_coco_{split}.jsonl", folder / f"coco_pope_{split}.jsonl")
    assert {name: getattr(found, name) for name in expected} == expected
    assert (found.questions, found.unanswered, found.skipped) == (3000, 0, ())


@pytest.mark.parametrize("dataset", ["coco", "aokvqa", "gqa"])
def test_all_public_question_files_are_read(shared_data: Path, dataset: str) -> None:
    for split in SPLITS:
        found = score(dict.fromkeys(range(1, 3001), "Yes"), shared_data / f"pope/{dataset}_pope_{split}.jsonl")
        assert (found.tp, found.fp, found.accuracy, found.recall, found.yes_ratio) == (1500, 1500, 0.5, 1.0, 1.0)


WORDS = {"yes": "Yes.", "no": "No.", "unanswered": "Perhaps."}


@given(st.lists(st.tuples(st.sampled_from(["yes", "no"]), st.sampled_from(sorted(WORDS))), min_size=1))
def test_every_figure_is_its_definition(pairs: list[tuple[str, str]]) -> None:
    found = score(
        [said(number, WORDS[answer]) for number, (_, answer) in enumerate(pairs)],
        [asked(number, label) for number, (label, _) in enumerate(pairs)],
        strict=True,
    )
    cells = {name: pairs.count(pair) for name, pair in CELLS.items()}
    assert {name: getattr(found, name) for name in cells} == cells
    assert found.questions == len(pairs) == sum(cells.values()) + found.unanswered
    said_yes = cells["tp"] + cells["fp"]
    there = sum(label == "yes" for label, _ in pairs)
    assert found.accuracy == (cells["tp"] + cells["tn"]) / len(pairs)
    assert found.yes_ratio == said_yes / len(pairs)
    assert found.precision == (cells["tp"] / said_yes if said_yes else 0)
    assert found.recall == (cells["tp"] / there if there else 0)
    both = found.precision + found.recall
    assert found.f1 == pytest.approx(2 * found.precision * found.recall / both if both else 0)


CELLS = {"tp": ("yes", "yes"), "fp": ("no", "yes"), "tn": ("no", "no"), "fn": ("yes", "no")}
"""Label and answer that each count is of."""


def test_an_unanswered_question_is_wrong_and_no_yes() -> None:
    questions = [asked(1, "yes"), asked(2, "yes"), asked(3, "no"), asked(4, "no")]
    found = score({1: "Yes", 2: "Maybe", 3: "Maybe", 4: "No"}, questions, strict=True)
    assert (found.tp, found.fp, found.tn, found.fn, found.unanswered) == (1, 0, 1, 0, 2)
    assert (found.accuracy, found.precision, found.recall, found.yes_ratio) == (0.5, 1.0, 0.5, 0.25)
    assert found.f1 == pytest.approx(2 / 3)
    assert [one.right for one in found.results] == [True, False, False, True]


def test_figures_with_nothing_to_divide_by_are_0() -> None:
    found = score({1: "No"}, [asked(1, "no")])
    assert (found.accuracy, found.precision, found.recall, found.f1, found.yes_ratio) == (1.0, 0.0, 0.0, 0.0, 0.0)
    assert PopeScore(results=()).accuracy == 0


def test_answers_belong_to_questions_by_their_identifier() -> None:
    questions = [asked(1, "yes"), asked(2, "no"), asked(3, "no")]
    answers = [said(3, "no"), {"question_id": "2", "text": "Yes"}, {"question_id": 1, "response": "no"}]
    found = score(answers, questions)
    assert [(one.question.question_id, one.said) for one in found.results] == [("1", "no"), ("2", "yes"), ("3", "no")]
    assert (found.tn, found.fp, found.fn) == (1, 1, 1)


def test_an_answer_next_to_its_question_is_what_is_read() -> None:
    row = asked(1, "yes")
    assert score([row | {"answer": "no"}], [row]).fn == 1
    assert score([row | {"response": "no"}], [row]).fn == 1


def test_labels_may_be_in_capitals() -> None:
    assert score({1: "Yes", 2: "No"}, [asked(1, "Yes"), asked(2, " NO")]).accuracy == 1


def test_the_record_of_a_result_has_question_answer_and_verdict() -> None:
    (only,) = score({7: "Nope"}, [asked(7, "no")]).results
    question = {"question_id": "7", "image": "7.jpg", "text": "Is there object 7 in the image?", "label": "no"}
    assert only.record() == question | {"answer": "Nope", "said": "yes", "right": False}


def test_a_table_of_splits_ends_with_their_mean() -> None:
    good, bad = score({1: "Yes"}, [asked(1, "yes")]), score({1: "Yes"}, [asked(1, "no")])
    first, second, mean = table({"random": good, "popular": bad})
    assert first == {"split": "random"} | good.record()
    assert second == {"split": "popular"} | bad.record()
    assert mean == {"split": "mean", "accuracy": 0.5, "precision": 0.5, "recall": 0.5, "f1": 0.5, "yes_ratio": 1.0}
    assert table({"random": good}) == [first]


# Input that is wrong --------------------------------------------------------------------------------------------------


QUESTIONS = [asked(1, "yes"), asked(2, "no")]
ANSWERS = [said(1, "Yes"), said(2, "No")]


@pytest.mark.parametrize(
    ("answers", "questions", "where", "what"),
    [
        ([*ANSWERS, said(1, "No")], QUESTIONS, "a.jsonl:3", "question_id 1 has an answer already"),
        ([said(1, "Yes")], QUESTIONS, "a.jsonl", "1 of 2 questions have no answer, the first of them question_id 2"),
        ([{"answer": "Yes"}], QUESTIONS, "a.jsonl:1", "there is no 'question_id'; it has 'answer'"),
        ([{"question_id": 1, "said": "Yes"}], QUESTIONS, "a.jsonl:1", "no 'answer' or 'response' or 'text'"),
        ([said(1, None)], QUESTIONS, "a.jsonl:1", "'answer' is null, not text"),
        ([{"question_id": 1.5, "answer": "Yes"}], QUESTIONS, "a.jsonl:1", "not an identifier"),
        (ANSWERS, [*QUESTIONS, asked(2, "no")], "q.jsonl:3", "question_id 2 was there before"),
        (ANSWERS, [asked(1, "maybe")], "q.jsonl:1", "the label of question_id 1 is 'maybe', not yes or no"),
        (ANSWERS, [asked(1) | {"label": 1}], "q.jsonl:1", "'label' is a number, not text"),
        (ANSWERS, [{"question_id": 1, "label": "no", "text": "?"}], "q.jsonl:1", "no 'image'"),
        (QUESTIONS, ANSWERS, "q.jsonl:1", "is an answer, not a question; answers come first"),
        (QUESTIONS, QUESTIONS, "a.jsonl:1", "is a question, not an answer; answers come first"),
    ],
)  # fmt: skip
def test_bad_input_is_named_with_file_and_line_or_skipped_and_counted(
    tmp_path: Path, answers: list[Any], questions: list[Any], where: str, what: str
) -> None:
    files = saved(tmp_path / "a.jsonl", answers), saved(tmp_path / "q.jsonl", questions)
    with pytest.raises(InputError) as error:
        score(*files)
    assert str(error.value).startswith(f"{tmp_path / where}: ")
    assert what in str(error.value)
    assert "--skip-bad" in str(error.value)
    assert "\n" not in str(error.value)


def test_bad_records_are_left_out_and_listed_when_that_is_wanted(tmp_path: Path) -> None:
    answers = saved(tmp_path / "a.jsonl", [said(1, "Yes"), said(1, "No"), said(9, "No"), said(3, "No"), {"a": 1}])
    questions = saved(tmp_path / "q.jsonl", [asked(1), asked(2), asked(3, "no"), asked(4), asked(5, "?"), asked(1)])
    found = score(answers, questions, skip_bad=True)
    assert [one.question.question_id for one in found.results] == ["1", "3"]
    assert found.accuracy == 1
    assert [message.split(": ")[0] for message in found.skipped] == [
        *(f"{questions}:{line}" for line in (5, 6)),
        *(f"{answers}:{line}" for line in (2, 5)),
        *(f"{questions}:{line}" for line in (2, 4)),
    ]
    assert (found.record()["skipped"], found.not_asked) == (6, 1)


def test_nothing_left_is_an_error_even_where_bad_records_are_skipped(tmp_path: Path) -> None:
    files = saved(tmp_path / "a.jsonl", [{"question_id": 1}]), saved(tmp_path / "q.jsonl", QUESTIONS)
    with pytest.raises(InputError, match=r"a\.jsonl has no usable answer; the first of 1 bad records: .*a\.jsonl:1: "):
        score(*files, skip_bad=True)


def test_answers_to_questions_that_are_not_asked_are_left_out_and_counted(tmp_path: Path) -> None:
    found = score([*ANSWERS, said(9, "No"), said(8, "No")], QUESTIONS)
    assert (found.questions, found.not_asked, found.skipped) == (2, 2, ())
    assert found.record()["not_asked"] == 2


def test_answers_of_which_none_is_to_a_question_are_refused(tmp_path: Path) -> None:
    files = saved(tmp_path / "a.jsonl", [said(8, "No")]), saved(tmp_path / "q.jsonl", QUESTIONS)
    for skip_bad in (False, True):
        with pytest.raises(InputError, match=r"a\.jsonl: none of its 1 answers is to one of the 2 questions of"):
            score(*files, skip_bad=skip_bad)


def by_order(*texts: str, answer: str = "No") -> list[dict[str, str]]:
    """Answers as the README of POPE has them."""
    return [{"question": text, "answer": answer} for text in texts]


def test_answers_without_identifiers_go_by_the_order_of_the_questions(tmp_path: Path) -> None:
    questions = [asked(3, "no"), asked(1, image="a"), asked(2, "no", image="b")]
    texts = ["is there object 3  in the image?", "<image>\nIs there object 1 in the image? Answer yes or no.",
             "Is there object 2 in the image?"]  # fmt: skip
    answers = [row | {"answer": word} for row, word in zip(by_order(*texts), ("Yes", "Yes", "No"), strict=True)]
    found = score(saved(tmp_path / "a.jsonl", answers), saved(tmp_path / "q.jsonl", questions))
    assert [(one.question.question_id, one.said) for one in found.results] == [("3", "yes"), ("1", "yes"), ("2", "no")]


@pytest.mark.parametrize(
    ("answers", "what"),
    [
        (by_order("Is there object 1 in the image?"), "there are 1 for 2 questions"),
        (by_order(*["Is there object 1 in the image?"] * 2), "asks 'Is there object 2 in the image"),
        ([*by_order("Is there object 1 in the image?", "x"), "torn"], "a record is bad"),
        ([*by_order("Is there object 1 in the image?"), said(2, "No")], "none has it"),
        ([{"answer": "No"}] * 2, "none has it and each has its 'question' beside it"),
    ],
    ids=["too few", "another order", "a bad line", "some with identifiers", "no question"],
)
def test_answers_by_order_that_do_not_fit_the_questions_are_refused(
    tmp_path: Path, answers: list[Any], what: str
) -> None:
    files = saved(tmp_path / "a.jsonl", answers), saved(tmp_path / "q.jsonl", QUESTIONS)
    with pytest.raises(InputError, match=what):
        score(*files, skip_bad=what == "a record is bad")


@pytest.mark.parametrize(
    ("answer", "clear"),
    [("Yes", True), ("no, it is", True), (" No.", True), ("No.1", True), ("NO", False), ("**No**", False), ("", False),
     ("No!", False), ("no\n", False), ("Nope", False), ("Not", False), ("YES", False), ("There is no dog", False)],
)  # fmt: skip
def test_an_answer_begins_clearly_if_the_official_rule_hears_yes_or_no_first(answer: str, clear: bool) -> None:
    assert begins_clearly(answer) is clear


def test_a_torn_last_line_is_an_error_that_says_so(tmp_path: Path) -> None:
    questions, answers = saved(tmp_path / "q.jsonl", QUESTIONS), tmp_path / "a.jsonl"
    answers.write_text('{"question_id": 1, "answer": "Yes"}\n{"question_id": 2, "ans')
    with pytest.raises(InputError, match=r"a\.jsonl:2: is cut off, as if writing had been interrupted"):
        score(answers, questions)
    assert score(answers, questions, skip_bad=True).questions == 1


def test_a_byte_order_mark_and_windows_line_ends_do_not_matter(tmp_path: Path) -> None:
    files = [tmp_path / "a.jsonl", tmp_path / "q.jsonl"]
    for path, rows in zip(files, (ANSWERS, QUESTIONS), strict=True):
        path.write_bytes("".join(f"{json.dumps(row)}\r\n" for row in rows).encode("utf-8-sig"))
    assert score(*files).accuracy == 1


def test_a_table_with_commas_is_told_from_json_lines(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("question_id,answer\n1,Yes\n")
    with pytest.raises(InputError, match=r"a\.csv: looks like CSV; expected JSON Lines"):
        score(tmp_path / "a.csv", QUESTIONS)


# Two methods ----------------------------------------------------------------------------------------------------------


def random_scores(seed: int, times: int = 1) -> tuple[PopeScore, PopeScore]:
    """Two methods on 40 pictures of two questions each, each question ``times`` over."""
    import random

    draw = random.Random(seed)
    questions, first, second = [], {}, {}
    for picture in range(40):
        for label in ("yes", "no"):
            one, other = (draw.choice(["Yes", "No", "Perhaps"]) for _ in range(2))
            for _ in range(times):
                questions.append(asked(len(questions), label, f"{picture}.jpg"))
                first[len(first)], second[len(second)] = one, other
    return score(first, questions, strict=True), score(second, questions, strict=True)


def test_a_comparison_has_the_difference_of_every_figure_with_an_interval_around_it() -> None:
    first, second = random_scores(0)
    found = compare(first, second, resamples=999)
    assert list(found.differences) == ["accuracy", "precision", "recall", "f1", "yes_ratio"]
    for name, one in found.differences.items():
        assert (one.name, one.items) == (name, 40)
        assert one.value == pytest.approx(getattr(second, name) - getattr(first, name))
        assert one.low < one.value < one.high
    assert found.record()["differences"]["f1"]["baseline"] == pytest.approx(first.f1)


def test_mcnemar_counts_the_questions_that_only_one_method_answers_rightly() -> None:
    first, second = random_scores(1)
    rights = [(a.right, b.right) for a, b in zip(first.results, second.results, strict=True)]
    found = compare(first, second, resamples=99).mcnemar
    assert found.only_baseline_right == rights.count((True, False)) > 0
    assert found.only_other_right == rights.count((False, True)) > 0
    assert found.items == 80


def test_asking_the_same_of_the_same_pictures_again_makes_no_interval_narrower() -> None:
    once, thrice = (compare(*random_scores(2, times), resamples=499).differences for times in (1, 3))
    for name, one in once.items():
        assert (one.low, one.high, one.p) == pytest.approx((thrice[name].low, thrice[name].high, thrice[name].p))


def test_a_method_does_not_differ_from_itself() -> None:
    first, _ = random_scores(3)
    found = compare(first, first, resamples=99)
    assert {(one.low, one.high, one.p) for one in found.differences.values()} == {(0.0, 0.0, 1.0)}
    assert (found.mcnemar.only_baseline_right, found.mcnemar.only_other_right, found.mcnemar.p) == (0, 0, 1.0)


def test_methods_are_compared_on_the_questions_that_both_have_answered() -> None:
    questions = [asked(number) for number in range(5)]
    first = score({0: "Yes", 1: "Yes", 2: "No"}, questions, skip_bad=True)
    second = score({1: "No", 2: "Yes", 4: "Yes"}, questions, skip_bad=True)
    found = compare(first, second, resamples=99)
    assert found.mcnemar.items == 2
    assert (found.differences["accuracy"].baseline, found.differences["accuracy"].other) == (0.5, 0.5)


def test_answers_to_different_questions_are_not_compared() -> None:
    first, second = score({1: "Yes"}, [asked(1)]), score({1: "Yes"}, [asked(1) | {"image": "other.jpg"}])
    with pytest.raises(InputError, match=r"question_id 1 is .* about 1\.jpg .* about other\.jpg"):
        compare(first, second)


def test_one_picture_is_too_few_for_an_interval() -> None:
    first = score({1: "Yes", 2: "No"}, [asked(1, image="one"), asked(2, image="one")])
    with pytest.raises(InputError, match="about 1 pictures in common; a comparison needs at least 2"):
        compare(first, first)
