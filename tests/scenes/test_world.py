"""The drawn world is the same everywhere, and its splits are different worlds."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from farsight.scenes import CATEGORIES, SPLITS, mentions, sample_scene
from farsight.scenes.draw import draw
from farsight.scenes.language import (
    balanced_presence,
    write_brief,
    write_caption,
    write_exchanges,
    write_list,
)
from farsight.scenes.pen import Pen
from farsight.scenes.pictograms import DRAWINGS
from farsight.scenes.render import MODEL_SIDE, render, render_for_model
from farsight.scenes.views import GRID, describe_patches
from farsight.scenes.world import COLOURS, PLACES

SCENES = [sample_scene("test", index) for index in range(150)]


def test_a_seed_gives_the_same_scene_and_picture() -> None:
    again = sample_scene("test", 3)
    assert again == SCENES[3]
    assert render(again, 96).tobytes() == render(SCENES[3], 96).tobytes()


def test_a_seed_gives_the_same_caption() -> None:
    first, second = (write_caption(SCENES[3], random.Random(5), false_share=0.5) for _ in range(2))
    assert first == second


def test_splits_share_no_scene() -> None:
    layouts = [
        (scene.place, scene.things) for split in SPLITS for scene in (sample_scene(split, n) for n in range(150))
    ]
    assert len(set(layouts)) == len(layouts)


@pytest.mark.parametrize(("split", "index", "complaint"), [("tset", 0, "unknown split 'tset'"), ("test", -1, "got -1")])
def test_a_wrong_split_or_index_is_refused(split: str, index: int, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        sample_scene(split, index)  # type: ignore[arg-type]


def test_scenes_are_what_the_world_promises() -> None:
    for scene in SCENES:
        assert 3 <= len(scene.things) <= 7
        assert len(set(scene.objects)) == len(scene.objects)
        for thing in scene.things:
            assert thing.colour in CATEGORIES[thing.category].colours
            assert thing.size / 2 <= thing.x <= 1 - thing.size / 2
            assert thing.size / 2 <= thing.y <= 1 - thing.size / 2


def test_objects_of_a_company_come_together() -> None:
    kitchens = [scene.objects for scene in (sample_scene("train", n) for n in range(1500)) if scene.place == "kitchen"]
    with_cup = [objects for objects in kitchens if "cup" in objects]
    without = [objects for objects in kitchens if "cup" not in objects]
    assert _share("teapot", with_cup) > _share("teapot", without) + 0.1
    assert _share("car", kitchens) < 0.06


def test_every_object_shows_in_the_map_of_its_picture() -> None:
    for scene in SCENES[:12]:
        _, owner = render_for_model(scene)
        assert set(np.unique(owner)) - {0} == set(range(1, len(scene.things) + 1))
        patches = describe_patches(scene, owner)
        assert patches.shape == (GRID * GRID, 4)
        assert len(set(patches[:, 0].tolist()) - {0}) >= len(scene.things) - 1


@pytest.mark.parametrize("category", CATEGORIES)
def test_every_category_has_a_drawing_that_fills_its_box(category: str) -> None:
    pen = Pen(64, COLOURS[CATEGORIES[category].colours[0]])
    DRAWINGS[category](pen)
    left, top, right, bottom = pen.layer.getchannel("A").getbbox() or (0, 0, 0, 0)
    assert max(right - left, bottom - top) > 50


def test_a_large_picture_reduced_looks_like_a_training_picture() -> None:
    for scene in SCENES[:4]:
        trained, _ = render_for_model(scene)
        reduced = render(scene, 512).resize((MODEL_SIDE, MODEL_SIDE), Image.Resampling.BICUBIC)
        difference = np.abs(np.asarray(trained, np.float32) - np.asarray(reduced, np.float32)).mean()
        assert difference < 4


def test_true_captions_name_what_is_there_and_nothing_else() -> None:
    dice = random.Random(0)
    for scene in SCENES:
        caption = write_caption(scene, dice)
        assert set(mentions(caption.text)) == set(scene.objects)
        assert set(mentions(write_list(scene, dice))) == set(scene.objects)
        assert set(mentions(write_brief(scene, dice))) < set(scene.objects) | {""}
        assert not caption.false


def test_false_captions_name_an_object_of_the_place_that_is_not_there() -> None:
    dice = random.Random(0)
    captions = [(scene, write_caption(scene, dice, false_share=1.0)) for scene in SCENES]
    assert any(len(caption.false) > 1 for _, caption in captions)
    for scene, caption in captions:
        assert set(mentions(caption.text)) == set(scene.objects) | set(caption.false)
        assert not set(caption.false) & set(scene.objects)
        assert set(caption.false) <= set(PLACES[scene.place].own)


def test_questions_are_balanced_and_answered_truly() -> None:
    dice = random.Random(0)
    for scene in SCENES:
        asked = balanced_presence(scene, 3, dice)
        assert all(there == (name in scene.objects) for name, there in asked)
        assert sum(there for _, there in asked) == 3
        for turn in write_exchanges(scene, dice):
            if turn.answer in ("Yes.", "No."):
                assert (mentions(turn.question)[0] in scene.objects) == (turn.answer == "Yes.")


def test_mentions_reads_plurals_and_whole_words_only() -> None:
    assert mentions("Two Dogs, a traffic light, buses; a dog and a category.") == (
        "dog",
        "traffic light",
        "bus",
    )
    assert mentions("The cart carries an eyeball.") == ()


def test_draw_writes_pictures_and_their_truth(tmp_path: Path) -> None:
    draw("test", 2, tmp_path, side=64)
    objects = [json.loads(line) for line in (tmp_path / "objects.jsonl").read_text().splitlines()]
    captions = [json.loads(line) for line in (tmp_path / "captions.jsonl").read_text().splitlines()]
    for row, caption, scene in zip(objects, captions, SCENES, strict=False):
        assert row["objects"] == list(scene.objects)
        assert row["image_id"] == caption["image_id"] == scene.image_id
        assert set(mentions(caption["caption"])) == set(scene.objects)
        assert Image.open(tmp_path / row["file_name"]).size == (64, 64)


def _share(name: str, pictures: list[tuple[str, ...]]) -> float:
    return sum(name in objects for objects in pictures) / len(pictures)
