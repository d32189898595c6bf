"""What each architecture needs beside small sizes: corrections of its config, and the form of its pictures.

One row per architecture, only where the general rule (`tiny_model`, `Inputs` by the names that its forward takes) is
not enough. Paths are dotted; `...` removes a value, so that the config's class makes its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Shapes = Mapping[str, tuple[int, ...] | list[Any]]
"""A tuple is the shape of random numbers, a list is the tensor itself."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """``tokens`` is how many placeholders a picture takes, None to ask the model; ``parts`` splits a video's."""

    config: Mapping[str, Any] = field(default_factory=dict)
    image: Shapes | None = None
    video: Shapes | None = None
    tokens: int | None = None
    video_tokens: int | None = None
    image_token: int | None = None
    video_token: int | None = None
    parts: int = 1
    kinds: tuple[str, ...] | None = None
    attention: str = "sdpa"


PIXELS: Shapes = {"pixel_values": (1, 3, 16, 16)}
TILES: Shapes = {"pixel_values": (1, 1, 3, 16, 16)}
FIVE_TILES: Shapes = {"pixel_values": (1, 5, 3, 16, 16), "image_sizes": [[32, 32]]}
SIZED: Shapes = {**PIXELS, "image_sizes": [[16, 16]]}
GRID: Shapes = {"pixel_values": (16, 3 * 2 * 4 * 4), "image_grid_thw": [[1, 4, 4]]}
GRID_OF_FRAMES: Shapes = {"pixel_values": (16, 3 * 4 * 4), "image_grid_thw": [[1, 4, 4]]}
GRID_OF_SQUARES: Shapes = {"pixel_values": (16, 3, 4, 4), "image_grid_thw": [[1, 4, 4]]}
GRID_VIDEO: Shapes = {"pixel_values_videos": (32, 3 * 2 * 4 * 4), "video_grid_thw": [[2, 4, 4]]}
GRID_OF_FRAMES_VIDEO: Shapes = {"pixel_values_videos": (32, 3 * 4 * 4), "video_grid_thw": [[2, 4, 4]]}
GRID_OF_SQUARES_VIDEO: Shapes = {"pixel_values_videos": (32, 3, 4, 4), "video_grid_thw": [[2, 4, 4]]}
FRAMES: Shapes = {"pixel_values_videos": (1, 2, 3, 16, 16)}

LLAMA = {
    "model_type": "llama",
    "vocab_size": 128,
    "hidden_size": 64,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 512,
}
MROPE = {"text_config.rope_parameters.mrope_section": [4, 2, 2]}
HALF_MROPE = {"text_config.rope_parameters.mrope_section": [2, 1, 1]}
QFORMER = {"num_query_tokens": 4, "text_config": LLAMA}
PINPOINTS = {"image_grid_pinpoints": [[32, 32], [16, 32]]}
QUESTION: Shapes = {"qformer_input_ids": [[11, 12, 13]], "qformer_attention_mask": [[1, 1, 1]]}

ROWS: dict[str, Row] = {
    "aria": Row(config={"projector_patch_to_query_dict": {16: 4}}),
    "blip-2": Row(config={"image_token_index": 3, "num_query_tokens": 4}, tokens=4),
    "cohere_compass": Row(
        config={
            "text_config.rope_parameters": {
                "full_attention": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [4, 2, 2]}
            },
            "vision_config.deepstack_visual_indexes": [0],
        },
        parts=2,
    ),
    "cosmos3_edge": Row(image=GRID_OF_FRAMES, video=GRID_OF_FRAMES_VIDEO, parts=2),
    "cosmos3_omni": Row(parts=2),
    "deepseek_ocr2": Row(config={"text_config.mlp_layer_types": ["dense", "sparse"], "text_config.num_experts_per_tok": 2}),
    "dots3_note": Row(config={"text_config.num_key_value_heads": 4}),
    "ernie4_5_vl_moe": Row(
        config={"text_config.rope_parameters.mrope_section": [3, 3, 2]},
        image=GRID_OF_FRAMES,
        video=GRID_OF_FRAMES_VIDEO,
    ),
    "glm46v": Row(config=MROPE, parts=2),
    "glm4v": Row(config=MROPE, parts=2),
    "glm4v_moe": Row(config=HALF_MROPE, parts=2),
    "glm5_next": Row(config={"text_config.num_key_value_heads": 4}),
    "glm_ocr": Row(config=MROPE, parts=2),
    "glmga": Row(config=MROPE, parts=2),
    "granite4_vision": Row(
        config={"downsample_rate": "2/4", "deepstack_layer_map": [[-1, 0]], "spatial_target_layers": [0], **PINPOINTS},
        image=FIVE_TILES,
    ),
    "hunyuan_vl": Row(config={"text_config.head_dim": 16}, image=GRID_OF_FRAMES),
    "idefics2": Row(image=TILES),
    "idefics3": Row(image=TILES),
    "smolvlm": Row(image=TILES),
    "instructblip": Row(config={"image_token_index": 3, **QFORMER}, image={**PIXELS, **QUESTION}, tokens=4),
    "instructblipvideo": Row(
        config={"video_token_index": 3, **QFORMER},
        kinds=("video",),
        video={"pixel_values": (1, 2, 3, 16, 16), **QUESTION},
        video_tokens=8,
    ),
    "kimi_k25": Row(image=GRID_OF_SQUARES, video=GRID_OF_SQUARES_VIDEO),
    "lfm2_vl": Row(
        image={"pixel_values": (1, 16, 48), "spatial_shapes": [[4, 4]], "pixel_attention_mask": [[1] * 16]},
    ),
    "lighton_ocr": Row(image=SIZED),
    "llava_next": Row(config=PINPOINTS, image=FIVE_TILES),
    "llava_next_video": Row(config=PINPOINTS, image=FIVE_TILES),
    "llava_onevision": Row(config=PINPOINTS, image=FIVE_TILES),
    "mistral3": Row(image=SIZED),
    "mistral_large4": Row(image=SIZED),
    "molmo2": Row(config={"adapter_config.vision_feature_layer": [1, 0]}),
    "paddleocr_vl": Row(config=MROPE, image={"pixel_values": (16, 3, 4, 4), "image_grid_thw": [[1, 4, 4]]}),
    "qwen2_5_omni_thinker": Row(config=MROPE),
    "qwen2_5_vl": Row(config=MROPE),
    "qwen2_vl": Row(config=MROPE),
    "qwen3_5": Row(parts=2),
    "qwen3_5_moe": Row(parts=2),
    "qwen3_omni_moe_thinker": Row(config=MROPE, parts=2),
    "qwen3_vl": Row(parts=2),
    "qwen3_vl_moe": Row(parts=2),
    "qwen4_exp": Row(
        config={
            "text_config.indexer_n_heads": 2,
            "text_config.indexer_kv_heads": 1,
            "text_config.indexer_head_dim": 16,
            "text_config.indexer_budget": 8,
            "text_config.indexer_compress_ratio": 4,
        },
        parts=2,
    ),
    "step3p7": Row(config={"text_config.sliding_window": 6}),
    "video_llama_3": Row(
        image={"pixel_values": (16, 48), "image_grid_thw": [[1, 4, 4]], "image_merge_sizes": [2]},
        video={"pixel_values_videos": (32, 48), "video_grid_thw": [[2, 4, 4]], "video_merge_sizes": [2]},
    ),
    "vipllava": Row(config={"vision_feature_layer": [-2, -1]}),
}
