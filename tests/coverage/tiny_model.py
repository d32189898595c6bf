"""A tiny random model of any architecture, from its own config class: every size in the config is made small."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any
from unittest.mock import patch

import torch
import transformers
from torch import nn
from transformers import CONFIG_MAPPING, GenerationMixin, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES as CLASSES

VOCABULARY = 128
START = 1
"""With which the decoder of an encoder-decoder starts"""
FIRST_WORD = 60
"""Tokens below this one are special: pad, begin, end, and whatever a config names."""
_HIDDEN, _HEADS, _HEAD_DIM, _INTERMEDIATE, _PATCH, _IMAGE, _EXPERTS = 64, 4, 16, 48, 4, 16, 4
_SIZES = {
    "vocab_size": VOCABULARY,
    "unpadded_vocab_size": VOCABULARY,
    "vocab_size_per_layer_input": VOCABULARY,
    "num_hidden_layers": 2,
    "num_layers": 2,
    "depth": 2,
    "num_attention_heads": _HEADS,
    "num_heads": _HEADS,
    "head_dim": _HEAD_DIM,
    "global_head_dim": _HEAD_DIM,
    "mm_tokens_per_image": 4,
    "max_position_embeddings": 512,
    "swa_head_dim": _HEAD_DIM,
    "sliding_window": 6,
    "sliding_window_size": 6,
    "attention_chunk_size": 6,
    "attention_window_size": 6,
    "image_size": _IMAGE,
    "patch_size": _PATCH,
    "q_lora_rank": 32,
    "kv_lora_rank": 32,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": _HEAD_DIM,
    "query_pre_attn_scalar": _HEAD_DIM,
    "index_topk": 8,
    "index_head_dim": _HEAD_DIM,
    "index_n_heads": 16,
    "n_group": 1,
    "topk_group": 1,
    "linear_head_dim": 8,
    "linear_num_heads": 4,
    "mamba_num_heads": 4,
    "mamba_head_dim": 16,
    "ssm_state_size": 8,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
}
_HIDDEN_SIZES = ("hidden_size", "embed_dim", "d_model", "dim", "word_embed_proj_dim", "vision_dim")
_LAYER_COUNTS = ("num_hidden_layers", "num_layers", "depth", "layers", "decoder_layers", "encoder_layers")


def tiny_config(name: str, overrides: Mapping[str, Any]) -> Any:
    """The config of architecture ``name`` with small sizes; ``overrides`` maps dotted paths to values."""
    values = CONFIG_MAPPING[name]().to_dict()
    _shrink(values, tokens={})
    for path, value in overrides.items():
        *parents, key = path.split(".")
        at = values
        for parent in parents:
            at = at[parent]
        if value is ...:
            at.pop(key, None)
        else:
            at[key] = value
    return CONFIG_MAPPING[name].from_dict(values)


def tiny_model(name: str, overrides: Mapping[str, Any], attention: str = "sdpa") -> PreTrainedModel:
    """A random model whose attention is not uniform, so that registers change what it says."""
    torch.manual_seed(0)
    config = tiny_config(name, overrides)
    if attention != "sdpa":
        config._attn_implementation = attention
    model: PreTrainedModel = getattr(transformers, CLASSES[name])(config)
    _randomise(model)
    model.set_attn_implementation(attention)
    if model.can_generate():
        model.generation_config.eos_token_id = None
        model.generation_config.pad_token_id = 0
        model.generation_config.cache_implementation = None
    for part in model.modules():
        if is_encoder_decoder(part) and isinstance(part, GenerationMixin):
            part.generation_config.decoder_start_token_id = START
            part.generation_config.pad_token_id = 0
            part.generation_config.eos_token_id = None
            part.generation_config.forced_eos_token_id = None
    return model.eval()


def biased_model(name: str, overrides: Mapping[str, Any], attention: str = "sdpa") -> PreTrainedModel:
    """The same with random biases, where those of a new model are zeros, and with windows that no prompt here fills."""
    wide = {size: 256 for size in _SIZES if "window" in size or "chunk" in size}
    with patch.dict(_SIZES, wide):
        model = tiny_model(name, overrides, attention)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            if parameter_name.endswith("bias") and not bool(parameter.any()):
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return model


def is_encoder_decoder(module: nn.Module) -> bool:
    return bool(getattr(getattr(module, "config", None), "is_encoder_decoder", False))


def _shrink(values: dict[str, Any], tokens: dict[str, int]) -> None:
    kept, values_before = _kept_layers(values), dict(values)
    for key, value in list(values.items()):
        if isinstance(value, dict) and key not in ("per_layer_config", "rope_parameters", "rope_scaling"):
            if "model_type" in value or not all(str(name).isdigit() for name in value):
                _shrink(value, tokens)
        elif key == "per_layer_config" and isinstance(value, dict):
            found = {int(index): _tiny_layer(layer) for index, layer in value.items()}
            values[key] = {f"{place:02d}": found[old] for place, old in enumerate(kept) if old in found}
        elif key in _LAYER_COUNTS and isinstance(value, int):
            values[key] = len(kept) if key == _layer_count(values, original=key) else 2
        elif key == "rope_parameters" and isinstance(value, dict):
            for part in (value, *(inner for inner in value.values() if isinstance(inner, dict))):
                _shrink_rope(part)
        elif key in ("image_size", "patch_size") and isinstance(value, list):
            values[key] = [_SIZES[key]] * len(value)
        elif isinstance(value, list) and len(value) > len(kept) and len(value) == _ORIGINAL.get(id(values)):
            values[key] = [value[index] for index in kept]
        elif isinstance(value, int | float) and not isinstance(value, bool):
            values[key] = _small(key, value, tokens, values_before.get(key.replace("key_value", "attention")))


_ORIGINAL: dict[int, int] = {}


def _layer_count(values: Mapping[str, Any], original: str) -> str:
    return next((name for name in _LAYER_COUNTS if name in values), original)


def _kept_layers(values: dict[str, Any]) -> list[int]:
    """Two layers at least, and one of each kind that the config's lists tell apart."""
    count = next((values[name] for name in _LAYER_COUNTS if isinstance(values.get(name), int)), 0)
    _ORIGINAL[id(values)] = count
    kinds: dict[tuple[str, ...], int] = {}
    lists = [value for value in values.values() if isinstance(value, list) and len(value) == count > 4]
    special = values.get("per_layer_config") or {}
    for index in range(count):
        kind = (*(str(value[index]) for value in lists), str(special.get(f"{index:02d}", special.get(str(index)))))
        kinds.setdefault(kind, index)
    kept = sorted(kinds.values())[:4]
    return sorted({*kept, *range(max(0, 2 - len(kept) + (kept == [0])))}) if count else []


