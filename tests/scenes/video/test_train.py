"""A video model is made of an image model, and learns in steps that a kill cannot change."""

import random
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_video_checkpoint import save_tiny_image_model
from torch.nn import functional
from transformers import (
    AutoModelForImageTextToText,
    AutoTokenizer,
    LlavaForConditionalGeneration,
    LlavaNextVideoForConditionalGeneration,
)

from farsight.errors import InputError
from farsight.files import read_toml
from farsight.inputs.frames_processor import FramesProcessor
from farsight_scenes import progress
from farsight_scenes.conversation import tokenize
from farsight_scenes.plan import default_plan_path, differences
from farsight_scenes.video import train as video_train
from farsight_scenes.video.lessons import VIDEO_LESSONS, write_video_lesson
from farsight_scenes.video.network import VIDEO_TOKEN, WORDS, build_video_model, build_video_tokenizer
from farsight_scenes.video.plan import (
    Start,
    VideoPlan,
    VideoStage,
    is_video_plan,
    read_video_plan,
    video_plan_path,
)
from farsight_scenes.video.train import EVENTS, draw_block, train_video, video_loss, video_tokens
from farsight_scenes.video.videos import sample_video
from farsight_scenes.world import Split


class PowerCutError(Exception):
    """Stands for a kill."""


@pytest.fixture(scope="module", autouse=True)
def _one_process() -> Iterator[None]:
    """Draw here: a pool costs seconds, and what it draws is the same."""

    def drawn(split: Split, count: int) -> Iterator[np.ndarray]:
        yield from (draw_block((split, start, min(start + 3, count))) for start in range(0, count, 3))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(video_train, "draw_blocks", drawn)
        yield


@pytest.fixture(scope="module")
def image_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_image_model(tmp_path_factory.mktemp("tiny") / "image")


@pytest.fixture(scope="module")
def plan(image_model: Path) -> VideoPlan:
    return VideoPlan(
        videos=8,
        false_share=0.3,
        snowball=0.7,
        save_every=2,
        start=Start(model=str(image_model), weights="abc"),
        language=(
            VideoStage(name="reading", steps=3, batch=4, rate=1e-3, lessons={"list": 1.0}),
            VideoStage(name="describing", steps=5, batch=4, rate=1e-3, lessons={"counted": 1.0, "events": 1.0}),
        ),
    )


