"""Batches give what single prompts give, and say what the gates took away."""

from __future__ import annotations

import pytest
import torch
from PIL import Image
from tiny_checkpoint import save_tiny_llava

from farsight import FarSight, InputError, Plain
from farsight.attention import locate, watched
from farsight.evaluate.local import answer
from farsight.inputs.checkpoints import LoadedModel, load
from farsight.inputs.prompts import prompt_inputs
from farsight.methods.constant_gate import ConstantGate

PROMPTS = ["Describe.", "Is there a red ball in this picture, on the left?", "What is this?"]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load(save_tiny_llava(tmp_path_factory.mktemp("tiny")), device="cpu")


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    return [Image.new("RGB", (40, 30), colour) for colour in ("red", "green", "blue")]


@pytest.mark.parametrize("method", [Plain(), FarSight(sigma=0.1), ConstantGate(value=0.8)], ids=lambda one: one.name)
def test_a_batch_answers_as_each_prompt_alone(
    loaded: LoadedModel, pictures: list[Image.Image], method: Plain | FarSight
) -> None:
    together = answer(loaded, method, pictures, PROMPTS, max_new_tokens=10)
    alone = [
        answer(loaded, method, [one], [prompt], max_new_tokens=10)[0]
        for one, prompt in zip(pictures, PROMPTS, strict=True)
    ]
    assert [one.text for one in together] == [one.text for one in alone]
    assert [one.tokens for one in together] == [one.tokens for one in alone]
    for one, other in zip(together, alone, strict=True):
        assert one.absorbed == pytest.approx(other.absorbed, abs=2e-5) if one.absorbed else other.absorbed is None


def test_absorbed_is_what_the_gates_took_from_the_rows_that_were_read(
    loaded: LoadedModel, pictures: list[Image.Image]
) -> None:
    method, gates = FarSight(sigma=0.05, horizon=500), []
    [said] = answer(loaded, method, pictures[:1], PROMPTS[:1], max_new_tokens=6)
    inputs = prompt_inputs(loaded, pictures[0], PROMPTS[0])
    with (
        method(loaded.model),
        watched(locate(loaded.model), lambda call: gates.append(call.factor[0, :, -1].mean())),
    ):
        loaded.model.generate(**inputs, max_new_tokens=6, do_sample=False)
    assert said.absorbed == pytest.approx(1 - float(torch.stack(gates).mean()), abs=1e-5)


def test_plain_decoding_absorbs_nothing(loaded: LoadedModel, pictures: list[Image.Image]) -> None:
    [said] = answer(loaded, Plain(), pictures[:1], PROMPTS[:1], max_new_tokens=2)
    assert said.absorbed is None


def test_an_answer_that_is_cut_off_has_not_ended(loaded: LoadedModel, pictures: list[Image.Image]) -> None:
    [said] = answer(loaded, Plain(), pictures[:1], PROMPTS[:1], max_new_tokens=2)
    assert (said.tokens, said.ended) == (2, False)
    first = loaded.tokenizer(said.text).input_ids
    loaded.model.generation_config.eos_token_id, before = first[-1], loaded.model.generation_config.eos_token_id
    try:
        [said] = answer(loaded, Plain(), pictures[:1], PROMPTS[:1], max_new_tokens=5)
    finally:
        loaded.model.generation_config.eos_token_id = before
    assert said.tokens <= 5


def test_the_padding_side_of_the_tokenizer_is_restored(loaded: LoadedModel, pictures: list[Image.Image]) -> None:
    loaded.tokenizer.padding_side = "right"
    answer(loaded, Plain(), pictures, PROMPTS, max_new_tokens=1)
    assert loaded.tokenizer.padding_side == "right"


def test_a_model_without_a_pad_token_needs_single_prompts(loaded: LoadedModel, pictures: list[Image.Image]) -> None:
    before = loaded.tokenizer.pad_token
    loaded.tokenizer.pad_token = None
    try:
        with pytest.raises(InputError, match="--batch-size 1"):
            answer(loaded, Plain(), pictures, PROMPTS, max_new_tokens=1)
    finally:
        loaded.tokenizer.pad_token = before
