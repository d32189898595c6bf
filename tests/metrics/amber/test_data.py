"""The folder of AMBER: its files as they are, and each thing that can be wrong with them."""

import json
from pathlib import Path
from typing import Any

import pytest

from farsight.errors import InputError
from farsight.metrics.amber.data import Scene, read_amber, read_pictures
from farsight.metrics.amber.scoring import score

RELATION = {"road": ["path"], "dog": [], "sign": ["signal"]}


def saved(folder: Path, **files: Any) -> Path:
    """AMBER's folder with a picture and a question; files given replace those."""
    annotations = [
        {"id": 1, "type": "generative", "truth": ["road"], "hallu": ["dog"]},
        {"id": 1005, "type": "discriminative-relation", "truth": "yes"},
        {"id": 1006, "type": "relation", "truth": "no"},
    ]
    contents = {"annotations.json": annotations, "relation.json": RELATION, "safe_words.txt": "sign\nlight"}
    folder.mkdir(exist_ok=True)
    for name, content in (contents | {name.replace("__", "."): content for name, content in files.items()}).items():
        if content is not None:
            text = content if isinstance(content, str) else json.dumps(content)
            (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_the_folder_is_read_as_it_is(tmp_path: Path) -> None:
    data = read_amber(saved(tmp_path))
    assert data.scenes == {1: Scene(id=1, truth=("road",), hallu=("dog",))}
    assert [one.dimension for one in data.questions.values()] == ["relation", "relation"]
    assert data.safe == {"sign", "light"}
    assert "path" in data.words
    found = score({1: "a dog", 1005: "Yes", 1006: "Yes"}, tmp_path)
    assert found.amber == 0


def entry(**fields: Any) -> list[dict[str, Any]]:
    return [{"id": 1, "type": "generative", "truth": ["road"], "hallu": ["dog"]} | fields]


@pytest.mark.parametrize(
    ("file", "content", "because"),
    [
        (
            "annotations__json",
            None,
            "annotations.json: cannot be read .*give the folder 'data' of the AMBER repository",
        ),
        ("relation__json", None, "relation.json: cannot be read"),
        ("safe_words__txt", None, "safe_words.txt: cannot be read"),
        ("annotations__json", "[{", "annotations.json: is not JSON"),
        ("relation__json", "[1]", "relation.json: is not AMBER's file of that name"),
        (
            "relation__json",
            {"road": "path"},
            "relation.json: is not AMBER's file of that name .*'road' is text, not a list of names",
        ),
        ("annotations__json", "3", "annotations.json: is not AMBER's file"),
        ("annotations__json", [3], "annotations.json: entry 1: is not one of AMBER's"),
        ("annotations__json", [{"id": 1}], r"entry 1: is not one of AMBER's \(there is no 'type'; it has 'id'\)"),
        ("annotations__json", entry(id=None), "'id' is null, not an identifier"),
        ("annotations__json", entry(truth={"road": 1}), "'truth' is an object, not a list of names"),
        ("annotations__json", ["road"], "it is not a JSON object"),
        ("annotations__json", entry(type="hearing"), "unknown type hearing"),
        ("annotations__json", entry(type="relation", truth="maybe"), "the truth is 'maybe', not yes or no"),
        ("annotations__json", entry(id="one"), "the id is 'one', not a number"),
        ("annotations__json", entry(truth="road"), "'truth' is text, not a list of names"),
        ("annotations__json", entry() * 2, "entry 2: id 1 was there before"),
        ("annotations__json", entry(hallu=["unicorn"]), "'unicorn' is not in relation.json"),
    ],
)
def test_what_is_wrong_with_the_folder_is_one_line(tmp_path: Path, file: str, content: Any, because: str) -> None:
    with pytest.raises(InputError, match=because) as error:
        read_amber(saved(tmp_path, **{file: content}))
    assert "\n" not in str(error.value)
    assert "Error" not in str(error.value)
    assert str(tmp_path) in str(error.value)


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (saved(tmp_path) / "safe_words.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"safe_words\.txt: is UTF-16"):
        read_amber(tmp_path)


@pytest.mark.parametrize("place", ["query_discriminative.json", "query/query_all.json"])
def test_pictures_of_questions_are_read_from_either_place(tmp_path: Path, place: str) -> None:
    (tmp_path / "query").mkdir()
    (tmp_path / place).write_text(json.dumps([{"id": 1005, "image": "AMBER_1.jpg", "query": "?"}]))
    assert read_pictures(tmp_path) == {1005: "AMBER_1.jpg"}


def test_questions_without_pictures_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no query_all\.json"):
        read_pictures(tmp_path)
    (tmp_path / "query_all.json").write_text('[{"id": 1005}]')
    with pytest.raises(
        InputError, match=r"query_all\.json: is not AMBER's file of that name \(there is no 'image'; it has 'id'\)"
    ):
        read_pictures(tmp_path)
