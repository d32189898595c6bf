"""Frames and a prompt to the inputs of the video model, with Pillow alone.

Transformers' own video processors need torchvision. This one reads its settings from ``processor_config.json`` beside
an ordinary tokenizer, and is called like a processor of Transformers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from transformers import AutoTokenizer, BatchFeature, CLIPImageProcessorPil, PreTrainedTokenizerFast

from farsight.errors import InputError
from farsight.files import read_json

Frames = Sequence[Image.Image]
Turn = Mapping[str, Any]

_FILE = "processor_config.json"


class FramesProcessor:
    """Tokenizer and image processor of a video model that takes a fixed number of frames.

    Parameters
    ----------
    video_processor
        Makes the pixels of each frame.
    tokenizer
        Knows the token ``<video>`` and has a chat template.
    frames
        How many a video has.
    tokens
        Visual tokens that the model makes of a video.
    """

    def __init__(
        self, video_processor: CLIPImageProcessorPil, tokenizer: PreTrainedTokenizerFast, *, frames: int, tokens: int
    ) -> None:
        self.video_processor, self.tokenizer = video_processor, tokenizer
        self.frames, self.tokens = frames, tokens
        self.video_token: str = tokenizer.video_token

    @property
    def chat_template(self) -> str:
        """Of the tokenizer."""
        template: str = self.tokenizer.chat_template
        return template

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> FramesProcessor:
        """Read what `save_pretrained` wrote; nothing is downloaded."""
        settings = read_json(Path(folder) / _FILE)
        return cls(
            CLIPImageProcessorPil.from_dict(settings["video_processor"]),
            AutoTokenizer.from_pretrained(folder),
            frames=settings["frames"],
            tokens=settings["tokens"],
        )

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the tokenizer and ``processor_config.json``."""
        self.tokenizer.save_pretrained(folder)
        settings = {
            "processor_class": type(self).__name__,
            "frames": self.frames,
            "tokens": self.tokens,
            "video_processor": self.video_processor.to_dict(),
        }
        (Path(folder) / _FILE).write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", encoding="utf-8")

    def __call__(
        self, *, text: Sequence[str], videos: Sequence[Frames], return_tensors: str = "pt", **how: Any
    ) -> BatchFeature:
        """Make the inputs of ``generate``.

        Parameters
        ----------
        text
            Prompts, each with one ``<video>``.
        videos
            The frames of each.
        return_tensors
            Only "pt".
        how
            For the tokenizer, such as ``padding=True``.

        Returns
        -------
        BatchFeature
            ``input_ids`` and ``attention_mask`` ``(batch, slots)``, and ``pixel_values_videos``
            ``(batch, frames, 3, height, width)``.

        Raises
        ------
        InputError
            If a video has another number of frames, or a prompt another number of videos than one.
        """
        for frames in videos:
            if len(frames) != self.frames:
                raise InputError(f"a video of this model has {self.frames} frames, not {len(frames)}: sample so many")
        if len(text) != len(videos) or any(prompt.count(self.video_token) != 1 for prompt in text):
            raise InputError(f"each prompt needs exactly one {self.video_token} and one video; pictures are not taken")
        spread = [prompt.replace(self.video_token, self.video_token * self.tokens) for prompt in text]
        words = self.tokenizer(spread, return_tensors=return_tensors, **how)
        return BatchFeature({**words, "pixel_values_videos": self.pixels(videos)})

    def pixels(self, videos: Sequence[Frames]) -> torch.Tensor:
        """Give ``(videos, frames, 3, height, width)``."""
        flat = [frame for frames in videos for frame in frames]
        pixels: torch.Tensor = self.video_processor(flat, return_tensors="pt")["pixel_values"]
        return pixels.reshape(len(videos), self.frames, *pixels.shape[1:])

    def apply_chat_template(
        self,
        conversation: Sequence[Turn] | Sequence[Sequence[Turn]],
        *,
        chat_template: str | None = None,
        add_generation_prompt: bool = False,
        tokenize: bool = False,
        return_dict: bool = True,
        return_tensors: str = "pt",
        processor_kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Put one conversation, or several, into the chat's form: text, or with ``tokenize`` the model's inputs.

        The tokenizer's chat template is used, if no other is given. A user's turn has parts
        ``{"type": "video", "video": frames}`` and ``{"type": "text", "text": ...}``.
        """
        alone = not conversation or isinstance(conversation[0], Mapping)
        talks: Any = [conversation] if alone else conversation
        texts = [
            self.tokenizer.apply_chat_template(
                [dict(turn) for turn in talk],
                chat_template=chat_template,
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
            )
            for talk in talks
        ]
        if not tokenize:
            return texts[0] if alone else texts
        videos = [
            part["video"]
            for talk in talks
            for turn in talk
            if not isinstance(turn["content"], str)
            for part in turn["content"]
            if part["type"] == "video"
        ]
        made = self(text=texts, videos=videos, return_tensors=return_tensors, **(processor_kwargs or {}))
        return made if return_dict else made["input_ids"]


def has_frames_processor(folder: str | Path) -> bool:
    """Say whether a folder's processor is a `FramesProcessor`, which Transformers' ``AutoProcessor`` does not know."""
    try:
        settings = read_json(Path(folder) / _FILE)
    except InputError:
        return False
    return isinstance(settings, dict) and settings.get("processor_class") == FramesProcessor.__name__
