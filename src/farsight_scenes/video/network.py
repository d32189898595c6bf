"""The embedded video model's parts: a LLaVA-NeXT-Video made of a trained LLaVA, its tokenizer and its processor."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import AddedToken
from transformers import (
    AutoTokenizer,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaNextVideoConfig,
    LlavaNextVideoForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from farsight.inputs.frames_processor import FramesProcessor

from ..network import CHAT_TEMPLATE, copy_from_likeness
from .videos import FRAMES

STRIDE = 2
"""Patches along one side that are averaged into one visual token."""

VIDEO_TOKEN = "<video>"

WORDS = (
    *(" video", " videos", " enter", " enters", " leave", " leaves", " cross", " crosses", " stay", " stays"),
    *(" happens", " first", " First", " Then", " start", " end", " many", " ever"),
    *(" Yes", " No", " one", " two", " three", " four", " One", " Two", " Three", " Four", " Zero"),
)
"""Words of videos that the image model's tokenizer would take apart."""


def build_video_tokenizer(image_model: Path) -> PreTrainedTokenizerFast:
    """Take the image model's tokenizer and add `VIDEO_TOKEN` and `WORDS`; all it knows keeps its number."""
    tokenizer: PreTrainedTokenizerFast = AutoTokenizer.from_pretrained(
        image_model, extra_special_tokens={"image_token": "<image>", "video_token": VIDEO_TOKEN}
    )
    new = [word for word in WORDS if len(tokenizer(word, add_special_tokens=False).input_ids) > 1]
    tokenizer.add_tokens([AddedToken(word, normalized=False) for word in new])
    tokenizer.chat_template = CHAT_TEMPLATE.replace("'image'", "'video'").replace("<image>", VIDEO_TOKEN)
    return tokenizer


def build_video_processor(image_model: Path, tokenizer: PreTrainedTokenizerFast, tokens: int) -> FramesProcessor:
    """Pair the tokenizer with the image model's own processing of pictures, for each frame."""
    pictures = LlavaProcessor.from_pretrained(image_model).image_processor
    return FramesProcessor(pictures, tokenizer, frames=FRAMES, tokens=tokens)


def build_video_model(
    image_model: Path, tokenizer: PreTrainedTokenizerFast, *, language: bool
) -> LlavaNextVideoForConditionalGeneration:
    """Build a video model on a trained image model.

    Parameters
    ----------
    image_model
        Folder of a LLaVA; tower, projector and word embeddings are taken from it.
    tokenizer
        From `build_video_tokenizer`. A word that is new begins as the mean of the pieces that it was made of.
    language
        Take the layers of the language model too. Otherwise they begin as copying heads, as the image model's did.
    """
    source = LlavaForConditionalGeneration.from_pretrained(image_model, dtype=torch.float32, use_safetensors=True)
    model = LlavaNextVideoForConditionalGeneration(_config(source.config, tokenizer)).float()
    for part in ("vision_tower", "multi_modal_projector"):
        getattr(model.model, part).load_state_dict(getattr(source.model, part).state_dict())
    words, before = model.get_input_embeddings().weight, source.get_input_embeddings().weight
    layers = {
        name: value
        for name, value in source.model.language_model.state_dict().items()
        if not name.startswith("embed_tokens")
    }
    if language:
        model.model.language_model.load_state_dict(layers, strict=False)
    else:
        copy_from_likeness(model)
    _take_words(words, before, AutoTokenizer.from_pretrained(image_model), tokenizer)
    generation = model.generation_config
    generation.bos_token_id = tokenizer.bos_token_id
    generation.eos_token_id = tokenizer.eos_token_id
    generation.pad_token_id = tokenizer.pad_token_id
    generation.max_new_tokens = 160
    return model


def _config(image: LlavaConfig, tokenizer: PreTrainedTokenizerFast) -> LlavaNextVideoConfig:
    text = image.text_config.to_dict() | {"vocab_size": len(tokenizer), "tie_word_embeddings": True}
    side = image.vision_config.image_size // image.vision_config.patch_size
    return LlavaNextVideoConfig(
        vision_config=image.vision_config.to_dict(),
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids(VIDEO_TOKEN),
        projector_hidden_act=image.projector_hidden_act,
        vision_feature_layer=image.vision_feature_layer,
        vision_feature_select_strategy=image.vision_feature_select_strategy,
        image_seq_length=side * side,
        video_seq_length=FRAMES * (side // STRIDE) ** 2,
        spatial_pool_mode="average",
        spatial_pool_stride=STRIDE,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


@torch.no_grad()
def _take_words(
    words: torch.Tensor, before: torch.Tensor, old: PreTrainedTokenizerFast, new: PreTrainedTokenizerFast
) -> None:
    """Copy the embeddings of what the old tokenizer knows; each other one is the mean of its pieces'."""
    words[: len(before)] = before
    for number in range(len(before), len(words)):
        pieces = old(new.convert_ids_to_tokens(number), add_special_tokens=False).input_ids
        words[number] = before[pieces].mean(0)
