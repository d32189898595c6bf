"""A language model learns to see: what is trained is small, what is saved is whole, and a killed run goes on."""

from __future__ import annotations

import random
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, LlavaForConditionalGeneration

from farsight import FarSight
from farsight.errors import InputError
from farsight.inputs import checkpoints
from farsight.inputs.checkpoints import LoadedModel
from farsight_scenes import checkpoint_path, progress, sample_scene
from farsight_scenes.lessons import write_lesson
from farsight_scenes.render import render_for_model
from farsight_scenes.seeing import train as training
from farsight_scenes.seeing.network import CELLS, PROJECTOR, build_seeing_model, build_seeing_tokenizer
from farsight_scenes.seeing.plan import SeeingPlan, make_seeing_plan, read_seeing_plan, seeing_plan_path
from farsight_scenes.seeing.train import TRAINED, cells, language_loss, look, projector_loss, train_seeing
from farsight_scenes.views import Views, _block
from farsight_scenes.world import Split

PLAN = """
kind = "seeing"
scenes = 16
false_share = 0.3
snowball = 0.7
save_every = 2
rank = 2
start = { model = "llama" }
projector = { steps = 3, batch = 8, rate = 1e-3 }
[[language]]
name = "reading"
steps = 4
batch = 4
rate = 1e-3
lessons = { list = 1.0, questions = 1.0, imagined = 1.0 }
"""


class PowerCutError(Exception):
    """Stands for a kill."""


@pytest.fixture(scope="module", autouse=True)
def _one_process() -> Iterator[None]:
    """Draw here: a pool costs seconds, and what it draws is the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "make_views", _views)
        yield


def _views(split: Split, count: int) -> Views:
    pixels, patches = _block(split, 0, count)
    return Views(pixels=pixels, patches=patches)


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> SeeingPlan:
    """A plan whose language model is a Llama that has not learnt anything."""
    folder = tmp_path_factory.mktemp("plan")
    tokenizer = AutoTokenizer.from_pretrained(checkpoint_path(), extra_special_tokens={})
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(folder / "llama")
    tokenizer.save_pretrained(folder / "llama")
    (folder / "plan.toml").write_text(PLAN, encoding="utf-8")
    return read_seeing_plan(folder / "plan.toml")


@pytest.fixture(scope="module")
def finished(plan: SeeingPlan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run."""
    return train_seeing(plan, tmp_path_factory.mktemp("run")).parent


@pytest.fixture(scope="module")
def loaded(finished: Path) -> LoadedModel:
    """What any command loads of it."""
    return checkpoints.load(finished / "model")


def test_the_model_is_the_tower_and_the_language_model_with_what_was_trained_between_and_beside(
    plan: SeeingPlan, finished: Path, loaded: LoadedModel
) -> None:
    trained = load_file(finished / TRAINED)
    image = LlavaForConditionalGeneration.from_pretrained(checkpoint_path(), dtype=torch.float32)
    llama = LlamaForCausalLM.from_pretrained(plan.start.folder)
    weights = loaded.model.state_dict()
    for name, value in image.model.vision_tower.state_dict().items():
        torch.testing.assert_close(weights[f"model.vision_tower.{name}"], value)
    down = trained["layers.1.mlp.down_proj.lora_b"].float() @ trained["layers.1.mlp.down_proj.lora_a"].float()
    assert down.abs().max() > 1e-4
    whole = llama.model.layers[1].mlp.down_proj.weight + 2 * down
    kept = weights["model.language_model.layers.1.mlp.down_proj.weight"]
    torch.testing.assert_close(kept, whole, atol=1e-4, rtol=1e-3)
    norm = "layers.1.input_layernorm.weight"
    torch.testing.assert_close(weights[f"model.language_model.{norm}"], llama.model.state_dict()[norm])


def test_the_model_says_of_a_picture_what_it_said_in_training(
    plan: SeeingPlan, finished: Path, loaded: LoadedModel
) -> None:
    """The loss of one conversation: by the training's sum, and by Transformers with the picture and the labels."""
    tokenizer = build_seeing_tokenizer(plan.start.folder)
    seen, _ = look(loaded.model, 2, finished / "two.safetensors")
    lists = replace(plan.language[0], lessons={"list": 1.0})
    scene = sample_scene("train", 1)
    with torch.no_grad():
        trained, _ = language_loss(loaded.model, tokenizer, seen, plan, lists)(torch.tensor([1]), 0)
    dice = random.Random(f"farsight scenes, {plan.seed}, {lists.name}, words of step 0")
    dice.choices(["list"], [1.0])
    talk = write_lesson(scene, "list", dice, false_share=plan.false_share, snowball=plan.snowball)
    asked = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": talk[0].question}]}]
    told = {"role": "assistant", "content": talk[0].answer}
    prompt = loaded.processor.apply_chat_template(asked, add_generation_prompt=True)
    whole = loaded.processor.apply_chat_template([*asked, told]).replace("ASSISTANT:  ", "ASSISTANT: ")
    picture, _ = render_for_model(scene)
    first = loaded.processor(images=picture, text=prompt, return_tensors="pt")["input_ids"].shape[1]
    inputs = loaded.processor(images=picture, text=whole, return_tensors="pt")
    assert int((inputs["input_ids"] == loaded.model.config.image_token_id).sum()) == CELLS * CELLS
    labels = inputs["input_ids"].clone()
    labels[:, :first] = -100
    with torch.no_grad():
        loss = loaded.model(**inputs, labels=labels).loss
    torch.testing.assert_close(loss, trained, atol=1e-2, rtol=0)  # what is kept of the tower is bfloat16


