"""Models inside something else: PEFT, accelerate's device maps, quantised weights, a pipeline."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from architectures import ROWS, Row
from check import METHOD, NEW, generate
from inputs import prompt
from PIL import Image
from reference import logits_of_definition
from tiny_checkpoint import save_tiny_llava
from tiny_model import tiny_model
from torch import Tensor
from transformers import AutoModelForImageTextToText, AutoProcessor, BitsAndBytesConfig, PreTrainedModel, pipeline

from farsight import FarSight

on_each = pytest.mark.parametrize("name", ["llava", "qwen2_5_vl", "gemma3", "internvl"])


def built(name: str) -> tuple[PreTrainedModel, dict[str, Tensor]]:
    row = ROWS.get(name, Row())
    model = tiny_model(name, row.config)
    return model, prompt(model, row)


def mitigated(model: Any, inputs: dict[str, Tensor]) -> Tensor:
    with METHOD(model):
        return generate(model, inputs)[1]


def assert_defined(model: PreTrainedModel, inputs: dict[str, Tensor]) -> None:
    """Quantised weights are weights: the definition is computed with the same ones."""
    with METHOD(model):
        tokens, logits = generate(model, inputs)
    expected, _ = logits_of_definition(model, inputs, tokens, inputs["input_ids"].shape[1] + NEW)
    plain, _ = logits_of_definition(model, inputs, tokens, 0)
    torch.testing.assert_close(logits, expected, atol=1e-5 * max(1.0, float(expected.abs().max())), rtol=0)
    assert float((expected - plain).abs().max()) > 0.1


@on_each
def test_a_peft_wrapped_model_is_switched_as_the_model_with_its_adapter_merged(name: str) -> None:
    peft = pytest.importorskip("peft", reason="pip install peft")
    model, inputs = built(name)
    before = mitigated(model, inputs)
    lora = peft.LoraConfig(r=2, target_modules=r".*language_model.*(q_proj|v_proj)", init_lora_weights=False)
    torch.manual_seed(0)
    wrapped = peft.get_peft_model(model, lora).eval()
    plain = generate(wrapped, inputs)[1]
    found = mitigated(wrapped, inputs)
    assert torch.equal(generate(wrapped, inputs)[1], plain)
    merged = copy.deepcopy(wrapped).merge_and_unload()
    torch.testing.assert_close(found, mitigated(merged, inputs), atol=1e-3, rtol=0)
    assert not torch.equal(found, before)
    assert not torch.equal(found, plain)


@on_each
def test_a_model_that_accelerate_keeps_on_disk(name: str, tmp_path: Path) -> None:
    accelerate = pytest.importorskip("accelerate", reason="pip install accelerate")
    model, inputs = built(name)
    expected = mitigated(model, inputs)
    places = {part: "cpu" for part, _ in model.named_children() if part != "model"}  # may be tied to embeddings
    for part, _ in model.model.named_children():
        places[f"model.{part}"] = "cpu"  # Gemma 3's tower is called past the hooks that would load it
    del places["model.language_model"]
    for part, _ in model.model.language_model.named_children():
        places[f"model.language_model.{part}"] = "disk" if part == "layers" else "cpu"
    accelerate.dispatch_model(model, places, main_device="cpu", offload_dir=tmp_path, force_hooks=True)
    assert model.model.language_model.layers[0].self_attn.q_proj.weight.device.type == "meta"
    plain = generate(model, inputs)[1]
    torch.testing.assert_close(mitigated(model, inputs), expected, atol=1e-5, rtol=0)
    assert torch.equal(generate(model, inputs)[1], plain)


@on_each
def test_weights_that_torchao_quantised(name: str) -> None:
    quantization = pytest.importorskip("torchao.quantization", reason="pip install torchao")
    model, inputs = built(name)
    exactly = generate(model, inputs)[1]
    quantization.quantize_(model.model.language_model, quantization.Int8WeightOnlyConfig())
    assert not torch.equal(generate(model, inputs)[1], exactly)
    assert_defined(model, inputs)


@on_each
def test_weights_that_bitsandbytes_quantised(name: str, tmp_path: Path) -> None:
    """Its 8-bit layers run on a CPU; its 4-bit ones do not in these sizes."""
    pytest.importorskip("bitsandbytes", reason="pip install bitsandbytes")
    model, inputs = built(name)
    model.save_pretrained(tmp_path)
    how = BitsAndBytesConfig(load_in_8bit=True)
    quantised = type(model).from_pretrained(tmp_path, quantization_config=how, device_map="cpu").eval()
    quantised.generation_config = model.generation_config
    projection = quantised.model.language_model.layers[0].self_attn.q_proj
    assert type(projection).__name__ == "Linear8bitLt"
    assert_defined(quantised, inputs)


def test_a_pipeline_answers_as_generate_does(tmp_path: Path) -> None:
    folder = save_tiny_llava(tmp_path)
    model, processor = AutoModelForImageTextToText.from_pretrained(folder).eval(), AutoProcessor.from_pretrained(folder)
    describe = pipeline("image-text-to-text", model=model, processor=processor)
    picture = Image.linear_gradient("L").convert("RGB")
    message = [{"role": "user", "content": [{"type": "image", "image": picture}, {"type": "text", "text": "What?"}]}]
    strong = FarSight(profile=3.0, horizon=400)  # a model of the usual initial weights says little else otherwise

    def said() -> str:
        return describe(text=message, max_new_tokens=8, do_sample=False, return_full_text=False)[0]["generated_text"]

    inputs = processor.apply_chat_template(
        message, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )
    plain = said()
    with strong(model):
        through = said()
        tokens = model.generate(**inputs, max_new_tokens=8, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    assert through == processor.decode(tokens, skip_special_tokens=True)
    assert through != plain
    assert said() == plain
