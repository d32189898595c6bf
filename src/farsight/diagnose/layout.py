"""What stands where in a sequence: the prompt, its visual tokens if it has any, the generated tokens."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from farsight.attention.layers import visual_token_mask
from farsight.errors import InputError, UnsupportedModelError
from farsight.inputs.checkpoints import LoadedModel
from farsight.inputs.prompts import prompt_inputs, text_inputs, video_inputs

Visual = Image.Image | Sequence[Image.Image]
"""A picture, or the frames of a video."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """One prompt: its inputs, and which of its slots are visual tokens; none in a prompt of text alone.

    Visual tokens are those of ``frames`` pictures of equal size, one after the other, each in reading order over a
    ``grid`` of rows and columns; ``grid`` is None where the model arranges them otherwise.
    """

    inputs: dict[str, Any]
    prompt_slots: int
    visual: NDArray[np.int64]
    """Slots of the visual tokens, in order."""
    frames: int
    grid: tuple[int, int] | None
    shown: tuple[Image.Image, ...]
    """What the model was shown, as it saw it: cropped and scaled; one for each frame."""

    @property
    def context(self) -> NDArray[np.int64]:
        """Slots of what an answer is about: the visual tokens, or else the prompt behind its first token.

        The first token is left out because it draws attention whatever it is.
        """
        return self.visual if len(self.visual) else np.arange(1, self.prompt_slots)

    @property
    def subject(self) -> str:
        """What an answer is about, in a word."""
        return "picture" if len(self.visual) else "prompt"


def lay_out(loaded: LoadedModel, seen: Visual | None, prompt: str) -> Layout:
    """Make the inputs of one prompt about a picture, about a video, or about nothing that is seen.

    Raises
    ------
    InputError
        If the model takes no pictures (or no videos), or a video has no frames.
    UnsupportedModelError
        If the model does not say which token stands for the image.
    """
    if seen is None:
        inputs = text_inputs(loaded, [prompt], chat=True)
        slots = inputs["input_ids"].shape[1]
        return Layout(inputs=inputs, prompt_slots=slots, visual=np.arange(0), frames=0, grid=None, shown=())
    if not loaded.takes_images and not loaded.takes_videos:
        raise InputError(
            f"'{loaded.name}' takes no pictures: leave them out where a prompt of text will do, or pass a "
            "multimodal model such as llava-hf/llava-1.5-7b-hf"
        )
    pictures: tuple[Image.Image, ...]
    if isinstance(seen, Image.Image):
        pictures, inputs = (seen,), prompt_inputs(loaded, seen, prompt)
    else:
        pictures = tuple(seen)
        if not pictures:
            raise InputError("the video has no frames; give the pictures of at least one")
        inputs = video_inputs(loaded, [pictures], [prompt])
    visual = np.flatnonzero(visual_token_mask(loaded.model, inputs["input_ids"])[0].cpu().numpy())
    if not len(visual):
        raise UnsupportedModelError(
            f"the prompt of '{loaded.name}' holds no token that stands for the image, so there is nothing to look at: "
            "pass a model whose processor writes its image tokens into the prompt"
        )
    frames = len(pictures) if len(visual) % len(pictures) == 0 else 1
    shape = _grid(loaded, inputs, len(visual) // frames)
    return Layout(
        inputs=inputs,
        prompt_slots=inputs["input_ids"].shape[1],
        visual=visual,
        frames=frames,
        grid=shape,
        shown=_shown(loaded, inputs, pictures),
    )


def _grid(loaded: LoadedModel, inputs: dict[str, Any], tokens: int) -> tuple[int, int] | None:
    """Rows and columns of the visual tokens of one picture."""
    if (sizes := inputs.get("image_grid_thw")) is not None:
        merged = int(getattr(getattr(loaded.model.config, "vision_config", None), "spatial_merge_size", 1))
        rows, columns = int(sizes[0, 1]) // merged, int(sizes[0, 2]) // merged
        return (rows, columns) if rows * columns == tokens else None
    side = math.isqrt(tokens)
    return (side, side) if side * side == tokens else None


def _shown(loaded: LoadedModel, inputs: dict[str, Any], pictures: tuple[Image.Image, ...]) -> tuple[Image.Image, ...]:
    """The pixels that went into the model, where they still have the form of pictures; else the pictures given."""
    pixels = next((inputs[name] for name in ("pixel_values_videos", "pixel_values") if name in inputs), None)
    if pixels is None or pixels.dim() not in (4, 5):
        return pictures
    pixels = pixels.reshape(-1, *pixels.shape[-3:])
    if len(pixels) != len(pictures) or pixels.shape[1] != 3:
        return pictures
    values = pixels.float().cpu().numpy().transpose(0, 2, 3, 1)
    scaler = getattr(loaded.processor, "image_processor", None)
    mean, spread = getattr(scaler, "image_mean", None), getattr(scaler, "image_std", None)
    if mean is not None and spread is not None:
        values = values * np.asarray(spread) + np.asarray(mean)
    else:
        values = (values - values.min()) / max(float(np.ptp(values)), 1e-6)
    return tuple(Image.fromarray((255 * frame).round().clip(0, 255).astype(np.uint8)) for frame in values)
