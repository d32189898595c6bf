"""Tiny random models, each built from its architecture's own config classes."""

from __future__ import annotations

from typing import Any

import torch
from transformers import (
    CLIPVisionConfig,
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Gemma3TextConfig,
    GptOssConfig,
    GptOssForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaNextVideoConfig,
    LlavaNextVideoForConditionalGeneration,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    SiglipVisionConfig,
)

IMAGE_TOKEN = 5
VOCABULARY = 64
_TEXT = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": None,
    # large weights: random models of the usual scale attend almost uniformly, whatever the registers do
    "initializer_range": 0.3,
}
_VISION = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 12,
    "patch_size": 4,
}


def _finished(model: PreTrainedModel, attention: str) -> PreTrainedModel:
    model.set_attn_implementation(attention)
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = 0
    return model.eval()


def llama(attention: str = "sdpa", **text: Any) -> PreTrainedModel:
    torch.manual_seed(0)
    return _finished(LlamaForCausalLM(LlamaConfig(**{**_TEXT, **text})), attention)


def mistral(attention: str = "sdpa", sliding_window: int = 6) -> PreTrainedModel:
    torch.manual_seed(0)
    config = MistralConfig(**{**_TEXT, "num_key_value_heads": 2}, sliding_window=sliding_window, head_dim=8)
    return _finished(MistralForCausalLM(config), attention)


def gemma2(attention: str = "eager") -> PreTrainedModel:
    torch.manual_seed(0)
    config = Gemma2Config(
        **{**_TEXT, "num_key_value_heads": 2},
        head_dim=8,
        query_pre_attn_scalar=8,
        sliding_window=6,
        attn_logit_softcapping=2.0,
    )
    return _finished(Gemma2ForCausalLM(config), attention)


def gpt_oss(attention: str = "eager") -> PreTrainedModel:
    """Each head has a trained sink."""
    torch.manual_seed(0)
    config = GptOssConfig(
        **{**_TEXT, "num_key_value_heads": 2}, head_dim=8, num_local_experts=2, num_experts_per_tok=1, sliding_window=6
    )
    model = GptOssForCausalLM(config)
    model.set_experts_implementation("eager")  # the only one that takes float64
    for layer in model.get_decoder().layers:
        torch.nn.init.normal_(layer.self_attn.sinks)
    return _finished(model, attention)


def llava(attention: str = "sdpa", **text: Any) -> PreTrainedModel:
    torch.manual_seed(0)
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**_VISION),
        text_config=LlamaConfig(**{**_TEXT, **text}),
        image_token_id=IMAGE_TOKEN,
        image_seq_length=9,
    )
    return _finished(LlavaForConditionalGeneration(config), attention)


def llava_next_video(attention: str = "sdpa") -> PreTrainedModel:
    torch.manual_seed(0)
    config = LlavaNextVideoConfig(
        vision_config=CLIPVisionConfig(**{**_VISION, "image_size": 16}),
        text_config=LlamaConfig(**_TEXT),
        image_token_index=IMAGE_TOKEN + 1,
        video_token_index=IMAGE_TOKEN,
    )
    return _finished(LlavaNextVideoForConditionalGeneration(config), attention)


def gemma3(attention: str = "sdpa") -> PreTrainedModel:
    torch.manual_seed(0)
    text = Gemma3TextConfig(
        **{**_TEXT, "num_key_value_heads": 2},
        head_dim=8,
        query_pre_attn_scalar=8,
        sliding_window=6,
        layer_types=["sliding_attention", "full_attention"],
    )
    vision = SiglipVisionConfig(**{**_VISION, "image_size": 12})
    config = Gemma3Config(
        text_config=text,
        vision_config=vision,
        mm_tokens_per_image=9,
        image_token_index=IMAGE_TOKEN,
        image_token_id=IMAGE_TOKEN,
        boi_token_index=6,
        eoi_token_index=7,
    )
    return _finished(Gemma3ForConditionalGeneration(config), attention)


def qwen2_vl(attention: str = "sdpa") -> PreTrainedModel:
    torch.manual_seed(0)
    config = Qwen2VLConfig(
        text_config={
            **_TEXT,
            "num_key_value_heads": 2,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 2]},
        },
        vision_config={
            "depth": 2,
            "embed_dim": 16,
            "hidden_size": 32,
            "num_heads": 2,
            "mlp_ratio": 2,
            "patch_size": 4,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
        },
        image_token_id=IMAGE_TOKEN,
        video_token_id=6,
        vision_start_token_id=7,
        vision_end_token_id=8,
    )
    return _finished(Qwen2VLForConditionalGeneration(config), attention)


def prompt(model: PreTrainedModel, before: int = 2, after: int = 5, seed: int = 0) -> dict[str, torch.Tensor]:
    """One prompt, with a picture or a video for the models that take one: text, its tokens, text."""
    generator = torch.Generator().manual_seed(seed)
    kind = model.config.model_type
    image_tokens = {"llava": 9, "gemma3": 9, "qwen2_vl": 4, "llava_next_video": 3 * 4}.get(kind, 0)
    words = torch.randint(10, VOCABULARY, (before + after,), generator=generator)
    ids = torch.cat((words[:before], torch.full((image_tokens,), IMAGE_TOKEN), words[before:]))[None]
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if kind in ("llava", "gemma3"):
        inputs["pixel_values"] = torch.randn(1, 3, 12, 12, generator=generator)
    if kind == "gemma3":
        inputs["token_type_ids"] = (ids == IMAGE_TOKEN).long()
    if kind == "llava_next_video":
        inputs["pixel_values_videos"] = torch.randn(1, 3, 3, 16, 16, generator=generator)
    if kind == "qwen2_vl":
        inputs["pixel_values"] = torch.randn(16, 3 * 2 * 4 * 4, generator=generator)
        inputs["image_grid_thw"] = torch.tensor([[1, 4, 4]])
        inputs["mm_token_type_ids"] = (ids == IMAGE_TOKEN).long()
    return inputs
