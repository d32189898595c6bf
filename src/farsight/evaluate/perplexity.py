"""How likely a model finds a text, given the picture or the video and the request: does a method break its language?"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image

from farsight.errors import InputError
from farsight.evaluate.engine import Visual
from farsight.inputs.checkpoints import LoadedModel, answering
from farsight.inputs.prompts import check_text, prompt_inputs, text_inputs, video_inputs


@answering
@torch.inference_mode()
def perplexity(loaded: LoadedModel, visual: Visual, prompt: str, text: str, *, chat: bool = True) -> float:
    """Give the perplexity per token of a text as the answer to a request about a picture or a video, or without one.

    It is measured by the model as it is: outside the block of a method, by plain decoding's own distribution.

    Parameters
    ----------
    loaded
        The model with its processor.
    visual, prompt
        What the text answers; a video is the list of its frames.
    text
        The answer, without special tokens; the end-of-text token is not counted.
    chat
        Without a picture: whether the prompt is a request, for the chat template, or a text that the answer goes on
        with.

    Returns
    -------
    exp of the mean negative log-likelihood of the text's tokens, in nats.

    Raises
    ------
    InputError
        If the text has no tokens or one that stands for a picture, or if the model takes no pictures, or no videos
        where it is one.
    """
    check_text(loaded.processor, text)
    if not (said := text.strip()):
        raise InputError("an empty text has no perplexity")
    said = said if chat else f" {said}"
    tokens = loaded.tokenizer(said, add_special_tokens=False, return_tensors="pt").input_ids.to(loaded.device)
    count = tokens.shape[1]
    if visual is None:
        inputs = text_inputs(loaded, [prompt], chat=chat)
    elif isinstance(visual, Image.Image):
        inputs = prompt_inputs(loaded, visual, prompt)
    else:
        inputs = video_inputs(loaded, [visual], [prompt])
    logits = loaded.model(**_followed_by(inputs, tokens), use_cache=False).logits[:, -count - 1 : -1]
    return float(F.cross_entropy(logits[0].float(), tokens[0]).exp())


def _followed_by(inputs: dict[str, Any], tokens: torch.Tensor) -> dict[str, Any]:
    """Append text tokens ``(1, count)`` to a prompt; whatever else has a value for each token gets its text value."""
    length = inputs["input_ids"].shape
    added = {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}
    return {
        name: torch.cat([value, added.get(name, torch.zeros_like(tokens)).to(value.dtype)], dim=1)
        if isinstance(value, torch.Tensor) and value.shape == length
        else value
        for name, value in inputs.items()
    }
