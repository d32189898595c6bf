"""AMBER: descriptions and answers, held against the definitions and against what the authors' script counts."""

import json
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farsight.errors import InputError
from farsight.metrics.amber.data import Amber, Question, Scene, read_amber
from farsight.metrics.amber.generative import GenerativeScore
from farsight.metrics.amber.scoring import score

Counts = dict[str, tuple[int, int]]

RELATION = {
    "road": ["path", "ground"],
    "ground": ["floor"],
    "floor": ["ground"],
    "tree": ["forest", "leave"],
    "woman": ["person", "people"],
    "person": ["people", "woman"],
    "knife": [],
    "sign": ["signal"],
    "ship": ["boat"],
    "dog": [],
    "cat": [],
    "bus": ["car"],
    "sunglasses": [],
    "TV": [],
    "e-book": [],
    "can": [],
}


def made_up(
    truth: Iterable[str] = ("road", "ground"),
    hallu: Iterable[str] = ("dog",),
    questions: Iterable[tuple[str, str]] = (),
    *,
    safe: Iterable[str] = ("sign",),
    relation: dict[str, list[str]] = RELATION,
) -> Amber:
    """One picture with id 1, and questions of (dimension, truth) with ids from 1005."""
    return Amber(
        scenes={1: Scene(id=1, truth=tuple(truth), hallu=tuple(hallu))},
        questions={
            number: Question(id=number, dimension=dimension, truth=right)
            for number, (dimension, right) in enumerate(questions, start=1005)
        },
        relation={word: tuple(others) for word, others in relation.items()},
        safe=frozenset(safe),
    )


def described(text: str, data: Amber, **settings: Any) -> Counts:
    found = score({1: text}, data, **settings).generative
    assert found is not None
    return counts(found)


def counts(found: GenerativeScore) -> Counts:
    return {name: found.counts(name) for name in ("chair", "cover", "hal", "cog")}


# Words ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Two trees, a knife and three knives.", ["tree", "knife", "knife"]),
        ("women and people near buses", ["woman", "people", "bus"]),
        ("a woman's cat", ["woman", "cat"]),
        ("a tv, a TV and an e-book", ["TV", "e-book"]),
        ("Dogs and DOGS and a Dog", []),
        ("dogged catalogue, roadside, e-books", []),
        ("it can be seen that two cans are there", ["can"]),
        ("leaves and sunglasses, and a leave", ["leave"]),
    ],
)
def test_words_are_found_in_the_forms_that_the_authors_script_finds(text: str, words: list[str]) -> None:
    found = score({1: text + " dog"}, made_up()).descriptions[0]
    assert [noun.word for noun in found.nouns] == [*words, "dog"]


def test_a_noun_says_where_it_stands() -> None:
    text = "Under a tree, two dogs."
    found = score({1: text}, made_up()).descriptions[0]
    assert [text[noun.start : noun.end] for noun in found.nouns] == ["tree", "dogs"]


# The generative part, rule by rule ------------------------------------------------------------------------------------


def test_each_mention_of_what_is_not_there_is_hallucinated_whether_or_not_it_is_expected() -> None:
    found = described("a dog, a dog, a cat on the road", made_up())
    assert found == {"chair": (3, 4), "cover": (1, 2), "hal": (1, 1), "cog": (1, 1)}


def test_a_related_word_goes_before_the_object_of_that_name() -> None:
    assert described("the ground", made_up(truth=["ground"]))["cover"] == (1, 1)
    data = made_up(truth=["ground", "road"])
    record = score({1: "the ground"}, data).descriptions[0].record()
    assert (record["covered"], record["missed"]) == (["road"], ["ground"])


def test_a_word_covers_the_first_object_that_it_is_related_to() -> None:
    found = score({1: "the ground"}, made_up(truth=["floor", "road"])).descriptions[0]
    assert found.covered == {0}


def test_of_two_objects_of_one_name_only_the_first_is_ever_covered() -> None:
    assert described("a ship and a ship and a ship", made_up(truth=["ship", "ship"]))["cover"] == (1, 2)