def _shrink_rope(rope: dict[str, Any]) -> None:
    """Three quarters of every rotary table go, so the sections of a picture's positions are smaller too."""
    rotated = _HEAD_DIM // 2
    if rope.get("partial_rotary_factor", 1.0) != 1.0:
        rope["partial_rotary_factor"] = 0.5
        rotated //= 2
    if "mrope_section" in rope:
        rope["mrope_section"] = [rotated // 2, rotated // 4, rotated // 4]
    if "original_max_position_embeddings" in rope:
        rope["original_max_position_embeddings"] = 64
        rope["factor"] = 8.0


def _tiny_layer(layer: Mapping[str, Any]) -> dict[str, Any]:
    """What one layer has that others have not; as many heads of keys as of queries stay as many."""
    queries = layer.get("num_attention_heads")
    return {k: _small(k, v, {}, queries) if isinstance(v, int | float) else v for k, v in layer.items()}


def _small(key: str, value: int | float, tokens: dict[str, int], queries: Any = None) -> int | float:
    """A small number instead of ``value``; ``queries`` is how many query heads go with a number of key heads."""
    if key.endswith(("token_id", "token_index")) or key in ("image_token", "video_token"):
        usual = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}
        return usual[key] if key in usual else tokens.setdefault(key, 3 + len(tokens))
    if key in _SIZES and value == 0:
        return 0
    if key in _SIZES:
        return min(value, _SIZES[key]) if "layers" in key or key == "depth" else _SIZES[key]
    if key in _HIDDEN_SIZES or key.endswith(("hidden_size", "_dim_size")):
        return _HIDDEN
    if key.endswith("attention_heads"):
        return _HEADS
    if key.endswith("key_value_heads"):
        return _HEADS if value == queries else 2
    if "dropout" in key or key == "layerdrop":
        return 0.0
    if key.endswith(("experts_per_tok", "moe_topk", "moe_k", "top_k")):
        return min(2, value)
    if key.endswith(("_experts", "experts")) and "shared" not in key:
        return min(_EXPERTS, value)
    if key.endswith(("intermediate_size", "intermediate_size_mlp", "ffn_dim", "mlp_dim")):
        return _INTERMEDIATE
    return value


def _randomise(model: nn.Module) -> None:
    """Weights of a scale at which attention is far from uniform, and no gate that starts shut."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() >= 2 and parameter.shape[-1] > 1 and "conv1d" not in name:
                fan_in = math.prod(parameter.shape[1:]) if parameter.dim() > 3 else parameter.shape[-1]
                noise = torch.randn(parameter.shape, generator=generator)
                parameter.copy_(noise * (1.0 if "embed" in name else fan_in**-0.5))
            elif not bool(parameter.any()) and not ("bias" in name or "norm" in name):
                parameter.copy_(torch.full(parameter.shape, 0.5))


def special_tokens(config: Any) -> list[int]:
    """Every token below the first word: what a random model must not say in between."""
    return list(range(FIRST_WORD))


def of_shape(shape: Sequence[int], generator: torch.Generator) -> torch.Tensor:
    return torch.randn(tuple(shape), generator=generator)
