"""What the tests of decoding methods share: greedy steps with their logits, and left-padded batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import models
import torch
from torch import Tensor
from transformers import PreTrainedModel

from farsight import Method

NEW = 6


def steps(model: PreTrainedModel, method: Method, inputs: dict[str, Tensor], **kwargs: Any) -> tuple[Tensor, Tensor]:
    """New tokens of greedy decoding, ``(batch, new)``, and the logits of each, ``(batch, new, vocabulary)``.

    Random models like to say the image's token, which would stand for a picture when the text is read again.
    """
    options = {"max_new_tokens": NEW, "do_sample": False, "suppress_tokens": [models.IMAGE_TOKEN, 6], **kwargs}
    with method(model):
        found = model.generate(**inputs, **options, output_logits=True, return_dict_in_generate=True)
    return found.sequences[:, inputs["input_ids"].shape[1] :], torch.stack(found.logits, dim=1)


def two_prompts(model: PreTrainedModel) -> list[dict[str, Tensor]]:
    """Two prompts of different lengths, their images at different places."""
    return [models.prompt(model, before=2, after=3, seed=1), models.prompt(model, before=4, after=7, seed=2)]


def left_padded(prompts: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The prompts as one batch, padded on the left."""
    widest = max(prompt["input_ids"].shape[1] for prompt in prompts)
    batch = {}
    for name in prompts[0]:
        parts = [prompt[name] for prompt in prompts]
        if name in ("input_ids", "attention_mask", "mm_token_type_ids", "token_type_ids"):
            parts = [torch.nn.functional.pad(part, (widest - part.shape[1], 0)) for part in parts]
        batch[name] = torch.cat(parts)
    return batch


def continued(inputs: dict[str, Tensor], new: Tensor) -> dict[str, Tensor]:
    """One prompt with tokens ``(1, new)`` behind it, in float64."""
    longer = {name: value.double() if value.is_floating_point() else value for name, value in inputs.items()}
    longer["input_ids"] = torch.cat((inputs["input_ids"], new), dim=1)
    for name, fill in (("attention_mask", 1), ("token_type_ids", 0), ("mm_token_type_ids", 0)):
        if name in inputs:
            longer[name] = torch.cat((inputs[name], torch.full_like(new, fill)), dim=1)
    return longer


def assert_a_batch_is_each_prompt_alone(model: PreTrainedModel, method: Method, **kwargs: Any) -> None:
    """A left-padded batch of two lengths gives the tokens and logits that each prompt gives alone."""
    prompts = two_prompts(model)
    tokens, logits = steps(model, method, left_padded(prompts), **kwargs)
    for row, prompt in enumerate(prompts):
        alone_tokens, alone_logits = steps(model, method, prompt, **kwargs)
        assert torch.equal(tokens[row], alone_tokens[0])
        torch.testing.assert_close(logits[row], alone_logits[0], atol=1e-4, rtol=0)