def test_a_safe_word_is_neither_held_against_a_response_nor_in_its_favour() -> None:
    found = described("a sign", made_up(truth=["sign"], hallu=["sign"]))
    assert found == {"chair": (0, 1), "cover": (0, 1), "hal": (0, 1), "cog": (0, 1)}
    assert described("a signal", made_up(truth=["sign"]))["cover"] == (1, 1)


def test_what_is_there_is_not_expected_in_vain() -> None:
    found = described("the floor", made_up(truth=["ground"], hallu=["floor"]))
    assert found == {"chair": (0, 1), "cover": (1, 1), "hal": (0, 1), "cog": (0, 1)}


def test_a_similar_word_covers_and_is_not_hallucinated_but_may_count_for_cog() -> None:
    alike = {("dog", "road"), ("dog", "cat")}
    data = made_up(truth=["road"], hallu=["cat", "dog"])
    found = described("a dog", data, similar=lambda one, other: (one, other) in alike)
    assert found == {"chair": (0, 1), "cover": (1, 1), "hal": (0, 1), "cog": (2, 2)}
    assert described("a dog", data) == {"chair": (1, 1), "cover": (0, 1), "hal": (1, 1), "cog": (1, 2)}


def test_nothing_said_about_objects_is_nothing_hallucinated() -> None:
    found = score({1: "What a day!"}, made_up()).generative
    assert found is not None
    assert (found.chair, found.cover, found.hal, found.cog) == (0, 0, 0, 0)


def test_figures_are_in_percent() -> None:
    found = score({1: "a dog on the road and on the path, and a knife"}, made_up(hallu=["dog", "cat"])).generative
    assert found is not None
    assert (found.chair, found.cover, found.hal, found.cog) == (50, 50, 100, 50)
    assert found.record()["counts"] == {"chair": [2, 4], "cover": [1, 2], "hal": [1, 1], "cog": [1, 2]}


# The generative part, held against the definitions --------------------------------------------------------------------


def by_definition(
    responses: dict[int, list[str]],
    scenes: dict[int, tuple[list[str], list[str]]],
    relation: dict[str, list[str]],
    safe: Iterable[str],
    similar: Callable[[str, str], bool],
) -> Counts:
    """The definitions once more, with a dictionary from each word to the object that has it."""

    def owners(objects: list[str]) -> dict[str, int]:
        having: dict[str, int] = {}
        for number, name in enumerate(objects):
            for word in relation[name]:
                having.setdefault(word, number)
        for number, name in enumerate(objects):
            having.setdefault(name, number)
        return having

    false = said = covered = there = bad = tempted = tempting = 0
    for one, nouns in responses.items():
        truth, hallu = scenes[one]
        real, unreal = owners(truth), owners(hallu)
        seen, dreamt, lies = set(), set(), 0
        for noun in nouns:
            if noun in safe:
                pass
            elif noun in real:
                seen.add(real[noun])
            else:
                dreamt |= {unreal[word] for word in [noun] if word in unreal}
                dreamt |= {unreal[word] for word in [word for word in unreal if similar(noun, word)][:1]}
                near = [real[word] for word in real if similar(noun, word)]
                seen |= set(near[:1])
                lies += not near
        false, said = false + lies, said + len(nouns)
        covered, there = covered + len(seen), there + len(truth)
        tempted, tempting = tempted + len(dreamt), tempting + len(hallu)
        bad += lies > 0
    return {
        "chair": (false, said),
        "cover": (covered, there),
        "hal": (bad, len(responses)),
        "cog": (tempted, tempting),
    }


@st.composite
def benchmarks(draw: st.DrawFn) -> tuple[Any, ...]:
    names = [f"w{number}w" for number in range(draw(st.integers(2, 9)))]
    some = st.lists(st.sampled_from(names), max_size=5)
    relation = {name: draw(some) for name in names}
    scenes = {one: (draw(some), draw(some)) for one in range(1, draw(st.integers(2, 4)))}
    responses = {one: draw(st.lists(st.sampled_from(names), min_size=1, max_size=8)) for one in scenes}
    return (
        responses,
        scenes,
        relation,
        draw(some),
        draw(st.sets(st.tuples(st.sampled_from(names), st.sampled_from(names)))),
    )


