"""What the process of vLLM does before vLLM has a say. vLLM itself is in vllm_engine/."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from tiny_checkpoint import SIDE, TEMPLATE, save_tiny_llava
from tokenizers.processors import TemplateProcessing
from transformers import LlavaConfig

from farsight.errors import SettingError, UnsupportedModelError
from farsight.evaluate.engine import Failure
from farsight.evaluate.vllm_worker import Worker, _dtype, _generation_config, _told, prompt_tokens
from farsight.inputs.checkpoints import load
from farsight.inputs.prompts import processed
from farsight_scenes import checkpoint_path


@pytest.mark.parametrize(
    "template", [TEMPLATE, "<s>" + TEMPLATE, None], ids=["chat", "chat with a first token", "none"]
)
@pytest.mark.parametrize("adds", [True, False], ids=["the tokenizer adds a first token", "adds none"])
def test_prompts_are_those_of_transformers_but_for_the_picture(
    tmp_path: Path, template: str | None, adds: bool
) -> None:
    processor = load(save_tiny_llava(tmp_path, template=template), device="cpu").processor
    words = processor.tokenizer
    if adds:
        words.backend_tokenizer.post_processor = TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", words.bos_token_id)]
        )
    picture = Image.new("RGB", (SIDE, SIDE), "red")
    found = prompt_tokens(processor, picture, "What is this?")
    expected = processed(processor, picture, "What is this?")["input_ids"][0].tolist()
    image = words.convert_tokens_to_ids("<image>")
    begins = adds or bool(template and template.startswith("<s>"))
    assert (found[0] == words.bos_token_id, found.count(words.bos_token_id)) == (begins, int(begins))
    patches = expected.count(image)
    assert patches > 1
    assert [token for one in found for token in [one] * (patches if one == image else 1)] == expected


def test_a_prompt_that_the_processor_does_not_take_is_the_error_of_its_item(tmp_path: Path) -> None:
    worker = Worker.__new__(Worker)  # without vLLM, which comes after
    worker.processor = load(save_tiny_llava(tmp_path), device="cpu").processor
    picture = Image.new("RGB", (SIDE, SIDE), "red")
    refused = worker._taken(picture, "An <image>?")
    assert isinstance(refused, Failure)
    assert "has '<image>' in it" in refused.reason
    assert worker._taken(picture, "An image?") is picture
    assert worker._taken(refused, "An image?") is refused


def test_a_checkpoint_s_own_way_to_generate_is_followed_or_refused(tmp_path: Path) -> None:
    config = load(checkpoint_path(), device="cpu").model.config
    assert _generation_config(str(checkpoint_path()), config).eos_token_id == 2
    assert _generation_config(str(save_tiny_llava(tmp_path / "none")), config).repetition_penalty is None
    file = tmp_path / "generation_config.json"
    file.write_text(json.dumps({"repetition_penalty": 1.05, "temperature": 0.1, "guidance_scale": 1.0}))
    assert _generation_config(str(tmp_path), config).repetition_penalty == 1.05
    file.write_text(json.dumps({"no_repeat_ngram_size": 3}))
    with pytest.raises(SettingError, match="has no_repeat_ngram_size=3, which --engine vllm does not follow"):
        _generation_config(str(tmp_path), config)


def test_the_error_behind_an_error_is_told() -> None:
    behind = RuntimeError("the engine core could not be started")
    behind.__cause__ = UnsupportedModelError("it has sinks of its own")
    assert _told(behind) is behind.__cause__
    assert _told(ValueError("two\n lines")) == "two lines"
    assert _told(NotImplementedError()) == "NotImplementedError"


@pytest.mark.parametrize(
    ("given", "device", "own", "name"),
    [
        ("bfloat16", "cpu", torch.float32, "bfloat16"),
        (None, "cpu", torch.float16, "float32"),
        (None, "cuda", torch.float16, "float16"),
        ("auto", "cuda", torch.float32, "float32"),
        (None, "cuda", None, "auto"),
    ],
)
def test_the_type_is_the_one_that_transformers_would_load(
    given: str | None, device: str, own: torch.dtype | None, name: str
) -> None:
    assert _dtype(given, device, LlavaConfig(dtype=own)) == name
