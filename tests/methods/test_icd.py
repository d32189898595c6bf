"""ICD against its equation: every step's two passes computed from scratch in float64."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import contrasts
import models
import pytest
import tiny_checkpoint
import torch
from torch import Tensor
from transformers import AutoTokenizer, LlavaForConditionalGeneration, PreTrainedModel

from farsight import SettingError
from farsight.methods.icd import ICD

METHOD = ICD(alpha=0.7, beta=0.05, prefix_ids=(33, 34, 35))


def disturbed(prompt: contrasts.Inputs, prefix: tuple[int, ...]) -> contrasts.Inputs:
    ids = prompt["input_ids"][0].tolist()
    place = max(slot for slot, token in enumerate(ids) if token in contrasts.IMAGE_TOKENS) + 1
    grown = torch.tensor([[*ids[:place], *prefix, *ids[place:]]])
    new = dict(prompt) | {"input_ids": grown, "attention_mask": torch.ones_like(grown)}
    if "mm_token_type_ids" in prompt:
        new["mm_token_type_ids"] = (grown == models.IMAGE_TOKEN).long()
    return new


def reference(model: PreTrainedModel, method: ICD) -> contrasts.Reference:
    def logits(prompt: contrasts.Inputs, tokens: list[int]) -> Tensor:
        own = contrasts.last_logits(model, prompt, tokens)
        other = contrasts.last_logits(model, disturbed(prompt, method.prefix_ids), tokens)
        combined = (1 + method.alpha) * own - method.alpha * other
        combined[own < math.log(method.beta) + own.max()] = -math.inf
        return combined

    return logits


def test_without_an_image_the_prefix_goes_after_the_first_token() -> None:
    model, same = models.llama().double(), models.llama().double()
    ids = torch.tensor([[0, 0, 1, 20, 21, 22]])
    with METHOD(model):
        out = contrasts.generated(model, {"input_ids": ids, "attention_mask": (ids > 0).long()}, max_new_tokens=1)
    with torch.no_grad():
        own = same(torch.tensor([[1, 20, 21, 22]])).logits[0, -1]
        other = same(torch.tensor([[1, 33, 34, 35, 20, 21, 22]])).logits[0, -1]
    expected = 1.7 * own - 0.7 * other
    expected[own < math.log(0.05) + own.max()] = -math.inf
    torch.testing.assert_close(out.logits[0][0], expected.float(), atol=2e-5, rtol=2e-5)


def test_the_tokenizer_of_the_models_folder_tokenises_the_prefix(tmp_path: Path) -> None:
    folder = tiny_checkpoint.save_tiny_llava(tmp_path)
    model = LlavaForConditionalGeneration.from_pretrained(folder).eval()
    ids = tuple(AutoTokenizer.from_pretrained(folder)("Look away.", add_special_tokens=False).input_ids)
    assert ids
    prompt = {"input_ids": torch.tensor([[1, *[4] * 4, 20, 21, 22]]), "pixel_values": torch.randn(1, 3, 16, 16)}
    logits = []
    for method in (ICD(prefix="Look away."), ICD(prefix_ids=ids), ICD(prefix="Look closely.")):
        with method(model):
            out = model.generate(**prompt, max_new_tokens=3, output_logits=True, return_dict_in_generate=True)
        logits.append(torch.cat(out.logits))
    assert torch.equal(logits[0], logits[1])
    assert not torch.equal(logits[0], logits[2])


def test_without_a_tokenizer_it_says_how_to_pass_token_ids() -> None:
    with pytest.raises(SettingError, match="prefix_ids="), ICD()(models.llava()):
        pass


@pytest.mark.parametrize(
    "wrong",
    [{"alpha": -1}, {"beta": 2}, {"prefix": " "}, {"prefix_ids": "12"}, {"prefix_ids": (0.5,)}, {"prefix_ids": (-1,)}],
)
def test_settings_without_meaning_are_refused(wrong: Any) -> None:
    with pytest.raises(SettingError, match=next(iter(wrong))):
        ICD(**wrong)
