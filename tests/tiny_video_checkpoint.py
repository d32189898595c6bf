"""A video model of a few thousand random weights, made of an image model of the same, both saved as any checkpoint."""

from pathlib import Path

import torch

from farsight_scenes.network import build_model, build_processor, build_tokenizer
from farsight_scenes.plan import Sizes
from farsight_scenes.train import save
from farsight_scenes.video.network import build_video_model, build_video_processor, build_video_tokenizer

SIZES = Sizes(
    vision_width=16,
    vision_layers=1,
    vision_heads=1,
    language_width=24,
    language_layers=2,
    language_heads=2,
    vocabulary=400,
)


def save_tiny_image_model(folder: Path) -> Path:
    """Write the image model to ``folder`` and return it."""
    torch.manual_seed(0)
    tokenizer = build_tokenizer(SIZES, scenes=20)
    save(build_model(tokenizer, SIZES), build_processor(tokenizer), folder)
    return folder


def save_tiny_video_model(folder: Path) -> Path:
    """Write the video model to ``folder / "video"`` and return that."""
    image = save_tiny_image_model(folder / "image")
    tokenizer = build_video_tokenizer(image)
    model = build_video_model(image, tokenizer, language=True)
    save(model, build_video_processor(image, tokenizer, model.config.video_seq_length), folder / "video")
    return folder / "video"
