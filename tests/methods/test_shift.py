"""A constant on one word: its tokens, every step, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import contrasts
import models
import pytest
import torch
from tiny_checkpoint import save_tiny_llava, tokenizer
from torch import Tensor
from transformers import LlavaForConditionalGeneration, PreTrainedModel

from farsight import SettingError, Shift

METHOD = Shift(token_ids=(11, 30), value=4.5)


def reference(model: PreTrainedModel, method: Shift) -> contrasts.Reference:
    def logits(prompt: contrasts.Inputs, tokens: list[int]) -> Tensor:
        own = contrasts.last_logits(model, prompt, tokens).tolist()
        return torch.tensor([z + method.value * (token in method.token_ids) for token, z in enumerate(own)]).double()

    return logits


def test_the_forms_of_a_word_that_are_one_token_are_shifted(tmp_path: Path) -> None:
    model = LlavaForConditionalGeneration.from_pretrained(save_tiny_llava(tmp_path)).eval()
    prompt = {"input_ids": torch.tensor([[1, *[4] * 4, 20, 21, 22]]), "pixel_values": torch.randn(1, 3, 16, 16)}
    words = tokenizer()
    tokens = [words(form, add_special_tokens=False).input_ids for form in ("A", "a", " A", " a")]
    singles = {ids[0] for ids in tokens if len(ids) == 1}
    assert len(singles) == 2  # this tokenizer writes a space as a token of its own
    with torch.no_grad():
        plain = model(**prompt).logits
        with Shift(word="a", value=2)(model):
            moved = model(**prompt).logits - plain
    for token in range(plain.shape[-1]):
        expected = torch.full_like(moved[..., token], 2.0 if token in singles else 0.0)
        torch.testing.assert_close(moved[..., token], expected, atol=1e-5, rtol=0)


def test_a_word_of_several_tokens_and_a_model_without_words_are_refused_with_the_remedy(tmp_path: Path) -> None:
    model = LlavaForConditionalGeneration.from_pretrained(save_tiny_llava(tmp_path)).eval()
    with pytest.raises(SettingError, match=r"'qqzxq' is no single token.*token_ids="), Shift(word="qqzxq")(model):
        pass
    with pytest.raises(SettingError, match=r"shift found no tokenizer in ''.*token_ids="), Shift()(models.llama()):
        pass
    model = models.llama()
    with Shift(token_ids=(64,))(model), pytest.raises(SettingError, match="the token 64, this model has 0 to 63"):
        model.generate(**models.prompt(model), max_new_tokens=1)


@pytest.mark.parametrize(
    "wrong", [{"value": "much"}, {"value": 1e40}, {"word": " "}, {"word": 3}, {"token_ids": (0.5,)}, {"token_ids": "3"}]
)
def test_settings_without_meaning_are_refused(wrong: Any) -> None:
    with pytest.raises(SettingError, match=next(iter(wrong))):
        Shift(**wrong)
