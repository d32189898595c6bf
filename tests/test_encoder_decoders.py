"""Models with an encoder: registers in the decoder's own causal self-attention, and nowhere else."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from architectures import PIXELS, QUESTION, ROWS, Row
from check import METHOD, NEW, check_batch, check_restored, check_static_cache, compare, generate
from inputs import left_padded, length_of, prompt
from reference import LINEAR, SIGMA, logits_of_definition
from tiny_model import START, tiny_model
from torch import Tensor
from transformers import PreTrainedModel

from farsight import FarSight, UnsupportedModelError
from farsight.attention.layers import locate
from farsight.method import Method
from farsight.methods import METHODS
from farsight.methods.constant_gate import ConstantGate

T5 = {
    "model_type": "t5", "vocab_size": 128, "d_model": 64, "d_kv": 16, "d_ff": 48, "num_layers": 2,
    "num_decoder_layers": 2, "num_heads": 4,
}  # fmt: skip
WITH_T5 = {"image_token_index": 3, "num_query_tokens": 4, "text_config": T5}
MODELS = {
    "florence2": ROWS["florence2"],
    "instructblip": Row(config=WITH_T5, image={**PIXELS, **QUESTION}, tokens=4),
    "blip-2": Row(config=WITH_T5, tokens=4),
}

on_each = pytest.mark.parametrize("name", list(MODELS))


@cache
def built(name: str) -> tuple[PreTrainedModel, dict[str, Tensor]]:
    model = tiny_model(name, MODELS[name].config)
    return model, prompt(model, MODELS[name])


def assert_near(found: Tensor, expected: Tensor) -> None:
    scale = max(1.0, float(expected.abs().max()))
    torch.testing.assert_close(found.double(), expected, atol=2e-4 * scale, rtol=0)


@pytest.mark.parametrize("name", ["instructblip", "blip-2"])
def test_a_t5_behind_a_q_former_equals_the_definition(name: str) -> None:
    model, _ = built(name)
    row = MODELS[name]
    names = {layer.name for layer in locate(model, encoder_decoder=True).layers}
    assert names == {f"language_model.decoder.block.{i}.layer.0.SelfAttention" for i in range(2)}
    one, other = prompt(model, row, seed=1), prompt(model, row, before=5, seed=2)
    assert compare(model, one, names)["absorbed"] > 0.05
    assert isinstance(check_batch(model, row, left_padded(row, one, other), names), dict)
    assert check_static_cache(model, one) == "ok"
    check_restored(model, one)


@on_each
def test_four_beams_score_a_sequence_by_the_definition(name: str) -> None:
    model, inputs = built(name)
    with METHOD(model):
        found = model.generate(
            **inputs, max_new_tokens=NEW, do_sample=False, num_beams=4, length_penalty=0.0,
            output_scores=True, return_dict_in_generate=True,
        )  # fmt: skip
    new = found.sequences[:, -NEW:]
    logits, _ = logits_of_definition(model, inputs, new, length_of(inputs) + NEW)
    scores = logits[0].log_softmax(-1).gather(1, new[0][:, None])
    assert float(found.sequences_scores[0]) == pytest.approx(float(scores.sum()), abs=1e-3)


@on_each
def test_a_forward_has_its_own_sequence_as_horizon(name: str) -> None:
    model, inputs = built(name)
    new = torch.tensor([[70, 71, 72, 73]])
    ids = torch.cat((inputs["decoder_input_ids"], new[:, :-1]), dim=1)
    expected, _ = logits_of_definition(model, inputs, new, ids.shape[1])
    longer = {**inputs, "decoder_input_ids": ids, "decoder_attention_mask": torch.ones_like(ids)}
    with METHOD(model), torch.no_grad():
        found = model(**longer).logits[:, -new.shape[1] :]
    assert_near(found, expected)


@on_each
def test_a_decoder_without_a_prompt_begins_with_its_start_token(name: str) -> None:
    model, inputs = built(name)
    alone = {key: value for key, value in inputs.items() if not key.startswith("decoder_")}
    with METHOD(model):
        tokens, logits = generate(model, alone)
    given = {**alone, "decoder_input_ids": torch.tensor([[START]])}
    assert_near(logits, logits_of_definition(model, given, tokens, 1 + NEW)[0])


@on_each
def test_a_length_with_the_prompt_is_the_same_horizon(name: str) -> None:
    model, inputs = built(name)
    with METHOD(model):
        _, expected = generate(model, inputs)
        found = model.generate(
            **inputs, max_length=length_of(inputs) + NEW, do_sample=False, output_logits=True,
            suppress_tokens=list(range(60)), return_dict_in_generate=True,
        )  # fmt: skip
    assert torch.equal(torch.stack(found.logits, dim=1).double(), expected)


@on_each
@pytest.mark.parametrize("rows", ["text", "generated"])
def test_rows_are_those_of_the_decoder(name: str, rows: str) -> None:
    """All that a decoder reads is text; its picture is in the encoder."""
    model, inputs = built(name)
    with FarSight(sigma=SIGMA, rows=rows)(model):
        tokens, logits = generate(model, inputs)
    first = 0 if rows == "text" else length_of(inputs) - 1

    def registers(row: Tensor, slot: Tensor, head: Tensor) -> Tensor:
        return torch.where(row < first, -torch.inf, LINEAR(row, slot, head))

    assert_near(logits, logits_of_definition(model, inputs, tokens, length_of(inputs) + NEW, registers)[0])


def test_the_control_is_there_too() -> None:
    model, inputs = built("florence2")
    _, plain = generate(model, inputs)
    with ConstantGate(value=0.5)(model):
        _, found = generate(model, inputs)
    assert not torch.equal(found, plain)


@pytest.mark.parametrize(
    "name", ["farsight-released", "opera", "vcd", "pai", "avisc", "dola", "fixvpe", "edvt", "iat", "rudder"]
)
def test_methods_that_say_nothing_of_encoders_refuse(name: str) -> None:
    method: Method = METHODS[name]()
    model, _ = built("florence2")
    with pytest.raises(UnsupportedModelError, match="encoder-decoder"), method(model):
        pass
