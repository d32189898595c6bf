"""What is wrong with a checkpoint is one line and exit code 2 in every command that loads one."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tiny_checkpoint import tokenizer

COMMANDS = ("doctor", "describe", "eval", "diagnose", "calibrate", "serve")


def arguments(command: str, model: Path, picture: Path, out: Path) -> list[object]:
    asked: dict[str, list[object]] = {
        "doctor": ["--model", model],
        "describe": [picture, "--model", model],
        "eval": ["--model", model, "--task", "scenes:validation", "--count", 2, "--methods", "greedy", "--out", out],
        "diagnose": [picture, "--model", model, "--out", out],
        "calibrate": ["--model", model, "--images", picture.parent, "--absorb", 0.1, "--out", out.with_suffix(".json")],
        "serve": [model, "--port", 0],
    }
    return [command, *asked[command], "--device", "cpu"]


def refused(result: Any, because: str) -> None:
    assert result.exit_code == 2, result.output
    *_, line = result.stderr.splitlines()  # a bar of progress may stand before it
    assert line.startswith("error: ")
    assert because in line


@pytest.fixture(scope="module")
def text_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, words = tmp_path_factory.mktemp("text"), tokenizer()
    words.chat_template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    config = transformers.LlamaConfig(
        vocab_size=len(words), hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2
    )
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("damage", ["weights", "template"])
def test_a_damaged_checkpoint_is_refused(
    run: Any, model: Path, picture: Path, tmp_path: Path, command: str, damage: str
) -> None:
    folder = Path(shutil.copytree(model, tmp_path / "copy"))
    if damage == "weights":
        weights = load_file(folder / "model.safetensors")
        weights[max(weights)][0] = torch.nan
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    else:
        (folder / "chat_template.jinja").write_text("{% for")
    because = {"weights": "has NaN or infinite ones", "template": "see its chat_template.jinja"}[damage]
    result = run(*arguments(command, folder, picture, tmp_path / "out"))
    refused(result, because)
    assert str(folder) in result.stderr


@pytest.mark.parametrize("command", ["describe", "eval", "diagnose", "calibrate"])
def test_a_model_of_text_alone_is_told_that_it_takes_no_pictures(
    run: Any, text_model: Path, picture: Path, tmp_path: Path, command: str
) -> None:
    refused(run(*arguments(command, text_model, picture, tmp_path / "out")), f"'{text_model}' takes no pictures")
