"""What the tests of contrastive methods share: prompts in batches, and passes computed from scratch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import models
import torch
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList, PreTrainedModel

from farsight import Method

Inputs = dict[str, Tensor]
Reference = Callable[[Inputs, list[int]], Tensor]
"""Gets one prompt and the tokens generated so far; gives the logits of the next token, ``(vocabulary,)``."""
BUILDERS = [models.llava, models.qwen2_vl]
STEPS = 6
IMAGE_TOKENS = [5, 6, 7, 8]


def exact(build: Any) -> PreTrainedModel:
    model: PreTrainedModel = build().double()
    return model


def two_prompts(model: PreTrainedModel) -> list[Inputs]:
    """Two prompts of different lengths with different pictures, in Qwen's brackets where the model has them."""
    prompts = [models.prompt(model, before=2, after=5, seed=0), models.prompt(model, before=3, after=9, seed=1)]
    for prompt in prompts:
        slots = (prompt["input_ids"][0] == models.IMAGE_TOKEN).nonzero().flatten().tolist()
        if "image_grid_thw" in prompt:
            prompt["input_ids"][0, slots[0] - 1] = model.config.vision_start_token_id
            prompt["input_ids"][0, slots[-1] + 1] = model.config.vision_end_token_id
    return [
        {name: value.double() if value.is_floating_point() else value for name, value in prompt.items()}
        for prompt in prompts
    ]


def left_padded(prompts: list[Inputs]) -> Inputs:
    longest = max(prompt["input_ids"].shape[1] for prompt in prompts)

    def padded(value: Tensor) -> Tensor:
        return torch.nn.functional.pad(value, (longest - value.shape[1], 0))

    per_token = {name for name, value in prompts[0].items() if value.shape == prompts[0]["input_ids"].shape}
    return {
        name: torch.cat([padded(prompt[name]) if name in per_token else prompt[name] for prompt in prompts])
        for name in prompts[0]
    }


def without_image(prompt: Inputs) -> Inputs:
    """The words of a prompt alone."""
    words = torch.tensor([[token for token in prompt["input_ids"][0].tolist() if token not in IMAGE_TOKENS]])
    return {"input_ids": words, "attention_mask": torch.ones_like(words)}


def last_logits(model: PreTrainedModel, prompt: Inputs, tokens: list[int]) -> Tensor:
    """Logits after a prompt and some text, ``(vocabulary,)``, from one forward over everything without a cache."""
    added = torch.tensor([tokens], dtype=torch.long)
    grown = dict(prompt)
    for name, new in (("input_ids", added), ("attention_mask", torch.ones_like(added))):
        grown[name] = torch.cat((prompt[name], new), dim=1)
    if "mm_token_type_ids" in prompt:
        grown["mm_token_type_ids"] = torch.cat((prompt["mm_token_type_ids"], torch.zeros_like(added)), dim=1)
    with torch.no_grad():
        logits: Tensor = model(**grown, use_cache=False).logits[0, -1]
    return logits


def generated(model: PreTrainedModel, inputs: Inputs, **kwargs: Any) -> Any:
    options = {
        "max_new_tokens": STEPS,
        "do_sample": False,
        "output_logits": True,
        "return_dict_in_generate": True,
        "suppress_tokens": IMAGE_TOKENS,  # one forward over everything would look for their pixels
    }
    return model.generate(**inputs, **{**options, **kwargs})


def check_every_step(out: Any, prompts: list[Inputs], reference: Reference) -> None:
    """Compare the logits of every step of every sequence with the reference over the same tokens."""
    width = out.sequences.shape[1] - len(out.logits)
    repeats = len(out.sequences) // len(prompts)
    for step, logits in enumerate(out.logits):
        for row, found in enumerate(logits):
            tokens = out.sequences[row, width : width + step].tolist()
            expected = reference(prompts[row // repeats], tokens)
            torch.testing.assert_close(found, expected.float(), atol=2e-5, rtol=2e-5)


class ReferenceScores(LogitsProcessor):
    """Lets Transformers' beam search walk over the reference instead of the model's own logits."""

    def __init__(self, prompts: list[Inputs], width: int, reference: Reference) -> None:
        self.prompts, self.width, self.reference = prompts, width, reference

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        repeats = len(input_ids) // len(self.prompts)
        rows = [
            self.reference(self.prompts[row // repeats], ids[self.width :].tolist())
            for row, ids in enumerate(input_ids)
        ]
        scores = torch.stack(rows).float().log_softmax(dim=-1)
        scores[:, IMAGE_TOKENS] = -torch.inf
        return scores


def check_greedy_batch(model: PreTrainedModel, method: Method, reference: Reference) -> None:
    prompts = two_prompts(model)
    with method(model):
        out = generated(model, left_padded(prompts))
    check_every_step(out, prompts, reference)


def check_sampling(model: PreTrainedModel, method: Method, reference: Reference) -> None:
    prompts = two_prompts(model)
    torch.manual_seed(3)
    with method(model):
        out = generated(model, left_padded(prompts), do_sample=True, num_return_sequences=2)
    assert len({tuple(row) for row in out.sequences[:, -STEPS:].tolist()}) > 1
    check_every_step(out, prompts, reference)


def check_beams(model: PreTrainedModel, method: Method, reference: Reference) -> None:
    prompts = two_prompts(model)
    inputs = left_padded(prompts)
    walk = ReferenceScores(prompts, inputs["input_ids"].shape[1], reference)
    expected = generated(model, inputs, num_beams=3, logits_processor=LogitsProcessorList([walk])).sequences
    with method(model):
        assert torch.equal(generated(model, inputs, num_beams=3).sequences, expected)
        assert torch.equal(generated(model, inputs, num_beams=3, use_cache=False).sequences, expected)
    assert not torch.equal(generated(model, inputs, num_beams=3).sequences, expected)


def check_neutral(model: PreTrainedModel, neutral: Method) -> None:
    inputs = left_padded(two_prompts(model))
    expected = generated(model, inputs, max_new_tokens=12).sequences
    with neutral(model):
        assert torch.equal(generated(model, inputs, max_new_tokens=12).sequences, expected)
