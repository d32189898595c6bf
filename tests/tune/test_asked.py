"""What is asked, and what stands together in the split."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from farsight.errors import InputError, SettingError
from farsight.evaluate.named_tasks import TaskOptions
from farsight.evaluate.tasks import Item, Task
from farsight.metrics.vocabulary import coco
from farsight.tune.agreement import agreement
from farsight.tune.asked import PICTURES_ALONE, annotated, by_picture, choose, make


def task(*items: Item) -> Task:
    return Task(name="t", items=items, vocabulary=coco(), sources={})


def item(name: str, path: str | None, prompt: str, part: str = "p") -> Item:
    return Item(
        item_id=f"{part}/{name}", part=part, kind="caption", image_id=name, path=None if path is None else Path(path),
        prompt=prompt, max_new_tokens=9,
    )  # fmt: skip


def test_all_about_one_picture_stands_together_and_so_does_one_prompt_without_pictures() -> None:
    pictures = task(*(item(f"{n}", f"{n}.png", "same", part) for part in "ab" for n in range(8)))
    assert [[one.item_id for one in about] for about in by_picture(pictures)][:2] == [["a/0", "b/0"], ["a/1", "b/1"]]
    lists = task(*(item(f"{n}", None, f"{n % 9}") for n in range(18)))
    assert [len(about) for about in by_picture(lists)] == [2] * 9


def test_what_has_nothing_to_choose_by_is_refused() -> None:
    with pytest.raises(InputError, match="at least 8"):
        by_picture(task(*(item(f"{n}", f"{n}.png", "?") for n in range(7))))
    with pytest.raises(InputError, match="asks for no captions"):
        by_picture(task())


@pytest.fixture
def options(tmp_path: Path) -> TaskOptions:
    for number in range(9):
        Image.new("RGB", (9, 9)).save(tmp_path / f"{number}.png")
    objects = tmp_path / "objects.jsonl"
    objects.write_text("".join(json.dumps({"image_id": n, "objects": ["dog"]}) + "\n" for n in range(9)))
    return TaskOptions(images=tmp_path, objects=(objects,))


def test_every_picture_is_asked_about_with_every_prompt(options: TaskOptions, tmp_path: Path) -> None:
    prompts = ["What is this?", "List all."]
    made = make(choose(None, options, prompts), options, prompts, tmp_path)
    assert [len(about) for about in by_picture(made)] == [2] * 9
    assert {one.part: one.prompt for one in made.items} == {"captions 1": "What is this?", "captions 2": "List all."}
    assert len({one.item_id for one in made.items}) == 18
    assert annotated(made).present("3") == {"dog"}


def test_pictures_alone_are_described_and_nothing_is_known_of_them(options: TaskOptions, tmp_path: Path) -> None:
    alone = TaskOptions(images=options.images, count=8)
    name = choose(None, alone, [])
    assert name == PICTURES_ALONE
    made = make(name, alone, [], tmp_path)
    assert [one.image_id for one in made.items] == [f"{n}.png" for n in range(8)]
    assert annotated(made).verdict("3.png", "dog") is None


def test_several_prompts_are_for_pictures_of_ones_own() -> None:
    with pytest.raises(SettingError, match="several --prompt are for --images"):
        choose("scenes:test", TaskOptions(), ["a", "b"])
    with pytest.raises(SettingError, match="Pass --images DIR"):
        choose(None, TaskOptions(), [])


def test_agreement_says_what_differs_and_never_who_is_better() -> None:
    items = [item(f"{n}", f"{n}.png", "?") for n in range(2)]
    said = {
        ("plain", "p/0"): "A dog and a cat.", ("other", "p/0"): "A dog and a boat and a car.",
        ("plain", "p/1"): "A dog.", ("other", "p/1"): "A dog.",
    }  # fmt: skip
    found = agreement(
        "plain", ["other"], items, {key: {"text": text} for key, text in said.items()}, annotated(task()), left_out={}
    )
    assert (found.same["other"], found.added["other"], found.dropped["other"]) == (0.5, 1.0, 0.5)
    assert found.unknown == 5
    assert "nothing here says which method is better" in found.sentence
