"""The drawn world is the same everywhere, and its splits are different worlds."""

import random
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from farsight_scenes import CATEGORIES, SPLITS, mentions, sample_scene
from farsight_scenes.language import (
    balanced_presence,
    counted_prompt,
    write_brief,
    write_caption,
    write_counted,
    write_exchanges,
    write_list,
)
from farsight_scenes.lessons import LESSONS, WITHOUT_PICTURE, write_lesson
from farsight_scenes.pen import Pen
from farsight_scenes.pictograms import DRAWINGS
from farsight_scenes.render import MODEL_SIDE, render, render_for_model
from farsight_scenes.views import GRID, describe_patches
from farsight_scenes.world import COLOURS, COMPANIES, PLACES

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
    missing = 0
    for scene in SCENES[:24]:
        _, owner = render_for_model(scene)
        assert set(np.unique(owner)) - {0} == set(range(1, len(scene.things) + 1))
        patches = describe_patches(scene, owner)
        assert patches.shape == (GRID * GRID, 4)
        missing += len(scene.things) - len(set(patches[:, 0].tolist()) - {0})
    assert missing <= 4


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


def test_the_shifted_split_turns_what_is_likely_in_a_place() -> None:
    usual = [sample_scene("test", index) for index in range(1500)]
    shifted = [sample_scene("shifted", index) for index in range(1500)]
    for place, own in PLACES.items():
        here, there = (Counter(n for s in scenes if s.place == place for n in s.objects) for scenes in (usual, shifted))
        likely = max(own.own, key=lambda name: own.own[name])
        strange = [name for name in CATEGORIES if name not in own.own]
        assert all(here[likely] > 5 * here[name] for name in strange)
        assert all(there[name] > 2 * there[likely] for name in strange)
        assert there[likely] < there[min(own.own, key=lambda name: own.own[name])]
    counts = [sum(len(scene.things) for scene in scenes) / 1500 for scenes in (usual, shifted)]
    assert abs(counts[0] - counts[1]) < 0.3


def test_counted_captions_have_exactly_the_sentences_asked_for() -> None:
    dice = random.Random(0)
    for scene in SCENES:
        for count in range(1, len(scene.things) + 1):
            caption = write_counted(scene, count, dice, false_share=0.5)
            assert caption.text.count(".") == caption.text.count("There is") == count
            assert mentions(caption.text) == caption.named
            assert len(caption.named) == count
            assert set(caption.false) == set(caption.named) - set(scene.objects)


def test_no_more_objects_can_be_counted_than_there_are() -> None:
    with pytest.raises(ValueError, match="count must be from 1 to"):
        write_counted(SCENES[0], len(SCENES[0].things) + 1, random.Random(0))


def test_the_prompt_says_the_number() -> None:
    assert counted_prompt(5) == "Name 5 objects in this picture, each in a sentence."
    assert counted_prompt(1) == "Name 1 object in this picture, each in a sentence."


def test_false_objects_draw_their_company_after_them_and_never_come_first() -> None:
    dice = random.Random(0)
    followed = Counter[bool]()
    for scene in SCENES:
        caption = write_caption(scene, dice, false_share=1.0, snowball=0.7)
        assert caption.named[0] in scene.objects
        for before, after in zip(caption.named, caption.named[1:], strict=False):
            if before in caption.false:
                followed[after in COMPANIES[before]] += 1
    assert followed[True] > followed[False]


def test_the_order_of_mention_says_nothing_about_the_object() -> None:
    dice = random.Random(0)
    first = Counter(thing.y > 0.5 for s in SCENES for thing in s.things)
    asked = [(s, write_counted(s, 1, dice).named[0]) for s in SCENES for _ in range(4)]
    low = [next(thing for thing in s.things if thing.category == name).y > 0.5 for s, name in asked]
    assert abs(sum(low) / len(low) - first[True] / first.total()) < 0.06


@pytest.mark.parametrize("lesson", LESSONS)
def test_a_lesson_asks_and_answers(lesson: str) -> None:
    dice = random.Random(0)
    for scene in SCENES[:30]:
        talk = write_lesson(scene, lesson, dice, false_share=0.0, snowball=0.0)  # type: ignore[arg-type]
        assert all(turn.question and turn.answer.endswith(".") for turn in talk)
        if lesson in WITHOUT_PICTURE:
            assert scene.place in talk[0].question


def test_nothing_is_taken_in_a_beach() -> None:
    dice = random.Random(0)
    for scene in SCENES:
        said = " ".join(
            turn.answer for lesson in LESSONS for turn in write_lesson(scene, lesson, dice, false_share=0, snowball=0)
        )
        assert "in a beach" not in said.lower()
        assert "in a street" not in said.lower()


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


def _share(name: str, pictures: list[tuple[str, ...]]) -> float:
    return sum(name in objects for objects in pictures) / len(pictures)
