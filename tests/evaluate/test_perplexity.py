"""Perplexity is what the model itself gives to the tokens of a text after its prompt."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from tiny_checkpoint import save_tiny_llama

from farsight.errors import InputError
from farsight.evaluate.perplexity import perplexity
from farsight.images import open_image
from farsight.inputs.checkpoints import LoadedModel, load
from farsight.inputs.named_models import EMBEDDED
from farsight.inputs.named_models import load as load_embedded
from farsight.inputs.prompts import prompt_inputs, text_inputs, video_inputs
from farsight_scenes import checkpoint_path
from farsight_scenes.video.videos import render_video, sample_video

PROMPT = "Please describe this image in detail."
EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return load(checkpoint_path(), device="cpu")


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    return open_image(EXAMPLES / "park.png")


def token_by_token(loaded: LoadedModel, inputs: dict[str, Any], text: str) -> float:
    """The definition, one forward pass for each token, in float64."""
    tokens = loaded.tokenizer(text, add_special_tokens=False).input_ids
    surprise = 0.0
    for token in tokens:
        with torch.inference_mode():
            logits = loaded.model(**inputs).logits[0, -1].double()
        surprise -= float(logits.log_softmax(-1)[token])
        inputs["input_ids"] = torch.cat([inputs["input_ids"], torch.tensor([[token]])], dim=1)
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    return math.exp(surprise / len(tokens))


@pytest.mark.parametrize("text", ["There is a red ball on the left.", "ball", "left the on red is There"])
def test_it_is_the_model_s_own_probability_of_each_token(loaded: LoadedModel, picture: Image.Image, text: str) -> None:
    expected = token_by_token(loaded, prompt_inputs(loaded, picture, PROMPT), text)
    assert perplexity(loaded, picture, PROMPT, text) == pytest.approx(expected, rel=1e-4)


def test_so_it_is_of_a_text_about_a_video() -> None:
    loaded = load_embedded(EMBEDDED, "cpu", None, None, videos=True)
    frames, text = render_video(sample_video("validation", 0)), "A red apple enters."
    expected = token_by_token(loaded, video_inputs(loaded, [frames], [PROMPT]), text)
    assert perplexity(loaded, frames, PROMPT, text) == pytest.approx(expected, rel=1e-4)


def test_broken_language_has_a_higher_one(loaded: LoadedModel, picture: Image.Image) -> None:
    fluent = perplexity(loaded, picture, PROMPT, "The image shows a park. There is a")
    broken = perplexity(loaded, picture, PROMPT, "park a is There. a shows image The")
    assert broken > 3 * fluent


def test_so_it_is_of_a_text_that_goes_on_with_its_prompt(tmp_path: Path) -> None:
    loaded = load(save_tiny_llama(tmp_path), device="cpu")
    prompt = "Objects: ball\nDescription: The photo shows"
    expected = token_by_token(loaded, text_inputs(loaded, [prompt], chat=False), " a red ball.")
    assert perplexity(loaded, None, prompt, "a red ball.", chat=False) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("chat", [True, False])
def test_an_empty_text_has_none(loaded: LoadedModel, picture: Image.Image, chat: bool) -> None:
    with pytest.raises(InputError, match="empty text"):
        perplexity(loaded, picture, PROMPT, " ", chat=chat)
