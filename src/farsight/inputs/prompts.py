"""A request about a picture or a video becomes the inputs of ``generate``, in the model's own chat template."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PIL import Image

from farsight.errors import InputError
from farsight.inputs.checkpoints import LoadedModel


def prompt_inputs(loaded: LoadedModel, image: Image.Image, prompt: str) -> dict[str, Any]:
    """The inputs of ``generate`` for one picture and one request, on the model's device and in its dtype.

    The model's own chat template is used; a model that has none gets its image token, a new line and the prompt.

    Raises
    ------
    InputError
        If the model takes no pictures.
    """
    if not loaded.takes_images:
        raise InputError(f"'{loaded.name}' takes no pictures; pass a multimodal model such as llava-hf/llava-1.5-7b-hf")
    return dict(processed(loaded.processor, image, prompt).to(loaded.device, dtype=loaded.dtype))


def processed(processor: Any, image: Image.Image, prompt: str) -> Any:
    """What a processor makes of one picture and one request, on the CPU; see `prompt_inputs`."""
    if getattr(processor, "chat_template", None):
        return processor.apply_chat_template(
            chat(image, prompt), add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
        )
    token = getattr(processor, "image_token", None)
    text = f"{token}\n{prompt}" if isinstance(token, str) else prompt
    return processor(images=image, text=text, return_tensors="pt")


def chat(image: Image.Image, prompt: str) -> list[dict[str, Any]]:
    """One request about one picture, as chat templates take it."""
    return [{"role": "user", "content": [{"type": "image", "image": image}, {"type": "text", "text": prompt}]}]


def video_inputs(
    loaded: LoadedModel, videos: Sequence[Sequence[Image.Image]], prompts: Sequence[str]
) -> dict[str, Any]:
    """The inputs of ``generate`` for one request about each video, padded on the left.

    Parameters
    ----------
    loaded
        A model whose processor takes videos and has a chat template.
    videos
        The frames of each, all of which are shown.
    prompts
        As many.

    Raises
    ------
    InputError
        If the model takes no videos, or several are given and its pad token is not known.
    """
    tokenizer = loaded.tokenizer
    if not loaded.takes_videos or not getattr(loaded.processor, "chat_template", None):
        raise InputError(
            f"'{loaded.name}' takes no videos; pass a model that does, such as llava-hf/LLaVA-NeXT-Video-7B-hf"
        )
    if len(prompts) > 1 and tokenizer.pad_token_id is None:
        raise InputError(f"'{loaded.name}' has no pad token, which batches need; pass --batch-size 1")
    talks = [
        [{"role": "user", "content": [{"type": "video", "video": list(frames)}, {"type": "text", "text": prompt}]}]
        for frames, prompt in zip(videos, prompts, strict=True)
    ]
    before = tokenizer.padding_side
    tokenizer.padding_side = "left"
    try:
        inputs = loaded.processor.apply_chat_template(
            talks,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs={"padding": len(prompts) > 1},
        )
    finally:
        tokenizer.padding_side = before
    return dict(inputs.to(loaded.device, dtype=loaded.dtype))
