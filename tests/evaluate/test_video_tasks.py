"""Videos are asked about as pictures are, in batches, resumably, and with order, count and event beside."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image
from tiny_checkpoint import save_tiny_llava
from tiny_video_checkpoint import save_tiny_video_model

from farsight import FarSight, InputError, Plain
from farsight.evaluate.local import LocalEngine, answer
from farsight.evaluate.named_tasks import TaskOptions, make_task
from farsight.evaluate.page import differences_table, figures_table, run_page
from farsight.evaluate.plan import Plan
from farsight.evaluate.run import run
from farsight.evaluate.run_folder import opened
from farsight.evaluate.scores import score_run
from farsight.evaluate.tasks import Task
from farsight.images import open_frames
from farsight.inputs.checkpoints import LoadedModel, load
from farsight_scenes.draw import draw_videos
from farsight_scenes.video.videos import sample_video

PARTS = ["free", "counted", "pope_random", "pope_popular", "pope_adversarial", "order", "count", "event"]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    folder = save_tiny_video_model(tmp_path_factory.mktemp("tiny"))
    return load(folder, device="cpu")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos") / "pictures"
    draw_videos("validation", 2, folder, side=48)
    return folder


@pytest.fixture
def videos(drawn: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(drawn, tmp_path / "pictures"))


@pytest.fixture
def task(videos: Path) -> Task:
    return make_task("videos:validation", TaskOptions(count=2, max_new_tokens=5), videos)


def plan_of(task: Task) -> Plan:
    strong = FarSight(sigma=0.01, strength=1e4, horizon="infinite")  # says something else, so that there is a picture
    return Plan(model="tiny", task=task, methods={"greedy": Plain(), "farsight": strong}, batch_size=4)


def test_everything_is_asked_about_every_video(task: Task) -> None:
    assert list(task.parts) == PARTS
    assert [len(items) for items in task.parts.values()] == [2, 2, 12, 12, 12, 2, 2, 2]
    for index in range(2):
        video = sample_video("validation", index)
        free, counted = (task.parts[part][index] for part in ("free", "counted"))
        assert free.truth["objects"] == sorted(video.objects)
        assert free.prompt == "Describe this video."
        assert counted.prompt == f"Name {len(video.objects)} objects in this video, each in a sentence."
    assert {item.medium for item in task.items} == {"video"}
    assert len({item.item_id for item in task.items}) == len(task.items)


def test_fewer_questions_of_each_kind_are_asked_if_wanted(videos: Path) -> None:
    options = TaskOptions(count=2, question_count=1)
    items = make_task("videos:validation", options, videos).parts
    assert [len(part) for part in items.values()] == [2, 2, 1, 1, 1, 1, 1, 1]
    assert make_task("videos:validation", options, videos).sources["question_count"] == "1"


def test_the_first_videos_are_left_out_if_wanted_and_another_run_does_not_go_on_with_them(tmp_path: Path) -> None:
    behind = make_task("videos:validation", TaskOptions(count=1, skip=2), tmp_path / "videos")
    assert {item.image_id for item in behind.items} == {sample_video("validation", 2).video_id}
    with pytest.raises(InputError, match="holds 1 other videos"):
        make_task("videos:validation", TaskOptions(count=1), tmp_path / "videos")


def test_the_files_and_settings_decide_whether_a_run_goes_on(task: Task, videos: Path) -> None:
    again = make_task("videos:validation", TaskOptions(count=2, max_new_tokens=5), videos)
    assert again.sources == task.sources
    rows = (videos / "questions.jsonl").read_text().replace('"Yes."', '"No."', 1)
    (videos / "questions.jsonl").write_text(rows)
    other = make_task("videos:validation", TaskOptions(count=2, max_new_tokens=5), videos)
    before, now = task.sources["drawn"], other.sources["drawn"]
    assert {name for name in before if before[name] != now[name]} == {"questions"}


def test_a_run_cut_off_ends_with_the_same_bytes_and_is_scored(task: Task, loaded: LoadedModel, tmp_path: Path) -> None:
    plan = plan_of(task)
    for name in ("whole", "cut"):
        with opened(tmp_path / name, plan.record()) as folder:
            run(plan, folder, LocalEngine(load=lambda: loaded))
            rows = dict(folder.rows)
    answers = tmp_path / "cut" / "answers.jsonl"
    whole = (tmp_path / "whole" / "answers.jsonl").read_bytes()
    answers.write_bytes(whole[: len(whole) // 2])
    with opened(tmp_path / "cut", plan.record()) as folder:
        run(plan, folder, LocalEngine(load=lambda: loaded))
    assert answers.read_bytes() == whole
    parts = score_run(task, list(plan.methods), rows)
    assert [part.part for part in parts] == PARTS
    assert [part.kind for part in parts] == ["caption"] * 2 + ["question"] * 3 + ["exact"] * 3
    order = parts[PARTS.index("order")]
    assert order.figures["greedy"]["questions"] == 2
    assert figures_table(order).columns == ["order", "n", "accuracy", "ended", "absorbed"]
    assert differences_table(order, "greedy").columns == ["minus greedy", "accuracy ↑"]
    pictures = {item.image_id: item.path for item in task.items}
    html = run_page("videos", parts, pictures, "")
    assert html.count("The picture validation-000000-video") >= 1


def test_right_answers_are_scored_as_right(task: Task) -> None:
    rows = {
        ("m", item.item_id): {
            "text": item.truth.get("answer") or item.truth.get("label") or " ".join(item.truth["objects"]),
            "failed": None, "absorbed": None, "ended": True, "tokens": 1,
        }
        for item in task.items
    }  # fmt: skip
    for part in score_run(task, ["m"], rows):
        figures = part.figures["m"]
        assert figures["chair_s" if part.kind == "caption" else "accuracy"] == (0 if part.kind == "caption" else 1)


def test_answers_in_a_batch_are_those_alone(loaded: LoadedModel, task: Task) -> None:
    items = [task.parts["free"][0], task.parts["order"][1]]
    shown, prompts = [open_frames(item.path) for item in items], [item.prompt for item in items]
    together = answer(loaded, FarSight(sigma=0.1), shown, prompts, max_new_tokens=6)
    alone = [
        answer(loaded, FarSight(sigma=0.1), [frames], [prompt], max_new_tokens=6)[0]
        for frames, prompt in zip(shown, prompts, strict=True)
    ]
    assert [one.text for one in together] == [one.text for one in alone]
    assert [one.absorbed for one in together] == pytest.approx([one.absorbed for one in alone], abs=1e-4)


def test_a_damaged_frame_is_recorded_and_the_others_are_answered(
    task: Task, loaded: LoadedModel, tmp_path: Path
) -> None:
    broken = task.parts["free"][1].path
    (broken / "03.png").write_bytes(b"no picture")
    plan = plan_of(task)
    with opened(tmp_path / "run", plan.record()) as folder:
        run(plan, folder, LocalEngine(load=lambda: loaded))
    rows = [json.loads(line) for line in (tmp_path / "run" / "answers.jsonl").read_text().splitlines()]
    assert {row["image_id"] for row in rows if row["failed"]} == {broken.name}
    assert all("03.png" in row["failed"] for row in rows if row["failed"])
    assert len(rows) == plan.answers


def test_a_video_without_frames_is_noticed_before_the_run(task: Task, videos: Path) -> None:
    shutil.rmtree(task.items[0].path)
    with pytest.raises(InputError, match=r"no folder of frames of the video 'validation-000000-video'"):
        make_task("videos:validation", TaskOptions(count=2), videos)


def test_a_model_of_pictures_takes_no_videos(tmp_path: Path) -> None:
    loaded = load(save_tiny_llava(tmp_path / "llava"), device="cpu")
    frames = [Image.new("RGB", (8, 8))] * 8
    with pytest.raises(InputError, match="takes no videos; pass a model that does"):
        answer(loaded, Plain(), [frames], ["What?"], max_new_tokens=2)
