"""Files with something wrong in them are refused with the file, the line and the remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from farsight.errors import InputError
from farsight.metrics.captions import read_captions, read_objects
from farsight.metrics.records import Reader
from farsight.metrics.vocabulary import coco

GOOD = '{"image_id": 1, "caption": "A dog."}'


def read(path: Path, *, skip_bad: bool = False) -> tuple[list[str], list[str]]:
    reader = Reader(skip_bad=skip_bad)
    return [caption.text for caption in read_captions(path, reader)], reader.skipped


def written(tmp_path: Path, data: bytes | str) -> Path:
    path = tmp_path / "captions.jsonl"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


@pytest.mark.parametrize(
    "data",
    [
        GOOD,
        f"\n{GOOD}\r\n\n",
        f"\ufeff{GOOD}\n",
        f"[{GOOD}]",
        f"  [\n{GOOD}\n]\n",
    ],
    ids=["plain", "blank lines and CRLF", "BOM", "a list", "a list over lines"],
)
def test_usual_variants_are_read(tmp_path: Path, data: str) -> None:
    assert read(written(tmp_path, data)) == (["A dog."], [])


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (f'{GOOD}\n{{"image_id": 2, "capt', r"captions\.jsonl:2: is cut off"),
        (f"{GOOD}\n{{oops}}\n", r"captions\.jsonl:2: is not a JSON object on one line \(\{oops\}\)"),
        (f"{GOOD}\n[1]\n", r"captions\.jsonl:2: is a list, not a JSON object"),
        (f"{GOOD}\n".encode() + b'{"image_id": 2, "caption": "\xff"}\n', r"captions\.jsonl:2: is not UTF-8"),
        (f'{GOOD}\n{{"image": 2, "text": ""}}\n', r"captions\.jsonl:2: the caption of image 2 is empty"),
        (f"{GOOD}\n{GOOD}\n", r"captions\.jsonl:2: image 1 has a caption already \(.*captions\.jsonl:1\)"),
    ],
)
def test_a_bad_line_is_named_and_can_be_skipped(tmp_path: Path, data: bytes | str, problem: str) -> None:
    path = written(tmp_path, data)
    with pytest.raises(InputError, match=rf"{problem}.*--skip-bad"):
        read(path)
    texts, skipped = read(path, skip_bad=True)
    assert texts == ["A dog."]
    assert len(skipped) == 1


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "is empty"),
        (b"image_id,caption\n1,A dog\n", "looks like CSV"),
        (GOOD.encode("utf-16"), "UTF-16"),
        (b"[{]", "is not a complete JSON list"),
        (b"{oops\n", "no usable caption; the first of 1 bad records"),
    ],
)
def test_a_file_of_another_kind_is_refused_even_when_bad_lines_are_skipped(
    tmp_path: Path, data: bytes, problem: str
) -> None:
    with pytest.raises(InputError, match=problem):
        read(written(tmp_path, data), skip_bad=True)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.jsonl: cannot be read"):
        read(tmp_path / "nowhere.jsonl")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read(tmp_path)


def test_deep_nesting_does_not_crash(tmp_path: Path) -> None:
    assert len(read(written(tmp_path, f"{GOOD}\n" + '{"a":' * 100_000 + "\n"), skip_bad=True)[1]) == 1


@pytest.mark.parametrize("image_id", [42, "42", np.int64(42), np.uint8(42), np.str_("42")], ids=repr)
def test_numbers_and_texts_of_numpy_are_identifiers_like_pythons(image_id: object) -> None:
    captions = read_captions([{"image_id": image_id, "caption": np.str_("A dog.")}], Reader())
    assert captions == [("42", "A dog.")]
    assert type(captions[0].image_id) is str


@pytest.mark.parametrize(
    ("image_id", "kind"),
    [(1.5, "a number"), (np.float64(42), "a number"), (True, "true or false"), (None, "null"), ("", "empty"),
     ([1], "a list"), ((), "a list"), ({}, "an object"), (np.arange(2), "an object")],
    ids=repr,
)  # fmt: skip
def test_what_is_no_identifier_is_called_what_it_is(image_id: object, kind: str) -> None:
    with pytest.raises(InputError, match=f"'image_id' is {kind}, not an identifier"):
        read_captions([{"image_id": image_id, "caption": "A dog."}], Reader())


@pytest.mark.parametrize("kind", [list, tuple, set, np.array])
def test_objects_may_come_in_any_collection(kind: Any) -> None:
    objects = kind(["dog", "cat"])
    assert read_objects([{"image_id": 1, "objects": objects}], coco(), Reader()) == {"1": {"dog", "cat"}}


@pytest.mark.parametrize("names", ["dog", [1], {"dog": 1}, None, b"dog"], ids=repr)
def test_what_is_no_list_of_names_is_refused(names: object) -> None:
    with pytest.raises(InputError, match="not a list of names"):
        read_objects([{"image_id": 1, "objects": names}], coco(), Reader())