@settings(max_examples=500, deadline=None)
@given(benchmarks())
def test_counts_are_those_of_the_definition(made: tuple[Any, ...]) -> None:
    responses, scenes, relation, safe, alike = made
    data = Amber(
        scenes={one: Scene(id=one, truth=tuple(a), hallu=tuple(b)) for one, (a, b) in scenes.items()},
        questions={},
        relation={word: tuple(others) for word, others in relation.items()},
        safe=frozenset(safe),
    )

    def similar(one: str, other: str) -> bool:
        return one == other or (one, other) in alike

    found = score({one: " ".join(nouns) for one, nouns in responses.items()}, data, similar=similar).generative
    assert found is not None
    assert counts(found) == by_definition(responses, scenes, relation, safe, similar)


@pytest.fixture(scope="module")
def folder(shared_data: Path) -> Path:
    return shared_data / "amber"


@pytest.fixture(scope="module")
def real(folder: Path) -> Amber:
    return read_amber(folder)


@pytest.mark.parametrize("with_similar", [False, True])
def test_counts_on_the_real_annotations_are_those_of_the_definition(
    folder: Path, real: Amber, with_similar: bool
) -> None:
    """Made-up responses to every picture, of its own words and of any."""
    annotations = json.loads((folder / "annotations.json").read_text())
    relation = json.loads((folder / "relation.json").read_text())
    safe = (folder / "safe_words.txt").read_text().split("\n")
    scenes = {one["id"]: (one["truth"], one["hallu"]) for one in annotations if one["type"] == "generative"}
    every = sorted({word for name in relation for word in [name, *relation[name]]} & real.lookup.keys())
    rng = random.Random(7)
    near = {word: set(rng.sample(every, 4)) for word in every} if with_similar else {}

    def similar(one: str, other: str) -> bool:
        return one == other or other in near.get(one, ())

    for _ in range(2):
        responses = {}
        for one, (truth, hallu) in scenes.items():
            own = [word for name in truth + hallu for word in [name, name, *relation[name]] if word in real.lookup]
            responses[one] = rng.choices(own, k=rng.randint(1, 9)) + rng.sample([*every, *safe], rng.randint(0, 4))
        found = score({one: " ".join(nouns) for one, nouns in responses.items()}, real, similar=similar).generative
        assert found is not None
        assert counts(found) == by_definition(responses, scenes, relation, safe, similar)


def oracle(real: Amber, *, adding: int) -> dict[int, str]:
    """Every object of each picture once, and so many of those that are expected."""
    return {
        one: f"There is {', '.join([*dict.fromkeys(scene.truth), *scene.hallu[:adding]])} in the picture."
        for one, scene in real.scenes.items()
    }


def test_counts_are_those_of_the_authors_script(real: Amber) -> None:
    """What the script counts, where nouns are found as here and words are similar if they begin alike."""
    truthful, liar = oracle(real, adding=0), oracle(real, adding=1)

    def begin_alike(one: str, other: str) -> bool:
        return one[:3] == other[:3]

    for responses, similar, expected in (
        (truthful, str.__eq__, {"chair": (0, 5581), "cover": (5220, 5599), "hal": (0, 1004), "cog": (0, 4924)}),
        (liar, str.__eq__, {"chair": (928, 6584), "cover": (5221, 5599), "hal": (928, 1004), "cog": (928, 4924)}),
        (liar, begin_alike, {"chair": (918, 6584), "cover": (5221, 5599), "hal": (918, 1004), "cog": (929, 4924)}),
    ):
        found = score(responses, real, similar=similar).generative
        assert found is not None
        assert counts(found) == expected