def test_farsight_is_on_for_a_model_that_has_learnt_to_see(loaded: LoadedModel) -> None:
    talk = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "List the objects."}]}]
    text = loaded.processor.apply_chat_template(talk, add_generation_prompt=True)
    picture, _ = render_for_model(sample_scene("test", 0))
    inputs = loaded.processor(images=picture, text=text, return_tensors="pt")
    how = {"max_new_tokens": 3, "min_new_tokens": 3, "do_sample": False}
    how |= {"return_dict_in_generate": True, "output_logits": True}
    plain = loaded.model.generate(**inputs, **how).logits
    with FarSight(sigma=0.01)(loaded.model):
        registers = loaded.model.generate(**inputs, **how).logits
    assert not torch.equal(torch.stack(plain), torch.stack(registers))


def test_patches_are_grouped_as_the_projector_groups_them(plan: SeeingPlan) -> None:
    model = build_seeing_model(plan.start.folder, build_seeing_tokenizer(plan.start.folder))
    numbers = torch.arange(4 * CELLS**2)
    shuffled = model.model.multi_modal_projector.pixel_shuffle(numbers[None, :, None].float())
    assert torch.equal(shuffled.reshape(CELLS**2, 4).long().sort(1).values, cells(numbers[None, :, None])[0, ..., 0])


def test_the_projector_learns_to_say_what_is_seen_in_words(plan: SeeingPlan, tmp_path: Path) -> None:
    tokenizer = build_seeing_tokenizer(plan.start.folder)
    model = build_seeing_model(plan.start.folder, tokenizer)
    seen, patches = look(model, plan.scenes, tmp_path / "seen")
    words = projector_loss(model, tokenizer, seen, patches)
    before, _ = words(torch.arange(16), 0)
    projecting = replace(plan.projector, steps=30)
    still = replace(plan.language[0], steps=1, rate=1e-9)
    train_seeing(replace(plan, projector=projecting, language=(still,), save_every=30), tmp_path)
    saved = load_file(tmp_path / TRAINED)
    projector = {name.removeprefix(PROJECTOR): value for name, value in saved.items() if name.startswith(PROJECTOR)}
    model.model.multi_modal_projector.load_state_dict(projector)
    assert words(torch.arange(16), 0)[0] < 0.5 * before


@pytest.mark.parametrize("saves", [1, 2, 3])
def test_a_killed_run_goes_on_to_the_same_weights(
    saves: int, plan: SeeingPlan, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
        train_seeing(plan, tmp_path)
    monkeypatch.undo()
    monkeypatch.setattr(training, "make_views", lambda split, count: pytest.fail("drawn again"))
    train_seeing(plan, tmp_path)
    again, whole = load_file(tmp_path / TRAINED), load_file(finished / TRAINED)
    assert all(torch.equal(again[name], whole[name]) for name in whole)


def test_other_pictures_are_looked_at_again_and_a_damaged_view_is_named(plan: SeeingPlan, tmp_path: Path) -> None:
    model = build_seeing_model(plan.start.folder, build_seeing_tokenizer(plan.start.folder))
    kept = tmp_path / "seen.safetensors"
    assert len(look(model, 2, kept)[0]) == 2
    assert len(look(model, 3, kept)[0]) == 3
    kept.write_bytes(b"x" * 100)
    with pytest.raises(InputError, match=r"seen\.safetensors"):
        look(model, 3, kept)


def test_a_run_does_not_go_on_with_another_language_model(plan: SeeingPlan, tmp_path: Path) -> None:
    llama = tmp_path / "llama"
    llama.mkdir()
    weights = load_file(plan.start.folder / "model.safetensors")
    save_file({name: value + 1 for name, value in weights.items()}, llama / "model.safetensors")
    (tmp_path / "plan.toml").write_text(PLAN, encoding="utf-8")
    assert read_seeing_plan(tmp_path / "plan.toml").start.weights != plan.start.weights


def _without(key: str) -> Callable[[dict[str, Any]], object]:
    return lambda data: data.pop(key)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (_without("rank"), "rank"),
        (_without("start"), "start"),
        (_without("projector"), "projector"),
        (lambda data: data.update(rank=0), "rank"),
        (lambda data: data.update(rank=1.5), "rank"),
        (lambda data: data.update(start={"model": "nowhere"}), "nowhere"),
        (lambda data: data.update(start={"model": 7}), "7"),
        (lambda data: data["projector"].update(lessons={"list": 1.0}), "lessons"),
        (lambda data: data["language"][0].update(sinks=0.5), "sinks"),
        (lambda data: data["language"][0].update(lessons={"sing": 1.0}), "sing"),
        (lambda data: data.update(speed=1), "speed"),
    ],
)
def test_a_wrong_setting_is_refused_in_one_line_that_names_the_file(
    change: Callable[[dict[str, Any]], object], complaint: str, plan: SeeingPlan
) -> None:
    path = plan.start.folder.parent / "plan.toml"
    data = tomllib.loads(PLAN)
    change(data)
    with pytest.raises(InputError) as caught:
        make_seeing_plan(path, data)
    assert "\n" not in str(caught.value)
    assert complaint in str(caught.value)
    assert str(path.parent) in str(caught.value)


def test_the_plan_that_ships_can_be_read() -> None:
    data = tomllib.loads(seeing_plan_path().read_text(encoding="utf-8"))
    data["start"] = {"model": str(checkpoint_path())}  # any weights: SmolLM2 may not be installed
    assert len(make_seeing_plan(seeing_plan_path(), data).language) == 2