@pytest.fixture(scope="module")
def finished(plan: VideoPlan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_video(plan, tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize("saves", [1, 2, 4])
def test_a_killed_run_goes_on_to_the_same_model(
    saves: int, plan: VideoPlan, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = progress.Run._save
    count = 0

    def save_then_die(run: progress.Run, *arguments: object) -> None:
        nonlocal count
        kept(run, *arguments)  # type: ignore[arg-type]
        count += 1
        if count == saves:
            raise PowerCutError

    monkeypatch.setattr(progress.Run, "_save", save_then_die)
    with pytest.raises(PowerCutError):
        train_video(plan, tmp_path)
    monkeypatch.setattr(progress.Run, "_save", kept)
    again = load_file(train_video(plan, tmp_path) / "model.safetensors")
    for name, value in load_file(finished / "model.safetensors").items():
        assert torch.equal(value, again[name]), name


def test_a_finished_run_trains_nothing_more(plan: VideoPlan, finished: Path) -> None:
    before = (finished / "model.safetensors").read_bytes()
    train_video(plan, finished.parent)
    assert (finished / "model.safetensors").read_bytes() == before


def test_a_run_on_other_weights_is_refused(plan: VideoPlan, finished: Path) -> None:
    other = replace(plan, start=replace(plan.start, weights="xyz"))
    with pytest.raises(InputError, match=r"\(start\.weights is xyz, was abc\): choose another folder"):
        train_video(other, finished.parent)


def test_the_result_is_a_checkpoint_that_answers_about_frames(finished: Path) -> None:
    assert {path.suffix for path in finished.parent.rglob("*.*")} <= {".safetensors", ".json", ".jinja", ".lock"}
    model = AutoModelForImageTextToText.from_pretrained(finished)
    assert isinstance(model, LlavaNextVideoForConditionalGeneration)
    assert model.dtype == torch.float16
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert FramesProcessor.from_pretrained(finished).tokens == model.config.video_seq_length == 8 * 4 * 4


def test_training_changes_the_language_model_and_nothing_else(finished: Path, image_model: Path) -> None:
    trained, image = load_file(finished / "model.safetensors"), load_file(image_model / "model.safetensors")
    fixed = [name for name in image if "language_model" not in name and name != "lm_head.weight"]
    assert len(fixed) > 10
    for name in fixed:
        assert torch.equal(image[name], trained[name]), name
    layers = [name for name in image if "language_model" in name and "up_proj" in name]
    assert layers
    assert not any(torch.equal(image[name], trained[name]) for name in layers)


@pytest.mark.parametrize("language", [True, False])
def test_the_language_model_starts_where_the_plan_says(language: bool, image_model: Path) -> None:
    source = LlavaForConditionalGeneration.from_pretrained(image_model, dtype=torch.float32)
    tokenizer = build_video_tokenizer(image_model)
    model = build_video_model(image_model, tokenizer, language=language)
    mlp = [one.model.language_model.layers[0].mlp.up_proj.weight for one in (source, model)]
    assert torch.equal(*mlp) == language
    words, before = model.get_input_embeddings().weight, source.get_input_embeddings().weight
    assert torch.equal(words[: len(before)], before)
    pieces = AutoTokenizer.from_pretrained(image_model)(" enters", add_special_tokens=False).input_ids
    assert len(pieces) > 1
    assert torch.allclose(words[tokenizer.convert_tokens_to_ids(" enters")], before[pieces].mean(0))


def test_words_of_videos_are_one_token_and_read_back(image_model: Path) -> None:
    tokenizer = build_video_tokenizer(image_model)
    for word in WORDS:
        assert len(tokenizer(word, add_special_tokens=False).input_ids) == 1
    text = "First a red cup enters. Then the boat leaves, 看图 entersome"
    assert tokenizer.decode(tokenizer(text, add_special_tokens=False).input_ids) == text


def test_a_visual_token_is_projected_from_the_mean_of_four_patches(image_model: Path) -> None:
    model = build_video_model(image_model, build_video_tokenizer(image_model), language=True)
    block = draw_block(("train", 0, 2))
    pixels = torch.from_numpy(block).permute(0, 1, 4, 2, 3).float().flatten(0, 1) / 127.5 - 1
    with torch.no_grad():
        states = model.model.vision_tower(pixels, output_hidden_states=True).hidden_states[-1][:, 1:]
        grid = states.unflatten(1, (8, 8))
        means = torch.stack(
            [grid[:, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2].mean((1, 2)) for y in range(4) for x in range(4)], 1
        )
        wanted = model.model.multi_modal_projector(means).unflatten(0, (2, 8)).flatten(1, 2)
    found = video_tokens(model, [block[:1], block[1:]]).float()
    assert found.shape == (2, 128, 24)
    assert torch.allclose(found, wanted, atol=0.03 * wanted.abs().max().item())


@pytest.mark.parametrize("lesson", ["list", "events", "presence"])
def test_the_loss_is_that_of_the_model_on_frames_and_words(lesson: str, plan: VideoPlan, image_model: Path) -> None:
    tokenizer = build_video_tokenizer(image_model)
    model = build_video_model(image_model, tokenizer, language=True)
    block = draw_block(("train", 0, 2))
    stage = VideoStage(name="x", steps=1, batch=2, rate=1e-3, lessons={lesson: 1.0})
    loss, told = video_loss(model, tokenizer, video_tokens(model, [block]), plan, stage)(torch.tensor([0, 1]), 0)
    assert told == lesson
    dice = random.Random(f"farsight videos, {plan.seed}, x, words of step 0")
    dice.choices([lesson], [1.0])
    total = weight = 0.0
    for number in range(2):
        talk = write_video_lesson(sample_video("train", number), lesson, dice, false_share=0.3, snowball=0.7)  # type: ignore[arg-type]
        ids, labels = (torch.tensor([row]) for row in tokenize(tokenizer, talk, 128, VIDEO_TOKEN))
        pixels = torch.from_numpy(block[number : number + 1]).permute(0, 1, 4, 2, 3).float() / 127.5 - 1
        with torch.no_grad():
            logits = model(input_ids=ids, pixel_values_videos=pixels).logits[0, :-1]
        losses = functional.cross_entropy(logits.double(), labels[0, 1:], reduction="none", ignore_index=-100)
        words = [tokenizer.decode([label]).strip() if label >= 0 else "" for label in labels[0, 1:].tolist()]
        counts = {"": 0.0} | dict.fromkeys(EVENTS, 3.0) | {"Yes": 8.0, "No": 8.0}
        own = torch.tensor([counts.get(word, 1.0) for word in words], dtype=torch.float64)
        total, weight = total + (own * losses).sum().item(), weight + own.sum().item()
    assert loss.item() == pytest.approx(total / weight, rel=0.01)


def test_a_stage_may_ask_for_attention_sinks(plan: VideoPlan, image_model: Path) -> None:
    tokenizer = build_video_tokenizer(image_model)
    model = build_video_model(image_model, tokenizer, language=True)
    model.set_attn_implementation("eager")
    features = video_tokens(model, [draw_block(("train", 0, 2))])
    losses = [
        video_loss(model, tokenizer, features, plan, replace(plan.language[0], sinks=share))(torch.tensor([0, 1]), 0)[0]
        for share in (0.0, 0.8)
    ]
    assert losses[1] - losses[0] > 1


def test_the_plan_that_ships_can_be_read() -> None:
    assert is_video_plan(read_toml(video_plan_path()))
    plan = read_video_plan(video_plan_path())
    assert len(plan.start.weights) == 16
    for stage in plan.language:
        assert sum(stage.lessons.values()) == pytest.approx(1)
    assert set(plan.language[-1].lessons) == set(VIDEO_LESSONS)
    assert differences(plan, asdict(plan)) == []


def test_an_image_plan_is_none_of_videos() -> None:
    assert not is_video_plan(read_toml(default_plan_path()))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("seed = 0", "sede = 0"), "unexpected keyword argument 'sede'"),
        (("[start]", "[strat]"), "no table 'start'"),
        (("list = 0.2", "lists = 0.2"), "no lesson 'lists'; choose from caption, counted, story"),
        (('model = "embedded"', 'model = "nowhere"'), "nowhere/model.safetensors: cannot be read"),
        (("videos = 8000", "videos = 2"), "number of pictures or videos must be a whole number from"),
    ],
)
def test_a_wrong_plan_is_refused_in_one_line(change: tuple[str, str], complaint: str, tmp_path: Path) -> None:
    text = video_plan_path().read_text(encoding="utf-8")
    assert change[0] in text
    path = tmp_path / "plan.toml"
    path.write_text(text.replace(*change, 1), encoding="utf-8")
    with pytest.raises(InputError, match=complaint) as caught:
        read_video_plan(path)
    assert "\n" not in str(caught.value)
