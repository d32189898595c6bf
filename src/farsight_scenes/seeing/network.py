"""The seeing model's parts: the embedded model's tower, a projector, and a pretrained language model.

It is an Aya Vision: four patches become one visual token, so that a picture takes 16.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor
from transformers import (
    AutoTokenizer,
    AyaVisionConfig,
    AyaVisionForConditionalGeneration,
    LlamaConfig,
    LlamaForCausalLM,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from .. import checkpoint_path
from ..network import CHAT_TEMPLATE, GRID, PATCH
from .adapters import add_adapters

PROJECTOR = "projector."
"""Begins the names of the projector's weights among those that are trained; all others are adapters."""

IMAGE_TOKEN = "<image>"
STRIDE = 2
"""Patches along one side of a visual token."""

CELLS = GRID // STRIDE
"""Visual tokens along one side of a picture."""

PROJECTOR_WIDTH = 2048
"""Inside the projector, before its gate halves it."""


def build_seeing_tokenizer(language: Path) -> PreTrainedTokenizerFast:
    """Take the language model's tokenizer, add `IMAGE_TOKEN` and give it the embedded model's chat form."""
    tokenizer: PreTrainedTokenizerFast = AutoTokenizer.from_pretrained(
        language, extra_special_tokens={"image_token": IMAGE_TOKEN}, padding_side="left"
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def build_seeing_processor(tokenizer: PreTrainedTokenizerFast) -> LlavaProcessor:
    """Pair the tokenizer with the embedded model's processing of pictures."""
    return LlavaProcessor(
        image_processor=LlavaProcessor.from_pretrained(checkpoint_path()).image_processor,
        tokenizer=tokenizer,
        patch_size=STRIDE * PATCH,  # by which it counts visual tokens
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=CHAT_TEMPLATE,
    )


def build_seeing_model(language: Path, tokenizer: PreTrainedTokenizerFast) -> AyaVisionForConditionalGeneration:
    """Put tower and language model together, in float32; the projector between them is untrained.

    Parameters
    ----------
    language
        Folder of a Llama.
    tokenizer
        From `build_seeing_tokenizer`. What it has added is embedded as zeros, and so hardly ever said.
    """
    image = LlavaForConditionalGeneration.from_pretrained(checkpoint_path(), dtype=torch.float32)
    llama = LlamaForCausalLM.from_pretrained(language, dtype=torch.float32)
    text = LlamaConfig.from_pretrained(language)
    text.vocab_size, text.pad_token_id = len(tokenizer), tokenizer.pad_token_id
    config = AyaVisionConfig(
        vision_config=image.config.vision_config,
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE_TOKEN),
        image_seq_length=CELLS * CELLS,
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
        downsample_factor=STRIDE,
        alignment_intermediate_size=PROJECTOR_WIDTH,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = AyaVisionForConditionalGeneration(config)
    model.model.vision_tower.load_state_dict(image.model.vision_tower.state_dict())
    weights = llama.model.state_dict()
    words = weights.pop("embed_tokens.weight")
    model.model.language_model.load_state_dict(weights, strict=False)
    with torch.no_grad():
        model.get_input_embeddings().weight.zero_()[: len(words)] = words
    generation = model.generation_config
    generation.bos_token_id = tokenizer.bos_token_id
    generation.eos_token_id = tokenizer.eos_token_id
    generation.pad_token_id = tokenizer.pad_token_id
    generation.max_new_tokens = 160
    return model


def whole_model(
    language: Path, tokenizer: PreTrainedTokenizerFast, trained: Mapping[str, Tensor]
) -> AyaVisionForConditionalGeneration:
    """Build a model that sees, of what was trained and what was not.

    Parameters
    ----------
    language, tokenizer
        As in `build_seeing_model`.
    trained
        The projector's weights, their names beginning with `PROJECTOR`, and adapters, which are added to the matrices
        that they belong to.
    """
    model = build_seeing_model(language, tokenizer)
    projector = {name.removeprefix(PROJECTOR): value for name, value in trained.items() if name.startswith(PROJECTOR)}
    model.model.multi_modal_projector.load_state_dict(projector)
    add_adapters(model.model.language_model, {name: value for name, value in trained.items() if "lora_" in name})
    return model
