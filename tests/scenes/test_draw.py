"""What is drawn comes with its truth: objects, a caption, and questions as in POPE."""

import json
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from farsight.errors import InputError
from farsight.metrics.vocabulary import read_vocabulary
from farsight_scenes import CATEGORIES, mentions, sample_scene, vocabulary_path
from farsight_scenes import draw as drawing
from farsight_scenes.draw import draw
from farsight_scenes.language import write_caption
from farsight_scenes.pope import KINDS, write_questions
from farsight_scenes.world import PLACES

SCENES = [sample_scene("test", index) for index in range(60)]


def read(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_pictures_come_with_their_truth(tmp_path: Path) -> None:
    out = tmp_path / "new" / "folder"
    draw("test", 3, out, side=64)
    rows = read(out / "objects.jsonl")
    for row, caption, scene in zip(rows, read(out / "captions.jsonl"), SCENES, strict=False):
        assert row["image_id"] == caption["image_id"] == scene.image_id
        assert row["objects"] == list(scene.objects)
        assert row["prompt"] == f"Name {len(scene.objects)} objects in this picture, each in a sentence."
        assert set(mentions(str(caption["caption"]))) == set(scene.objects)
        assert Image.open(out / str(row["file_name"])).size == (64, 64)
    for kind in KINDS:
        questions = read(out / f"pope_{kind}.jsonl")
        assert [row["question_id"] for row in questions] == list(range(1, 19))
        objects = {row["file_name"]: row["objects"] for row in rows}
        for question in questions:
            asked = mentions(str(question["text"]))
            assert (asked[0] in objects[question["image"]]) == (question["label"] == "yes")
    assert {path.name for path in out.iterdir()} == {
        *("objects.jsonl", "captions.jsonl", "pope_random.jsonl", "pope_popular.jsonl", "pope_adversarial.jsonl"),
        *(f"{scene.image_id}.png" for scene in SCENES[:3]),
    }


def test_the_same_arguments_give_the_same_bytes(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in "ab"]
    for folder in folders:
        draw("shifted", 2, folder, start=5, side=48)
    one, other = ({path.name: path.read_bytes() for path in folder.iterdir()} for folder in folders)
    assert one == other


def test_a_failure_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(drawing, "_caption", broken)
    with pytest.raises(InputError, match="cannot be written"):
        draw("test", 1, tmp_path / "out", side=32)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("kept")
    with pytest.raises(InputError, match="remove it or choose another"):
        draw("test", 1, tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "kept"


@pytest.mark.parametrize(("count", "start", "side"), [(0, 0, 64), (1, -1, 64), (1, 0, 8)])
def test_numbers_without_meaning_are_refused(count: int, start: int, side: int, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"(count|start|side) must be from"):
        draw("test", count, tmp_path / "out", start=start, side=side)


def test_it_runs_as_a_module(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "farsight_scenes.draw", "--count", "1", "--side", "32", "--out", str(tmp_path)]
    subprocess.run(command, check=True, env={"PYTHONPATH": ":".join(sys.path)})
    again = subprocess.run(command, capture_output=True, text=True, env={"PYTHONPATH": ":".join(sys.path)})
    assert again.returncode == 1
    assert again.stderr.startswith("error: ")
    assert "Traceback" not in again.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_questions_are_balanced_and_ask_about_no_object_twice(kind: str) -> None:
    for scene in SCENES:
        asked = [(mentions(question.text)[0], question.there) for question in write_questions(scene, kind)]  # type: ignore[arg-type]
        assert len({name for name, _ in asked}) == len(asked) == 6
        assert all(there == (name in scene.objects) for name, there in asked)
        assert sum(there for _, there in asked) == 3


def test_adversarial_objects_belong_and_popular_ones_are_frequent() -> None:
    belong = {
        kind: sum(
            mentions(question.text)[0] in PLACES[scene.place].own
            for scene in SCENES
            for question in write_questions(scene, kind)
            if not question.there
        )
        for kind in KINDS
    }
    assert belong["adversarial"] > 2 * max(belong["random"], belong["popular"])
    asked = Counter(
        mentions(question.text)[0] for s in SCENES for question in write_questions(s, "popular") if not question.there
    )
    assert sum(count for _, count in asked.most_common(5)) > 0.7 * asked.total()


def test_the_vocabulary_of_chair_reads_captions_as_the_world_means_them() -> None:
    vocabulary = read_vocabulary(vocabulary_path())
    assert set(vocabulary.objects) == set(CATEGORIES)
    dice = random.Random(0)
    for scene in SCENES:
        text = write_caption(scene, dice, false_share=0.5).text
        assert tuple(dict.fromkeys(mention.object for mention in vocabulary.mentions(text))) == mentions(text)
    assert mentions("A mug, two fire hydrants and a traffic cone.") == ("cup", "hydrant", "cone")
