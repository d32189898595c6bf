"""Ground truth comes straight from COCO's annotation files: outlined objects and those of reference captions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from PIL import Image

from farsight.errors import InputError
from farsight.evaluate.tasks import caption_items
from farsight.metrics import chair
from farsight.metrics.captions import read_objects
from farsight.metrics.coco import is_coco, read_coco
from farsight.metrics.records import Reader
from farsight.metrics.vocabulary import coco

CATEGORIES = [{"id": 1, "name": "person"}, {"id": 6, "name": "bus"}]


def instances(
    path: Path, annotations: list[dict[str, Any]], *, first: str = "info", images: tuple[int, ...] = ()
) -> Path:
    pictures = [{"id": one, "file_name": f"COCO_val2014_{one:012d}.jpg"} for one in images]
    path.write_text(json.dumps({first: {}, "images": pictures, "annotations": annotations, "categories": CATEGORIES}))
    return path


def captions(path: Path, annotations: list[dict[str, Any]]) -> Path:
    path.write_text(json.dumps({"info": {}, "images": [], "annotations": annotations}))
    return path


@pytest.fixture
def both(tmp_path: Path) -> list[Path]:
    outlined = [{"image_id": 5, "category_id": 6, "segmentation": [[1.5, 2]]}, {"image_id": 7, "category_id": 1}]
    said = [{"image_id": 5, "caption": "A man with two hot dogs."}, {"image_id": 8, "caption": "A sky."}]
    return [instances(tmp_path / "instances_val.json", outlined), captions(tmp_path / "captions_val.json", said)]


def test_outlined_objects_and_reference_captions_are_put_together(both: list[Path]) -> None:
    objects = read_objects(both, coco(), Reader())
    assert objects == {"5": {"bus", "person", "hot dog"}, "7": {"person"}, "8": frozenset()}


def test_chair_takes_the_files_as_they_are(both: list[Path]) -> None:
    score = chair.score({5: "Two buses, a hot dog and a cat"}, both)
    assert (score.mentions, score.hallucinated_mentions, score.recall) == (3, 1, 2 / 3)


def test_they_go_together_with_files_of_objects(both: list[Path], tmp_path: Path) -> None:
    more = tmp_path / "more.jsonl"
    more.write_text('{"image_id": 7, "objects": ["cat"]}\n')
    assert read_objects([*both, more], coco(), Reader())["7"] == {"person", "cat"}


def test_a_large_file_is_read_as_a_stream(tmp_path: Path) -> None:
    path = instances(tmp_path / "instances.json", [{"image_id": n, "category_id": 1} for n in range(20_000)])
    largest = 0

    class Watched:
        def __init__(self, file: BinaryIO) -> None:
            self.file = file

        def __enter__(self) -> Watched:
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()

        def read(self, size: int = -1) -> bytes:
            nonlocal largest
            assert size >= 0, "the whole file was asked for at once"
            largest = max(largest, size)
            return self.file.read(size)

        def seek(self, position: int) -> int:
            return self.file.seek(position)

    objects = read_coco(path, coco(), opener=lambda path: Watched(path.open("rb")))  # type: ignore[arg-type, return-value]
    assert len(objects) == 20_000
    assert 0 < largest < path.stat().st_size / 4


def test_a_picture_without_annotations_is_known_to_have_no_objects(tmp_path: Path) -> None:
    path = instances(tmp_path / "instances.json", [{"image_id": 7, "category_id": 1}], images=(9, 7, 8))
    objects = read_objects(path, coco(), Reader())
    assert objects == {"9": frozenset(), "7": {"person"}, "8": frozenset()}
    assert list(objects) == ["9", "7", "8"]


def test_chair_counts_what_is_named_in_such_a_picture_as_the_standard_script_does(tmp_path: Path) -> None:
    path = instances(tmp_path / "instances.json", [{"image_id": 7, "category_id": 1}], images=(7, 8))
    score = chair.score({7: "A man.", 8: "A man and two buses."}, path)
    assert (score.chair_s, score.mentions, score.hallucinated_mentions, score.recall) == (0.5, 3, 2, 1)


def test_an_evaluation_asks_about_such_a_picture_too(tmp_path: Path) -> None:
    for number in (7, 8):
        Image.new("RGB", (8, 8)).save(tmp_path / f"COCO_val2014_{number:012d}.jpg")
    path = instances(tmp_path / "instances.json", [{"image_id": 7, "category_id": 1}], images=(7, 8, 9))
    items = caption_items(tmp_path, path, coco())
    assert {item.image_id: item.truth["objects"] for item in items} == {"7": ["person"], "8": []}


def test_a_file_of_negatives_only_is_read_but_one_of_pictures_with_unknown_objects_is_not(tmp_path: Path) -> None:
    negatives = instances(tmp_path / "negatives.json", [], images=(1, 2))
    assert read_coco(negatives, coco()) == {"1": frozenset(), "2": frozenset()}
    unknown = tmp_path / "image_info_test2014.json"
    unknown.write_text(json.dumps({"info": {}, "images": [{"id": 1}], "categories": CATEGORIES}))
    with pytest.raises(InputError, match="has no annotations"):
        read_coco(unknown, coco())


def test_a_byte_order_mark_changes_nothing(both: list[Path]) -> None:
    objects = read_objects(both, coco(), Reader())
    for path in both:
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    for path in both:
        with path.open("rb") as file:
            assert is_coco(file)
    assert read_objects(both, coco(), Reader()) == objects


@pytest.mark.parametrize("first", ["info", "images", "annotations", "licenses", "categories", "type"])
def test_the_format_is_known_by_its_first_key(tmp_path: Path, first: str) -> None:
    with instances(tmp_path / "x.json", [], first=first).open("rb") as file:
        assert is_coco(file)
        assert file.tell() == 0


def test_a_file_of_objects_is_not_taken_for_it(tmp_path: Path) -> None:
    path = tmp_path / "objects.jsonl"
    path.write_text('{"image_id": 1, "objects": []}\n')
    with path.open("rb") as file:
        assert not is_coco(file)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"info": {}, "annotations": []}', "has no annotations"),
        (
            '{"info": {}, "annotations": [{"image_id": 1}]}',
            "annotation 1 has neither a caption nor a known category_id",
        ),
        ('{"info": {}, "annotations": [{"image_id"', "is not a complete JSON file"),
        (
            '{"info": {}, "categories": [{"id": 1, "name": "unicorn"}], "annotations": []}',
            "'unicorn' is not in the voc",
        ),
        ('{"info": {}, "annotations": [1]}', "is not a list of objects"),
        ('{"info": {}, "images": [1]}', "is not a list of objects"),
        ('{"info": {}, "images": [{"file_name": "1.jpg"}]}', "picture 1: there is no 'id'"),
        ('{"info": {}, "annotations": [{"caption": "A dog"}]}', "annotation 1: there is no 'image_id'"),
        (
            '{"info": {}, "annotations": [{"image_id": 1.5, "caption": "A dog"}]}',
            "annotation 1: 'image_id' is a number",
        ),
        ('{"info": {}, "annotations": [{"image_id": 1, "category_id": []}]}', "is not COCO's annotations"),
    ],
)
def test_a_damaged_file_is_refused_with_the_reason(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "instances.json"
    path.write_text(text)
    with pytest.raises(InputError, match=problem):
        read_coco(path, coco())
