"""On real weights every decode step equals the definition in float64, in which registers are written into the mask.

A pretrained model is harder than a random one: half of its attention lies on the first token, its scores are large, and
its errors grow through 30 layers. How large they are without registers is measured beside it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from definition import Definition, defined, linear
from torch import Tensor
from transformers import PreTrainedModel

from farsight import FarSight, Method, Plain
from farsight.inputs.checkpoints import LoadedModel
from farsight.inputs.prompts import text_inputs

pytestmark = pytest.mark.slow

SIGMA = 0.1
NEW = 8
PROMPTS = [
    "Objects in the photo: bench, dog, person\nDescription: The photo shows",
    "The quick brown fox",
]
CLOSE = 2e-3
"""Largest error of a logit in fp32; logits of this model go from -10 to 25."""
BFLOAT16 = 1.5
"""The mean error of bf16 with registers is at most so many times that of plain bf16."""


def asked(loaded: LoadedModel, *prompts: str) -> dict[str, Tensor]:
    return text_inputs(loaded, prompts, chat=False)


def decoded(model: Any, method: Method, inputs: dict[str, Tensor], new: int = NEW) -> tuple[Tensor, Tensor]:
    """Tokens of cached greedy decoding, ``(batch, new)``, and their logits, ``(batch, new, vocabulary)``, float64."""
    with method(model):
        found = model.generate(
            **inputs, max_new_tokens=new, min_new_tokens=new, do_sample=False, output_logits=True,
            return_dict_in_generate=True,
        )  # fmt: skip
    return found.sequences[:, inputs["input_ids"].shape[1] :], torch.stack(found.logits, dim=1).double()


def by_definition(
    reference: PreTrainedModel,
    prompt: Tensor,
    new: Tensor,
    length: int,
    registers: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None,
) -> Tensor:
    """Logits of each new token ``(new,)`` behind an unpadded prompt ``(slots,)``, without a cache."""
    definition = Definition(length=length, registers=registers or linear(SIGMA))
    with defined(reference, definition):
        whole = reference(input_ids=torch.cat((prompt, new[:-1]))[None], use_cache=False).logits[0]
    return whole[len(prompt) - 1 :]


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("horizon", ["generation", "integer", "infinite"])
def test_every_step_equals_the_definition(
    smollm2: LoadedModel, reference: PreTrainedModel, horizon: str, attention: str
) -> None:
    """Of an integer horizon the last rows lie at and past its end: they slide off, and own no registers."""
    inputs = asked(smollm2, PROMPTS[0])
    prompt = inputs["input_ids"][0]
    length = {"generation": len(prompt) + NEW, "integer": len(prompt) + 3, "infinite": len(prompt) + NEW + 400}[horizon]
    method = FarSight(sigma=SIGMA, horizon=length if horizon == "integer" else horizon)
    before = smollm2.model.config._attn_implementation
    smollm2.model.set_attn_implementation(attention)
    try:
        tokens, logits = decoded(smollm2.model, method, inputs)
        plain, plain_logits = decoded(smollm2.model, Plain(), inputs)
    finally:
        smollm2.model.set_attn_implementation(before)
    expected = by_definition(reference, prompt, tokens[0], length)
    assert float((logits[0] - expected).abs().max()) < CLOSE
    unchanged = by_definition(reference, prompt, plain[0], 0)
    assert float((plain_logits[0] - unchanged).abs().max()) < CLOSE
    assert float((expected[0] - unchanged[0]).abs().max()) > 100 * CLOSE


def test_registers_of_generated_rows_alone_leave_the_prompt_as_it_was(
    smollm2: LoadedModel, reference: PreTrainedModel
) -> None:
    inputs = asked(smollm2, PROMPTS[0])
    prompt = inputs["input_ids"][0]
    tokens, logits = decoded(smollm2.model, FarSight(sigma=SIGMA, rows="generated"), inputs)

    def registers(i: Tensor, j: Tensor, head: Tensor) -> Tensor:
        return torch.where(i >= len(prompt) - 1, -(j - i).double() * SIGMA, -torch.inf) + 0 * head

    expected = by_definition(reference, prompt, tokens[0], len(prompt) + NEW, registers)
    assert float((logits[0] - expected).abs().max()) < CLOSE
    everywhere = by_definition(reference, prompt, tokens[0], len(prompt) + NEW)
    assert float((everywhere - expected).abs().max()) > 100 * CLOSE


@pytest.mark.parametrize("horizon", ["generation", 30, "infinite"])
def test_a_left_padded_batch_equals_the_definition_of_each_prompt(
    smollm2: LoadedModel, reference: PreTrainedModel, horizon: str | int
) -> None:
    inputs = asked(smollm2, *PROMPTS)
    assert (inputs["attention_mask"] == 0).any()
    tokens, logits = decoded(smollm2.model, FarSight(sigma=SIGMA, horizon=horizon), inputs)
    for row, mask in enumerate(inputs["attention_mask"].bool()):
        prompt = inputs["input_ids"][row][mask]
        named = {"generation": len(prompt) + NEW, "infinite": len(prompt) + NEW + 400}
        length = horizon if isinstance(horizon, int) else named[horizon]
        expected = by_definition(reference, prompt, tokens[row], length)
        assert float((logits[row] - expected).abs().max()) < CLOSE


def test_bfloat16_errs_with_registers_as_it_errs_without(smollm2: LoadedModel, reference: PreTrainedModel) -> None:
    """The reference has the weights of bf16, so that the error is that of its arithmetic alone."""
    low = copy.deepcopy(smollm2.model).to(torch.bfloat16)
    exact = copy.deepcopy(low).double()
    exact.set_attn_implementation("eager")
    inputs = asked(smollm2, PROMPTS[0])
    prompt = inputs["input_ids"][0]
    errors = []
    for method, length in ((Plain(), 0), (FarSight(sigma=SIGMA), len(prompt) + NEW)):
        tokens, logits = decoded(low, method, inputs)
        expected = by_definition(exact, prompt, tokens[0], length)
        errors.append(float((logits[0] - expected).abs().mean()))
    assert 0 < errors[1] < BFLOAT16 * errors[0]
