"""A checkpoint that answers prompts about scenes, greedily, many at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoProcessor, LlavaForConditionalGeneration

from .render import render
from .world import Scene

SIDE = 384
"""Side of the pictures that are shown, as `farsight_scenes.draw` writes them."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What was said: the text, how many tokens, and whether it came to an end."""

    text: str
    tokens: int
    ended: bool


class Speaker:
    """A loaded checkpoint, in float32 on the accelerator if there is one.

    Parameters
    ----------
    folder
        The checkpoint.
    """

    def __init__(self, folder: Path) -> None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self.processor = AutoProcessor.from_pretrained(folder)
        self.model = LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval().to(device)

    def look(self, scenes: Sequence[Scene]) -> Tensor:
        """Pictures as the model takes them, ``(scenes, 3, side, side)``."""
        parts = [self.processor.image_processor(render(scene, SIDE), return_tensors="pt") for scene in scenes]
        return torch.cat([part["pixel_values"] for part in parts])

    @torch.inference_mode()
    def answer(self, pictures: Tensor, prompts: Sequence[str], *, tokens: int = 160, batch: int = 64) -> list[Answer]:
        """Answer prompts, one for each picture; shorter prompts of a batch are padded on the left."""
        ids = self.model.generation_config
        answers: list[Answer] = []
        for start in range(0, len(prompts), batch):
            texts = [self.prompt(prompt) for prompt in prompts[start : start + batch]]
            inputs = self.processor.tokenizer(texts, return_tensors="pt", padding=True)
            inputs["pixel_values"] = pictures[start : start + batch]
            inputs = inputs.to(self.model.device)
            out = self.model.generate(**inputs, do_sample=False, max_new_tokens=tokens)
            for row in out[:, inputs["input_ids"].shape[1] :].tolist():
                kept = [token for token in row if token != ids.pad_token_id]
                text = self.processor.tokenizer.decode(kept, skip_special_tokens=True).strip()
                answers.append(Answer(text=text, tokens=len(kept), ended=ids.eos_token_id in kept))
        return answers

    def prompt(self, words: str) -> str:
        """Put a question and the visual tokens' places into the chat's form."""
        return f"USER: {'<image>' * self.model.config.image_seq_length}\n{words} ASSISTANT:"

    @torch.inference_mode()
    def attention(self, pictures: Tensor, prompts: Sequence[str], answers: Sequence[Answer]) -> Tensor:
        """Where the answers' tokens look: ``(layers, 2)``, the shares of the first token and of the picture.

        Mean over heads, tokens and answers, by eager attention.
        """
        before = self.model.config._attn_implementation
        self.model.set_attn_implementation("eager")
        try:
            shares = [
                self._shares(pictures[row : row + 1], self.prompt(prompt), answer.text)
                for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True))
            ]
        finally:
            self.model.set_attn_implementation(before)
        return torch.stack(shares).mean(0)

    def _shares(self, picture: Tensor, prompt: str, answer: str) -> Tensor:
        asked = self.processor.tokenizer(prompt, return_tensors="pt").input_ids
        told = self.processor.tokenizer(f" {answer}", return_tensors="pt", add_special_tokens=False).input_ids
        ids = torch.cat([asked, told], 1).to(self.model.device)
        out = self.model(input_ids=ids, pixel_values=picture.to(self.model.device), output_attentions=True)
        rows = torch.stack([layer[0, :, asked.shape[1] :].mean((0, 1)) for layer in out.attentions])
        seen = ids[0] == self.model.config.image_token_id
        return torch.stack([rows[:, 0], rows[:, seen].sum(1)], 1)
