"""The embedded model's parts: a tiny LLaVA, its tokenizer and its processor, all built from nothing."""

from __future__ import annotations

import random

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from .language import BRIEF, COUNTED, DESCRIBE, IMAGINED, LIST
from .lessons import LESSONS, PROMPT_WORDS, write_lesson
from .plan import Sizes
from .render import MODEL_SIDE
from .world import sample_scene

PATCH = 16
GRID = MODEL_SIDE // PATCH
"""Patches along one side; the model sees GRID x GRID visual tokens."""

ROPE_BASE = 1e6
"""Base of the rotary angles: with Llama's 10,000 half of a head's 32 numbers forget what lies a picture away."""

SPECIAL = ("<unk>", "<s>", "</s>", "<pad>", "<image>")

CHAT_TEMPLATE = """\
{%- for message in messages %}
{{- message['role'].upper() + ': ' }}
{%- if message['content'] is string %}
{{- message['content'] }}
{%- else %}
{%- for part in message['content'] if part['type'] == 'image' %}
{{- '<image>\\n' }}
{%- endfor %}
{%- for part in message['content'] if part['type'] == 'text' %}
{{- part['text'] }}
{%- endfor %}
{%- endif %}
{{- eos_token if message['role'] == 'assistant' else ' ' }}
{%- endfor %}
{%- if add_generation_prompt %}
{{- 'ASSISTANT:' }}
{%- endif %}
"""


def build_tokenizer(sizes: Sizes, scenes: int = 1500) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE on lessons of the training split; any text can be encoded, none is unknown."""
    dice = random.Random("farsight scenes, tokenizer")
    prompts = (*DESCRIBE, *BRIEF, *LIST, *COUNTED, *IMAGINED)
    texts = [f"USER: \n{prompt} ASSISTANT:" for prompt in prompts for _ in range(20)]
    texts += [f" {word}" for word in PROMPT_WORDS]
    for index in range(scenes):
        scene = sample_scene("train", index)
        for lesson in LESSONS:
            talk = write_lesson(scene, lesson, dice, false_share=0.0, snowball=0.0)
            texts += [f"USER: {turn.question} ASSISTANT: {turn.answer}" for turn in talk]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=sizes.vocabulary,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", SPECIAL.index("<s>"))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        pad_token="<pad>",
        extra_special_tokens={"image_token": "<image>"},
        padding_side="left",
        model_max_length=1024,
        clean_up_tokenization_spaces=False,
    )


def build_processor(tokenizer: PreTrainedTokenizerFast) -> LlavaProcessor:
    """Pair the tokenizer with an image processor that resizes any picture to `MODEL_SIDE` square."""
    side = {"height": MODEL_SIDE, "width": MODEL_SIDE}
    images = CLIPImageProcessorPil(
        size=side, crop_size=side, do_center_crop=False, resample=3, image_mean=[0.5] * 3, image_std=[0.5] * 3
    )
    return LlavaProcessor(
        image_processor=images,
        tokenizer=tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=CHAT_TEMPLATE,
    )


def build_model(tokenizer: PreTrainedTokenizerFast, sizes: Sizes) -> LlavaForConditionalGeneration:
    """Build the untrained network: a CLIP tower, two linear layers and a Llama."""
    vision = CLIPVisionConfig(
        hidden_size=sizes.vision_width,
        intermediate_size=4 * sizes.vision_width,
        num_hidden_layers=sizes.vision_layers,
        num_attention_heads=sizes.vision_heads,
        image_size=MODEL_SIDE,
        patch_size=PATCH,
        projection_dim=sizes.vision_width,
    )
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=sizes.language_width,
        intermediate_size=8 * sizes.language_width // 3,
        num_hidden_layers=sizes.language_layers,
        num_attention_heads=sizes.language_heads,
        max_position_embeddings=1024,
        rope_parameters={"rope_type": "default", "rope_theta": ROPE_BASE},
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=GRID * GRID,
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlavaForConditionalGeneration(config)
    copy_from_likeness(model)
    generation = model.generation_config
    generation.bos_token_id = tokenizer.bos_token_id
    generation.eos_token_id = tokenizer.eos_token_id
    generation.pad_token_id = tokenizer.pad_token_id
    generation.max_new_tokens = 160
    return model


@torch.no_grad()
def copy_from_likeness(model: LlavaForConditionalGeneration) -> None:
    """Start the language model with heads that attend to tokens like the present one and copy what they say.

    Queries equal keys and the output is the transpose of the values. A word then finds patches whose visual
    tokens say that word, and what else they say; random weights take long to discover this.
    """
    for layer in model.model.language_model.layers:
        heads = layer.self_attn
        heads.q_proj.weight.mul_(3)
        heads.k_proj.weight.copy_(heads.q_proj.weight)
        heads.v_proj.weight.mul_(2)
        heads.o_proj.weight.copy_(heads.v_proj.weight.T)
