"""A checkpoint is loaded as it is or refused in one line; no code of its own is run and nothing is tried for long."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny_checkpoint import save_tiny_llava, tokenizer
from tiny_video_checkpoint import save_tiny_video_model

from farsight.errors import FarSightError, InputError, SettingError
from farsight.inputs import checkpoints, prompts
from farsight.inputs.frames_processor import FramesProcessor


@pytest.fixture(scope="module")
def llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_llava(tmp_path_factory.mktemp("tiny-llava"))


@pytest.fixture
def folder(llava: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(llava, tmp_path / "copy"))


@pytest.fixture
def picture() -> Image.Image:
    return Image.new("RGB", (40, 30), "red")


def refused(name: str | Path, because: str, kind: type[FarSightError] = InputError, **options: str) -> None:
    with pytest.raises(kind, match=because) as error:
        checkpoints.load(name, **options)
    assert "\n" not in str(error.value)


def test_a_folder_is_loaded_in_float32_on_the_cpu_ready_to_generate(llava: Path, picture: Image.Image) -> None:
    loaded = checkpoints.load(llava, device="cpu")
    assert (loaded.dtype, loaded.device, loaded.name) == (torch.float32, torch.device("cpu"), str(llava))
    assert not loaded.model.training
    assert loaded.takes_images
    inputs = prompts.prompt_inputs(loaded, picture, "What is this?")
    answer = loaded.model.generate(**inputs, max_new_tokens=3, min_new_tokens=3, do_sample=False)
    assert answer.shape[1] == inputs["input_ids"].shape[1] + 3


def test_dtype_and_attention_implementation_are_as_asked(llava: Path, picture: Image.Image) -> None:
    loaded = checkpoints.load(str(llava), device="cpu", dtype="bfloat16", attn_implementation="eager")
    assert loaded.dtype == torch.bfloat16
    assert loaded.model.config._attn_implementation == "eager"
    assert prompts.prompt_inputs(loaded, picture, "What is this?")["pixel_values"].dtype == torch.bfloat16


def test_the_prompt_is_written_in_the_models_own_chat_template(llava: Path, picture: Image.Image) -> None:
    loaded = checkpoints.load(llava, device="cpu")
    ids = prompts.prompt_inputs(loaded, picture, "What is this?")["input_ids"]
    assert loaded.tokenizer.decode(ids[0]) == f"USER: {'<image>' * 4}\nWhat is this? ASSISTANT:"


def test_a_model_without_a_chat_template_gets_its_image_token_and_the_prompt(
    tmp_path: Path, picture: Image.Image
) -> None:
    loaded = checkpoints.load(save_tiny_llava(tmp_path, template=None), device="cpu")
    ids = prompts.prompt_inputs(loaded, picture, "What is this?")["input_ids"]
    assert loaded.tokenizer.decode(ids[0]) == f"{'<image>' * 4}\nWhat is this?"


def test_a_text_only_model_is_loaded_but_takes_no_pictures(tmp_path: Path, picture: Image.Image) -> None:
    words = tokenizer()
    config = transformers.LlamaConfig(
        vocab_size=len(words), hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2
    )
    transformers.LlamaForCausalLM(config).save_pretrained(tmp_path)
    words.save_pretrained(tmp_path)
    loaded = checkpoints.load(tmp_path, device="cpu")
    with pytest.raises(InputError, match="takes no pictures"):
        prompts.prompt_inputs(loaded, picture, "What is this?")


def test_a_model_that_generates_no_text_is_refused(tmp_path: Path) -> None:
    config = transformers.CLIPVisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, image_size=16, patch_size=8
    )
    transformers.CLIPVisionModel(config).save_pretrained(tmp_path)
    refused(tmp_path, "is a clip_vision_model model, which does not generate text")


def edited(**changes: object) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | changes))

    return edit


def cut_short(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])


def pickled(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def incomplete(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights.pop(max(weights))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("damage", "because"),
    [
        (lambda folder: (folder / "config.json").unlink(), "has no config.json"),
        (lambda folder: (folder / "config.json").write_text('{"model_type":'), "config.json: is not JSON"),
        (lambda folder: (folder / "config.json").write_bytes(b"\xff\x00"), "config.json: is not UTF-8 text"),
        (lambda folder: (folder / "config.json").write_text("{}"), "names no model_type"),
        (edited(model_type="never_heard_of"), "does not recognize this architecture"),
        (edited(model_type="new", auto_map={"AutoConfig": "configuration_new.New"}), "needs code of its own"),
        (lambda folder: (folder / "model.safetensors").unlink(), "has no weights"),
        (pickled, "only pickled weights"),
        (cut_short, "weights of .* are damaged"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"hello"), "weights of .* are damaged"),
        (incomplete, "lacks 1 of its weights"),
        (edited(image_token_id=4, projector_hidden_act="no_such_activation"), "cannot be loaded"),
        (lambda folder: (folder / "processor_config.json").unlink(), "the processor of .* cannot be loaded"),
        (lambda folder: (folder / "tokenizer.json").write_text("{"), "the processor of .* cannot be loaded"),
    ],
)  # fmt: skip
def test_a_damaged_checkpoint_is_refused(folder: Path, damage: Callable[[Path], None], because: str) -> None:
    damage(folder)
    refused(folder, because)


def test_weights_of_another_shape_are_refused(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["intermediate_size"] = 48
    (folder / "config.json").write_text(json.dumps(config))
    refused(folder, "do not have the shapes of its config.json")


def test_what_is_no_folder_and_no_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").touch()
    refused(tmp_path / "model.safetensors", "is a file; pass the folder")
    refused(tmp_path / "gone", "was not found; check the path")
    refused("./no/such/folder", "was not found; check the path")
    refused("two words", "neither a folder nor a model name")
    refused(" ", "is empty")


def test_unknown_settings_are_refused(llava: Path) -> None:
    refused(llava, "unknown device 'toaster'; choose cpu", SettingError, device="toaster")
    refused(llava, "device 'meta' is not available", SettingError, device="meta")
    refused(llava, "unknown dtype 'int3'; choose float32", SettingError, dtype="int3")
    refused(llava, "attention implementation 'guess' cannot be used", SettingError, attn_implementation="guess")


@pytest.mark.parametrize(("offline", "remedy"), [("1", "or unset HF_HUB_OFFLINE"), ("0", "or connect to the network")])
def test_an_unknown_name_is_not_looked_for_in_vain(tmp_path: Path, offline: str, remedy: str) -> None:
    """Port 9 of this machine answers to nobody, so a client that tries again and again would run into the limit."""
    script = "from farsight.inputs import checkpoints; checkpoints.load('nobody/no-such-model')"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"HF_HUB_OFFLINE": offline, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "'nobody/no-such-model' was not found locally and could not be downloaded; pass a folder" in done.stderr
    assert remedy in done.stderr.splitlines()[-1]


def test_a_processor_of_frames_is_loaded(tmp_path: Path) -> None:
    loaded = checkpoints.load(save_tiny_video_model(tmp_path), device="cpu")
    assert isinstance(loaded.processor, FramesProcessor)
    assert loaded.takes_videos
    assert not loaded.takes_images
    frames = [Image.new("RGB", (20, 20), (30 * number, 0, 0)) for number in range(8)]
    inputs = prompts.video_inputs(loaded, [frames, frames[::-1]], ["Is there a cup in the video?", "What?"])
    assert inputs["pixel_values_videos"].shape == (2, 8, 3, 128, 128)
    assert inputs["attention_mask"][1, 0] == 0
    assert inputs["attention_mask"][:, -1].all()
    with pytest.raises(InputError, match="takes no pictures"):
        prompts.prompt_inputs(loaded, frames[0], "What?")
