"""A folder is looked at before Transformers reads it: nothing in it runs, reads elsewhere, or builds without end."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny_checkpoint import save_tiny_llava

from farsight import description
from farsight.errors import InputError
from farsight.inputs import checkpoints
from farsight.method import Plain

Damage = Callable[[Path], object]


@pytest.fixture(scope="module")
def llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_llava(tmp_path_factory.mktemp("tiny-llava"))


@pytest.fixture
def folder(llava: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(llava, tmp_path / "copy"))


def say(folder: Path) -> str:
    loaded = checkpoints.load(folder, device="cpu")
    return description.generate(loaded, Plain(), Image.new("RGB", (40, 30), "red"), "What is this?", 3).text


def edited(file: str, **changes: Any) -> Damage:
    """Change settings; a name with ``__`` is one inside another."""

    def edit(folder: Path) -> None:
        settings = json.loads((folder / file).read_text())
        for name, value in changes.items():
            *within, last = name.split("__")
            place = settings
            for key in within:
                place = place[key]
            place[last] = value
        (folder / file).write_text(json.dumps(settings))

    return edit


def rewritten(file: str, text: str) -> Damage:
    return lambda folder: (folder / file).write_text(text)


def weights(change: Callable[[dict[str, torch.Tensor]], object]) -> Damage:
    def edit(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})

    return edit


def named(tensors: dict[str, torch.Tensor]) -> str:
    return next(name for name in tensors if name.endswith("up_proj.weight"))


def spoiled(value: float) -> Damage:
    def change(tensors: dict[str, torch.Tensor]) -> None:
        tensors[named(tensors)][1, 2] = value

    return weights(change)


def whole(tensors: dict[str, torch.Tensor]) -> None:
    tensors[named(tensors)] = tensors[named(tensors)].to(torch.int64)


def indexed(shard: str) -> Damage:
    """Weights in a shard that an index names."""

    def edit(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        place = folder / shard
        place.parent.mkdir(parents=True, exist_ok=True)
        if shard.endswith(".safetensors"):
            save_file(tensors, place, metadata={"format": "pt"})
        else:
            torch.save(tensors, place)
        (folder / "model.safetensors").rename(folder / "other.safetensors")
        index = {"metadata": {"total_size": 1}, "weight_map": dict.fromkeys(tensors, shard)}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))

    return edit


DEEP = '{"model_type": "llava", "x": ' + "[" * 10_000 + "]" * 10_000 + "}"

REFUSED: dict[str, tuple[Damage, str]] = {
    "a million layers": (edited("config.json", text_config__num_hidden_layers=10**6), "num_hidden_layers is 1000000"),
    "many layers of sight": (edited("config.json", vision_config__num_hidden_layers=99_999), "config.json.*99999"),
    "wide layers": (edited("config.json", text_config__intermediate_size=10**9), "config.json: is of .* weights"),
    "a picture of ten million dots": (edited("config.json", vision_config__image_size=10**7), "config.json: is of"),
    "many layers, each of them wide": (
        edited("config.json", text_config__num_hidden_layers=1000, text_config__intermediate_size=10**5),
        "config.json: is of .* weights",
    ),
    "labels": (edited("config.json", num_labels=10**9), "config.json: num_labels is 1000000000"),
    "a list of depths": (edited("config.json", vision_config__depths=[2, 10**7]), "config.json: depths"),
    "a number of 30 digits": (edited("config.json", text_config__vocab_size=10**30), "config.json: vocab_size is 1e"),
    "a number of 6,000 digits": (rewritten("config.json", f'{{"n": {"9" * 6000}}}'), "config.json"),
    "nested settings": (rewritten("config.json", DEEP), "config.json"),
    "nested settings of generation": (rewritten("generation_config.json", DEEP), "generation_config.json"),
    "a list for settings": (rewritten("config.json", "[]"), "config.json: is no JSON object"),
    "a model type that is a table": (edited("config.json", model_type={"a": 1}), "config.json: model_type is"),
    "a model type that is a list": (edited("config.json", model_type=["llava"]), "config.json: model_type is"),
    "settings of generation that are none": (rewritten("generation_config.json", '"greedy"'), "generation_config.json"),
    "settings of the processor that are none": (rewritten("processor_config.json", "[1]"), "processor_config.json"),
    "settings of the tokenizer that are none": (rewritten("tokenizer_config.json", "7"), "tokenizer_config.json"),
    "NaN": (spoiled(float("nan")), "weights of .*up_proj.weight has NaN"),
    "infinity": (spoiled(float("-inf")), "weights of .*up_proj.weight has NaN or infinite"),
    "whole numbers": (weights(whole), "up_proj.weight are whole numbers"),
    "a shard beside the folder": (indexed("../beside.safetensors"), "'../beside.safetensors', which is no file"),
    "a shard below the folder": (indexed("sub/a.safetensors"), "'sub/a.safetensors', which is no file of"),
    "a pickled shard": (indexed("pytorch_model.bin"), "index.json: names 'pytorch_model.bin'; .*pickled"),
    "a shard of another kind": (indexed("weights.data"), "index.json: names 'weights.data', which is no"),
    "an absolute shard": (
        rewritten("model.safetensors.index.json", '{"weight_map": {"a": "/etc/passwd"}}'), "index.json: .*no file of"
    ),
    "a missing shard": (
        rewritten("model.safetensors.index.json", '{"weight_map": {"a": "b.safetensors"}}'), "which is not there"
    ),
    "a shard that is a number": (
        rewritten("model.safetensors.index.json", '{"weight_map": {"a": 7}}'), "index.json: .*no file of"
    ),
    "an index without a map": (rewritten("model.safetensors.index.json", '{"metadata": {}}'), "index.json: has no"),
    "an index of another name": (
        rewritten("other.safetensors.index.json", '{"weight_map": {"a": "../b.bin"}}'), "other.safetensors.index.json"
    ),
    "a header without end": (
        lambda folder: (folder / "model.safetensors").write_bytes(b"\xff" * 64), r"are damaged \(model.safetensors\)"
    ),
    "a pipe for weights": (lambda folder: os.mkfifo(folder / "a.safetensors"), r"are damaged \(a.safetensors\)"),
    "a template that is no template": (rewritten("chat_template.jinja", "{% for"), "chat template of .*SyntaxError"),
    "a template that raises": (rewritten("chat_template.jinja", "{{ 1 / 0 }}"), "chat template of .*ZeroDivisionError"),
}  # fmt: skip


@pytest.mark.parametrize("damage", REFUSED)
def test_a_folder_that_is_damaged_is_refused_in_one_line_that_names_the_file(folder: Path, damage: str) -> None:
    damaged, because = REFUSED[damage]
    damaged(folder)
    begun = time.monotonic()
    with pytest.raises(InputError, match=because) as refusal:
        checkpoints.load(folder, device="cpu")
    assert "\n" not in str(refusal.value)
    assert str(folder) in str(refusal.value)
    assert time.monotonic() - begun < 60


CONTRADICTIONS: dict[str, Damage] = {
    "a layer of sight that is not there": edited("config.json", vision_feature_layer=99),
    "a negative one": edited("config.json", vision_feature_layer=[-77]),
    "an image token out of range": edited("config.json", image_token_id=10**6),
    "an image token that is none": edited("config.json", image_token_id=-5),
    "forbidden words that are none": edited("generation_config.json", bad_words_ids="no"),
    "an end that is no token": edited("generation_config.json", eos_token_id="</s>"),
    "a penalty that is no number": edited("generation_config.json", repetition_penalty=[]),
    "patches of another size": edited("processor_config.json", patch_size=0.5),
    "a mean that is a list": edited("processor_config.json", image_processor__image_mean=[[1], 2, 3]),
}


@pytest.mark.parametrize("damage", CONTRADICTIONS)
def test_settings_that_contradict_each_other_are_one_line_at_the_latest_when_the_model_answers(
    folder: Path, damage: str
) -> None:
    CONTRADICTIONS[damage](folder)
    with pytest.raises(InputError) as refusal:
        say(folder)
    assert "\n" not in str(refusal.value)
    assert "config.json" in str(refusal.value)


@pytest.mark.parametrize("place", ["custom_generate", "auto_map"])
def test_code_of_a_checkpoint_is_passed_over_where_the_model_needs_none(folder: Path, place: str) -> None:
    """Nothing of it runs: `boom.py` and `custom_generate/generate.py` would leave a file."""
    ran = folder / "ran"
    (folder / "custom_generate").mkdir()
    for file in ("custom_generate/generate.py", "boom.py"):
        (folder / file).write_text(f"open({str(ran)!r}, 'w')\n")
    edited("generation_config.json", custom_generate=str(folder))(folder)
    if place == "auto_map":
        (folder / "generation_config.json").unlink()
        for file in ("config.json", "tokenizer_config.json", "processor_config.json"):
            edited(file, auto_map={"AutoConfig": "boom.A", "AutoModelForCausalLM": "boom.B", "AutoProcessor": "boom.C",
                                   "AutoTokenizer": ["boom.D", None]})(folder)  # fmt: skip
    with contextlib.suppress(InputError):
        say(folder)
    assert not ran.exists()


@pytest.mark.parametrize("value", [["boom.A"], "boom.A", 7, {"AutoConfig": 7}])
def test_a_map_of_code_that_is_none_does_no_harm(folder: Path, value: Any) -> None:
    edited("config.json", auto_map=value)(folder)
    if isinstance(value, list | str):
        assert checkpoints.load(folder, device="cpu").takes_images
    else:
        with pytest.raises(InputError, match=f"'{folder}' cannot be loaded"):
            checkpoints.load(folder, device="cpu")
    edited("config.json", auto_map=value, model_type="new")(folder)
    with pytest.raises(InputError, match="needs code of its own"):
        checkpoints.load(folder, device="cpu")


def test_shards_in_the_folder_and_links_to_them_are_loaded(folder: Path, tmp_path: Path) -> None:
    before = checkpoints.load(folder, device="cpu").model.state_dict()
    indexed("model-00001-of-00001.safetensors")(folder)
    (folder / "other.safetensors").unlink()
    real = (folder / "model-00001-of-00001.safetensors").rename(tmp_path / "elsewhere")
    (folder / "model-00001-of-00001.safetensors").symlink_to(real)
    after = checkpoints.load(folder, device="cpu").model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_name_of_the_hub_is_held_to_the_same_as_a_folder(folder: Path, tmp_path: Path) -> None:
    """A cache as the hub's client lays it out, with an index that names a pickle."""
    indexed("pytorch_model.bin")(folder)
    place = tmp_path / "hub" / "models--nobody--tiny"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text("abc")
    shutil.copytree(folder, place / "snapshots" / "abc")
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from farsight.inputs import checkpoints; checkpoints.load('nobody/tiny', device='cpu')",
        ],
        env=os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "names 'pytorch_model.bin'; 'nobody/tiny' has only pickled weights" in done.stderr.splitlines()[-1]