def test_similar_words_only_ever_acquit(real: Amber) -> None:
    rng = random.Random(1)
    every = sorted(real.words & real.lookup.keys())
    near = {word: set(rng.sample(every, 20)) for word in every}
    responses = {one: " ".join(rng.choices(every, k=8)) for one in real.scenes}
    without = score(responses, real).generative
    having = score(responses, real, similar=lambda one, other: other in near[one]).generative
    assert without is not None
    assert having is not None
    assert having.chair < without.chair
    assert having.hal < without.hal
    assert having.cover > without.cover
    assert having.cog > without.cog


# The discriminative part ----------------------------------------------------------------------------------------------

KINDS = ("existence", "state", "number", "action", "relation")


@pytest.mark.parametrize(
    ("response", "exact", "lenient"),
    [
        ("Yes", "yes", "yes"),
        ("No", "no", "no"),
        ("no", "unanswered", "no"),
        ("YES", "unanswered", "yes"),
        ("No.", "unanswered", "no"),
        (" Yes", "unanswered", "yes"),
        ("Yes, it is. No dog is there.", "unanswered", "yes"),
        ("There isn't one.", "unanswered", "no"),
        ("Perhaps.", "unanswered", "unanswered"),
    ],
)
def test_an_answer_is_read_to_the_letter_unless_leniently(response: str, exact: str, lenient: str) -> None:
    data = made_up(questions=[("state", "yes")])
    assert score({1005: response}, data).answers[0].said == exact
    assert score({1005: response}, data, lenient=True).answers[0].said == lenient


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(KINDS), st.sampled_from(["yes", "no"]), st.sampled_from(["Yes", "No", "no", "No."])),
        min_size=1,
        max_size=30,
    )
)
def test_no_is_the_positive_class(asked: list[tuple[str, str, str]]) -> None:
    data = made_up(questions=[(kind, truth) for kind, truth, _ in asked])
    whole = score({number: said for number, (_, _, said) in enumerate(asked, start=1005)}, data).discriminative
    assert whole is not None
    groups = {"attribute": ("state", "number", "action")} | {kind: (kind,) for kind in KINDS}
    for name, found in {"all": whole, **whole.groups}.items():
        cells = {}
        for kind, truth, said in asked:
            if kind in groups.get(name, KINDS):
                cells[truth, said] = cells.get((truth, said), 0) + 1
        hit, false_alarm = cells.get(("no", "No"), 0), cells.get(("yes", "No"), 0)
        missed = sum(count for (truth, said), count in cells.items() if truth == "no" and said != "No")
        assert found.accuracy == pytest.approx(100 * (hit + cells.get(("yes", "Yes"), 0)) / sum(cells.values()))
        precision = hit / (hit + false_alarm) if hit else 0
        recall = hit / (hit + missed) if hit else 0
        assert found.precision == pytest.approx(100 * precision)
        assert found.recall == pytest.approx(100 * recall)
        assert found.f1 == pytest.approx(200 * precision * recall / (precision + recall) if hit else 0)


def test_only_groups_with_answers_are_reported() -> None:
    data = made_up(questions=[("state", "yes"), ("relation", "no"), ("existence", "no")])
    found = score({1005: "Yes", 1006: "No"}, data).discriminative
    assert found is not None
    assert list(found.groups) == ["attribute", "state", "relation"]


def test_questions_of_the_real_benchmark_have_the_dimensions_that_the_paper_counts(real: Amber) -> None:
    found = score({one: question.truth.title() for one, question in real.questions.items()}, real)
    assert found.discriminative is not None
    sizes = {name: len(group.answers) for name, group in found.discriminative.groups.items()}
    assert sizes == {
        "existence": 4924, "attribute": 7628, "state": 4764, "number": 2072, "action": 792, "relation": 1664
    }  # fmt: skip
    assert found.discriminative.f1 == 100
    assert found.missing == {"generative": 1004, "discriminative": 0}


# Both parts -----------------------------------------------------------------------------------------------------------


