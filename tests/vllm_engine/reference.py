"""What the embedded model says under `FarSight` in Transformers, token by token."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from farsight import FarSight, Plain
from farsight.method import Method
from farsight_scenes import checkpoint_path, sample_scene
from farsight_scenes.render import render

LENGTH = 48
PROMPT = "Describe this image in detail."


@dataclass(frozen=True)
class Request:
    """One request as Transformers and as vLLM take it."""

    ids: tuple[int, ...]
    """With as many image tokens as the picture has patches"""
    picture: Image.Image | None
    pixels: dict[str, Any]
    """Under the name by which the model takes them; nothing without a picture"""

    def for_vllm(self, following: tuple[int, ...] = ()) -> dict[str, Any]:
        """Make vLLM's prompt: one image token stands for the picture."""
        image = _model().config.image_token_id
        ids = [token for at, token in enumerate(self.ids) if token != image or self.ids[at - 1] != image]
        prompt: dict[str, Any] = {"prompt_token_ids": [*ids, *following]}
        return prompt if self.picture is None else {**prompt, "multi_modal_data": {"image": self.picture}}


@cache
def _model() -> Any:
    return AutoModelForImageTextToText.from_pretrained(checkpoint_path(), dtype=torch.float32).eval()


def request(picture: Image.Image | None, prompt: str = PROMPT) -> Request:
    processor = AutoProcessor.from_pretrained(checkpoint_path())
    content: list[dict[str, Any]] = [{"type": "text", "text": prompt}]
    if picture is not None:
        content.insert(0, {"type": "image", "image": picture})
    made = processor.apply_chat_template(
        [{"role": "user", "content": content}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )
    return Request(
        tuple(made["input_ids"][0].tolist()), picture, {name: made[name] for name in made if name == "pixel_values"}
    )


def picture(index: int) -> Image.Image:
    return render(sample_scene("test", index))


def farsight(settings: dict[str, Any] | None) -> Method:
    return Plain() if settings is None else FarSight(horizon="infinite", **settings)


def log_probabilities(asked: Request, following: tuple[int, ...], method: Method, appended: int = 0) -> torch.Tensor:
    """Log-probability of each of the tokens that follow a request, in one forward pass, ``(tokens,)``.

    ``appended``: how many tokens the vocabulary has besides, whose embedding and with it their logit is 0.
    """
    ids = torch.tensor([[*asked.ids, *following]])
    model = _model()
    with torch.no_grad(), method(model):
        logits = model(input_ids=ids, **asked.pixels).logits[0, len(asked.ids) - 1 : -1]
    logits = torch.nn.functional.pad(logits, (0, appended))
    return logits.log_softmax(-1).gather(1, torch.tensor(following).unsqueeze(1)).squeeze(1)


def continued(asked: Request, method: Method, length: int = LENGTH) -> tuple[int, ...]:
    """The tokens of greedy decoding, which does not stop early."""
    model = _model()
    with torch.no_grad(), method(model):
        out = model.generate(
            input_ids=torch.tensor([asked.ids]),
            attention_mask=torch.ones(1, len(asked.ids), dtype=torch.long),
            **asked.pixels,
            do_sample=False,
            min_new_tokens=length,
            max_new_tokens=length,
        )
    return tuple(out[0, len(asked.ids) :].tolist())


def generated(asked: Request, method: Method, length: int = LENGTH) -> tuple[tuple[int, ...], torch.Tensor]:
    """The tokens of greedy decoding and their log-probabilities, step by step."""
    return _decoded(asked, method, length)


def forced(asked: Request, method: Method, following: tuple[int, ...]) -> torch.Tensor:
    """Log-probabilities of given tokens where each is generated, step by step, ``(tokens,)``."""
    return _decoded(asked, method, len(following), following)[1]


def _decoded(
    asked: Request, method: Method, length: int, following: tuple[int, ...] | None = None
) -> tuple[tuple[int, ...], torch.Tensor]:
    model, begins = _model(), len(asked.ids)

    def only(ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        if following is None:
            return scores
        wanted = torch.full_like(scores, -torch.inf)
        wanted[:, following[ids.shape[1] - begins]] = 0
        return wanted

    with torch.no_grad(), method(model):
        made = model.generate(
            input_ids=torch.tensor([asked.ids]),
            attention_mask=torch.ones(1, begins, dtype=torch.long),
            **asked.pixels,
            do_sample=False,
            max_new_tokens=length,
            eos_token_id=[],
            logits_processor=[only],
            output_logits=True,
            return_dict_in_generate=True,
        )
    tokens = made.sequences[0, begins:]
    values = torch.cat(made.logits).log_softmax(-1).gather(1, tokens.unsqueeze(1)).squeeze(1)
    return tuple(tokens.tolist()), values
