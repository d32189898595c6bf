"""Ground truth comes straight from COCO's annotation files: outlined objects and those of reference captions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from farsight.errors import InputError
from farsight.metrics import chair
from farsight.metrics.captions import read_objects
from farsight.metrics.coco import is_coco, read_coco
from farsight.metrics.records import Reader
from farsight.metrics.vocabulary import coco

CATEGORIES = [{"id": 1, "name": "person"}, {"id": 6, "name": "bus"}]


def instances(path: Path, annotations: list[dict[str, Any]], *, first: str = "info") -> Path:
    path.write_text(json.dumps({first: {}, "images": [], "annotations": annotations, "categories": CATEGORIES}))
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

    objects = read_coco(path, coco(), opener=lambda path: Watched(path.open("rb")))  # type: ignore[arg-type, return-value]
    assert len(objects) == 20_000
    assert 0 < largest < path.stat().st_size / 4


@pytest.mark.parametrize("first", ["info", "images", "annotations", "licenses", "categories", "type"])
def test_the_format_is_known_by_its_first_key(tmp_path: Path, first: str) -> None:
    assert is_coco(instances(tmp_path / "x.json", [], first=first))


def test_a_file_of_objects_is_not_taken_for_it(tmp_path: Path) -> None:
    path = tmp_path / "objects.jsonl"
    path.write_text('{"image_id": 1, "objects": []}\n')
    assert not is_coco(path)
    assert not is_coco(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"info": {}, "annotations": []}', "has no annotations"),
        (
            '{"info": {}, "annotations": [{"image_id": 1}]}',
            "annotation 1 has neither a caption nor a known category_id",
        ),
        ('{"info": {}, "annotations": [{"image_id"', "not a complete JSON file"),
        (
            '{"info": {}, "categories": [{"id": 1, "name": "unicorn"}], "annotations": []}',
            "'unicorn' is not in the voc",
        ),
        ('{"info": {}, "annotations": [1]}', "is not a list of objects"),
    ],
)
def test_a_damaged_file_is_refused_with_the_reason(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "instances.json"
    path.write_text(text)
    with pytest.raises(InputError, match=problem):
        read_coco(path, coco())