def test_the_amber_score_is_the_mean_of_what_is_not_hallucinated_and_f1() -> None:
    data = made_up(questions=[("state", "no")] * 3 + [("state", "yes")])
    found = score({1: "a dog, a road, a path, a path", 1005: "No", 1006: "Yes", 1007: "Yes", 1008: "Yes"}, data)
    assert found.generative is not None
    assert found.discriminative is not None
    assert (found.generative.chair, found.discriminative.f1) == (25, 50)
    assert found.amber == 62.5


def test_there_is_no_amber_score_of_one_part() -> None:
    data = made_up(questions=[("state", "no")])
    assert score({1: "a dog"}, data).amber is None
    answered = score({"1005": "No"}, data)
    assert (answered.amber, answered.generative) == (None, None)
    assert answered.record()["missing"] == {"generative": 1, "discriminative": 0}


def test_every_response_has_a_record_of_what_is_wrong_with_it() -> None:
    data = made_up(hallu=["dog", "cat"], questions=[("action", "no")])
    found = score({1: "A dog on the path.", 1005: "Yes"}, data)
    assert found.descriptions[0].record() == {
        "id": 1,
        "part": "generative",
        "response": "A dog on the path.",
        "hallucinated": ["dog"],
        "nouns": [
            {"word": "dog", "start": 2, "end": 5, "hallucinated": True},
            {"word": "path", "start": 13, "end": 17, "hallucinated": False},
        ],
        "covered": ["road"],
        "missed": ["ground"],
        "cog": ["dog"],
    }
    assert found.answers[0].record() == {
        "id": 1005, "part": "discriminative", "dimension": "action", "response": "Yes", "said": "yes", "truth": "no",
        "right": False,
    }  # fmt: skip


# Files of responses ---------------------------------------------------------------------------------------------------


def test_a_list_and_lines_are_the_same(tmp_path: Path) -> None:
    rows = [{"id": 1, "response": "a dog"}, {"id": "1005", "response": "No"}]
    data = made_up(questions=[("state", "no")])
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(rows, indent=4).encode())
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert score(tmp_path / "a.json", data) == score(tmp_path / "a.jsonl", data) == score(rows, data)


@pytest.mark.parametrize(
    ("line", "because"),
    [
        ('{"id": 2, "response": "a dog"}', "a.jsonl:2: id 2 is not among the 2 ids of AMBER"),
        ('{"id": "one", "response": "a dog"}', "a.jsonl:2: id one is not among the 2 ids of AMBER"),
        ('{"id": "²", "response": "a dog"}', "is not among the 2 ids of AMBER"),
        ('{"id": 1, "response": "a cat"}', r"a.jsonl:2: id 1 has a response already \(.*a.jsonl:1\)"),
        ('{"id": 1005, "response": " "}', "a.jsonl:2: the response to id 1005 is empty"),
        ('{"id": 1005}', "a.jsonl:2: there is no 'response' or"),
        ('{"id": 1.5, "response": "No"}', "a.jsonl:2: 'id' is a number, not an identifier"),
        ('{"id": 1005, "response": ["No"]}', "a.jsonl:2: 'response' is a list, not text"),
        ('{"id": 1005, "resp', "a.jsonl:2: is cut off"),
    ],
)
def test_a_bad_response_is_named_or_left_out(tmp_path: Path, line: str, because: str) -> None:
    data = made_up(questions=[("state", "no")])
    path = tmp_path / "a.jsonl"
    path.write_text('{"id": 1, "response": "a dog"}\n' + line, encoding="utf-8")
    with pytest.raises(InputError, match=because) as error:
        score(path, data)
    assert "\n" not in str(error.value)
    found = score(path, data, skip_bad=True)
    assert len(found.skipped) == 1
    assert [one.response for one in found.descriptions] == ["a dog"]


def test_a_file_without_a_usable_response_is_not_scored(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": 7, "response": "a dog"}')
    with pytest.raises(InputError, match=r"a\.jsonl has no usable response; the first of 1 bad records"):
        score(tmp_path / "a.jsonl", made_up(), skip_bad=True)
