"""What people said, as a truth: what nobody knows is neither true nor false."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from farsight.errors import InputError
from farsight.judging.judged import Judged, judged
from farsight.judging.judgements import Judgement, Judgements, Verdict
from farsight.judging.merges import Merges
from farsight.judging.truth import Located, Truth
from farsight.metrics.vocabulary import Vocabulary

WORDS = Vocabulary(name="words", objects={"dog": ["puppy"], "sofa": [], "couch": []})


def said(object_: str, verdict: Verdict, judge: str = "ann", image_id: str = "1") -> Judgement:
    return Judgement(image_id, object_, verdict, judge)


def test_it_is_a_truth_that_knows_where_objects_stand() -> None:
    truth: Truth = Judged(judgements=[], names=WORDS)
    assert isinstance(truth, Located)
    assert truth.mentions("A puppy on a sofa; the dog sleeps.") == ["dog", "sofa", "dog"]


def test_unsure_and_unjudged_are_not_known() -> None:
    truth = Judged(judgements=[said("dog", "there"), said("sofa", "not there"), said("couch", "unsure")], names=WORDS)
    assert [truth.verdict("1", name) for name in ("dog", "sofa", "couch", "cat")] == [True, False, None, None]
    assert truth.verdict("2", "dog") is None
    assert truth.present("1") == {"dog"}
    assert truth.present("2") == frozenset()


@pytest.mark.parametrize(
    ("verdicts", "known"),
    [
        (["there", "there"], True),
        (["there", "unsure"], True),
        (["not there", "unsure"], False),
        (["there", "not there"], None),
        (["unsure", "unsure"], None),
    ],
    ids=str,
)
def test_judges_who_contradict_each_other_know_nothing(verdicts: list[Verdict], known: bool | None) -> None:
    rows = [said("dog", verdict, judge) for verdict, judge in zip(verdicts, ("ann", "bob"), strict=True)]
    assert Judged(judgements=rows, names=WORDS).verdict("1", "dog") is known


def test_what_was_said_of_a_word_holds_for_what_it_stands_for() -> None:
    truth = Judged(judgements=[said("couch", "there")], names=WORDS, same={"couch": "sofa"})
    assert truth.mentions("A couch and a sofa.") == ["sofa", "sofa"]
    assert truth.verdict("1", "sofa") is True
    assert truth.verdict("1", "couch") is True
    assert truth.present("1") == {"sofa"}


def test_of_two_words_for_one_object_the_last_row_of_a_judge_counts(tmp_path: Path) -> None:
    file = Judgements(tmp_path / "judgements.jsonl")
    for object_, verdict, known in (("couch", "there", True), ("sofa", "not there", False), ("couch", "there", True)):
        file.append([said(object_, verdict)])
        truth = Judged(judgements=file.read(), names=WORDS, same={"couch": "sofa"})
        assert truth.verdict("1", "sofa") is known


def test_what_is_known_for_sure_is_known_of_what_words_stand_for() -> None:
    rows = [
        said("dog", "there"), said("dog", "not there", "bob"), said("couch", "there"), said("sofa", "not there", "bob"),
        said("couch", "there", image_id="2"), said("dog", "not there", image_id="2"),
        said("dog", "unsure", "bob", image_id="2"),
    ]  # fmt: skip
    truth = Judged(judgements=rows, names=WORDS, same={"couch": "sofa"})
    assert truth.known == {("2", "sofa"): True, ("2", "dog"): False}


def test_a_folder_has_its_judgements_and_synonyms(tmp_path: Path) -> None:
    assert judged(tmp_path).present("1") == frozenset()
    Judgements(tmp_path / "judgements.jsonl").append([said("sofa", "there")])
    Merges(tmp_path / "synonyms.txt").merge("couch", "sofa")
    truth = judged(tmp_path)
    assert truth.mentions("There is a couch.") == ["sofa"]
    assert truth.verdict("1", "couch") is True


def test_merging_goes_on_from_what_was_merged(tmp_path: Path) -> None:
    merges = Merges(tmp_path / "synonyms.txt")
    (tmp_path / "synonyms.txt").write_text("# ours\ncouch, settee\n")
    merges.merge("couch", "sofa")
    assert merges.read() == {"settee": "sofa", "couch": "sofa"}
    merges.merge("divan", "couch")
    assert merges.read()["divan"] == "sofa"
    merges.separate("couch")
    assert merges.read() == {"settee": "sofa", "divan": "sofa"}
    assert (tmp_path / "synonyms.txt").read_text().startswith("# ours\n")
    for word in ("settee", "divan"):
        merges.separate(word)
    assert merges.read() == {}


def test_a_word_is_not_merged_into_what_stands_for_it(tmp_path: Path) -> None:
    merges = Merges(tmp_path / "synonyms.txt")
    merges.merge("couch", "sofa")
    merges.merge("sofa", "couch")
    assert merges.read() == {"couch": "sofa"}


def test_two_who_merge_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "synonyms.txt"
    both = [threading.Thread(target=Merges(path).merge, args=(word, "sofa")) for word in ("couch", "settee", "divan")]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert Merges(path).read() == dict.fromkeys(("couch", "settee", "divan"), "sofa")


def test_a_name_that_the_file_could_not_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be a name"):
        Merges(tmp_path / "synonyms.txt").merge("a, b", "sofa")
