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


def log_probabilities(asked: Request, following: tuple[int, ...], method: Method) -> torch.Tensor:
    """Log-probability of each of the tokens that follow a request, in one forward pass, ``(tokens,)``."""
    ids = torch.tensor([[*asked.ids, *following]])
    model = _model()
    with torch.no_grad(), method(model):
        logits = model(input_ids=ids, **asked.pixels).logits[0, len(asked.ids) - 1 : -1]
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
