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
    """
    ``tokens``: how many placeholders a picture takes; None to ask the model. ``image_token``: the token that stands for
    one, or the name of the config's value that says so. ``parts``: in how many pieces a video's placeholders come, and
    ``around``: the names of the tokens before and behind them. ``per_token``: masks of ones with a row per token;
    ``marks``: one that marks the placeholders. ``stacked``: along which dimension two pictures are put together.
    ``prefix``: the prompt reads both ways (its token types are 0), what follows does not. ``positions``: a forward must
    be told the places of left-padded tokens, as ``generate`` tells it. ``tower``: which vision tower stands in for its
    own, if that cannot be built without timm.
    """

    config: Mapping[str, Any] = field(default_factory=dict)
    image: Shapes | None = None
    video: Shapes | None = None
    tokens: int | None = None
    video_tokens: int | None = None
    image_token: str | int | None = None
    video_token: str | None = None
    parts: int = 1
    kinds: tuple[str, ...] | None = None
    per_token: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    marks: str | None = None
    prefix: bool = False
    positions: bool = False
    around: tuple[str, str] | None = None
    stacked: Mapping[str, int] = field(default_factory=dict)
    attention: str = "sdpa"
    tower: str | None = None


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

PATCHES_WITH_PLACES: Shapes = {
    "pixel_values": (1, 16, 48),
    "image_position_ids": [[[x, y] for y in range(4) for x in range(4)]],
}
GEMMA4_VISION = {
    "model_type": "gemma4_vision",
    "hidden_size": 64,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "head_dim": 16,
    "patch_size": 4,
    "pooling_kernel_size": 2,
    "position_embedding_size": 16,
}
NAVIT = {
    "config": {"image_token_id": 3, "video_token_id": 4, "vision_config.insert_layer_id": 0, "insert_layer_id": 0},
    "image": {"pixel_values": (1, 3, 4, 64), "target_sizes": [[4, 4]]},
    "video": {"pixel_values_videos": (1, 3, 4, 128), "target_sizes_videos": [[4, 4], [4, 4]]},
    "stacked": {"pixel_values": 3, "pixel_values_videos": 3},
}
GLM_VIDEO = {"parts": 2, "video_token": "image_token_id"}
ROWS: dict[str, Row] = {
    "apertus1p5": Row(
        config={
            "image_token_id": 3,
            "audio_token_id": 4,
            "image_token_offset": 40,
            "audio_token_offset": 48,
            "audio_config.codebook_dim": 64,
            "audio_config.codebook_size": 8,
            "vision_config.codebook_size": 8,
            "vision_config.base_channels": 32,
            "vision_config.channel_multiplier": [1, 1, 1],
            "vision_config.num_res_blocks": 1,
        },
        image=SIZED,
        tokens=16,
        attention="eager",
    ),
    "aria": Row(config={"projector_patch_to_query_dict": {16: 4}}),
    "blip-2": Row(config={"image_token_index": 3, "num_query_tokens": 4}, tokens=4),
    "chameleon": Row(
        config={
            "vocabulary_map": {"<image>": 3, **{f"IMGIMG{'ABCDEFGH'[code]}Z": 40 + code for code in range(8)}},
            "image_token_id": 3,
            "vq_config.num_embeddings": 8,
            "vq_config.base_channels": 32,
            "vq_config.channel_multiplier": [1, 1, 1],
            "vq_config.resolution": 16,
        },
        tokens=16,
    ),
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
    "deepseek_ocr2": Row(
        config={
            "text_config.mlp_layer_types": ["dense", "sparse"],
            "text_config.num_experts_per_tok": 2,
            "vision_config.sam_config.downsample_channels": [32, 64],
        }
    ),
    "deepseek_vl_hybrid": Row(
        config={"high_res_vision_config.global_attn_indexes": [0, 1]},
        image={**PIXELS, "high_res_pixel_values": (1, 3, 16, 16)},
    ),
    "diffusion_gemma": Row(
        config={
            "text_config.num_experts": 4,
            "text_config.top_k_experts": 2,
            "text_config.moe_intermediate_size": 32,
            "vision_config": GEMMA4_VISION,
        },
        image=PATCHES_WITH_PLACES,
    ),
    "dots3_note": Row(
        config={
            "vision_config.adapter_in_dim": 64,
            "vision_config.adapter_out_dim": 64,
            "audio_config.adapter_input_size": 64,
            "audio_config.adapter_out_dim": 64,
        },
        image=GRID_OF_FRAMES,
        video=GRID_OF_FRAMES_VIDEO,
    ),
    "emu3": Row(
        config={
            "vocabulary_map": {
                "<image>": 3,
                "<|extra_200|>": 39,
                **{f"<|visual token {code:06}|>": 40 + code for code in range(8)},
            },
            "image_token_id": 3,
            "vq_config.codebook_size": 8,
            "vq_config.base_channels": 64,
            "vq_config.channel_multiplier": [1, 1, 1],
            "vq_config.num_res_blocks": 1,
        },
        image=SIZED,
    ),
    "ernie4_5_vl_moe": Row(
        config={"text_config.rope_parameters.mrope_section": [3, 3, 2]},
        image=GRID_OF_FRAMES,
        video=GRID_OF_FRAMES_VIDEO,
    ),
    "evolla": Row(
        image={"protein_input_ids": [list(range(3, 15))], "protein_attention_mask": [[1] * 12]},
        tokens=0,
    ),
    "fast_vlm": Row(
        config={
            "vision_config": {
                "model_type": "resnet",
                "hidden_size": 64,
                "embedding_size": 16,
                "hidden_sizes": [16, 32, 64],
                "depths": [1, 1, 1],
                "layer_type": "basic",
            }
        },
        image={"pixel_values": (1, 3, 32, 32)},
        attention="eager",
        tower="ResNet",
    ),
    "florence2": Row(
        config={
            "vision_config.patch_size": [7, 3, 3, 3],
            "vision_config.depths": [1, 1, 1, 1],
            "vision_config.embed_dim": [16, 16, 32, 32],
            "vision_config.num_heads": [2, 2, 2, 2],
            "vision_config.num_groups": [2, 2, 2, 2],
            "vision_config.window_size": 4,
            "vision_config.projection_dim": 64,
        },
        image={"pixel_values": (1, 3, 64, 64)},
    ),
    "fuyu": Row(image={"pixel_values": (1, 16, 48)}),
    "gemma4": Row(config={"vision_config": GEMMA4_VISION}, image=PATCHES_WITH_PLACES, kinds=("image",)),
    "gemma4_unified": Row(
        config={
            "vision_config": {
                "model_type": "gemma4_unified_vision",
                "patch_size": 4,
                "pooling_kernel_size": 2,
                "model_patch_size": 8,
                "mm_embed_dim": 64,
                "mm_posemb_size": 16,
                "output_proj_dims": 64,
            }
        },
        image={"pixel_values": (1, 4, 192), "image_position_ids": [[[0, 0], [1, 0], [0, 1], [1, 1]]]},
        kinds=("image",),
    ),
    "git": Row(attention="eager", tokens=0),
    "glm46v": Row(config=MROPE, **GLM_VIDEO),
    "glm4v": Row(config=MROPE, **GLM_VIDEO),
    "glm4v_moe": Row(config=HALF_MROPE, **GLM_VIDEO),
    "glm5_next": Row(
        config={"text_config.index_kpool": 4}, around=("video_start_token_id", "video_end_token_id"), **GLM_VIDEO
    ),
    "glm_ocr": Row(config=MROPE, **GLM_VIDEO),
    "glmga": Row(config=MROPE, **GLM_VIDEO),
    "granite_docling": Row(image={**TILES, "pixel_attention_mask": [[True]]}),
    "granite4_vision": Row(
        config={"downsample_rate": "2/4", "deepstack_layer_map": [[-1, 0]], "spatial_target_layers": [0], **PINPOINTS},
        image=FIVE_TILES,
        tokens=24,
    ),
    "hunyuan_vl": Row(
        config={"text_config.head_dim": 16, "text_config.rope_parameters.mrope_section": [2, 2, 2, 2]},
        image=GRID_OF_FRAMES,
    ),
    "hy_v4_vl": Row(
        config={"text_config.rope_parameters.mrope_section": [2, 1, 1]},
        image=GRID_OF_FRAMES,
        video=GRID_OF_FRAMES_VIDEO,
        attention="eager",
    ),
    "idefics": Row(image=TILES, tokens=0, per_token={"image_attention_mask": (1,)}),
    "inkling2": Row(image={"pixel_values": (4, 8, 8, 3), "image_grid_thw": [[1, 2, 2]]}, attention="eager"),
    "inkling2_loop": Row(image={"pixel_values": (4, 8, 8, 3), "image_grid_thw": [[1, 2, 2]]}, attention="eager"),
    "inkling_mm_model": Row(
        config={"vision_config.n_layers": 3, "vision_config.num_hidden_layers": 3},
        image={"pixel_values": (4, 2, 4, 4, 3)},
        attention="eager",
    ),
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
    "kimi_k25": Row(
        config={"text_config.head_dim": 8},
        image=GRID_OF_SQUARES,
        video={"pixel_values_videos": (16, 3, 4, 4), "video_grid_thw": [[1, 4, 4]]},
    ),
    "kosmos-2": Row(
        config={"latent_query_num": 4},
        tokens=4,
        image_token=9,
        marks="image_embeds_position_mask",
    ),
    "kosmos-2.5": Row(
        config={"latent_query_num": 4},
        image={
            "flattened_patches": [
                [[1 + i // 4, 1 + i % 4, *((i + j) % 7 / 3 - 1 for j in range(64))] for i in range(16)]
            ]
        },
        tokens=4,
        image_token=9,
        marks="image_embeds_position_mask",
    ),
    "lfm2_vl": Row(
        config={"text_config.layer_types": ["conv", "full_attention", "conv"], "text_config.num_hidden_layers": 3},
        image={"pixel_values": (1, 16, 48), "spatial_shapes": [[4, 4]], "pixel_attention_mask": [[1] * 16]},
    ),
    "llama4": Row(
        config={
            "vision_config.intermediate_size": 256,
            "vision_config.projector_input_dim": 64,
            "vision_config.projector_output_dim": 64,
            "vision_config.vision_output_dim": 64,
        },
    ),
    "lighton_ocr": Row(image=SIZED),
    "llava_next": Row(config=PINPOINTS, image=FIVE_TILES),
    "llava_next_video": Row(config=PINPOINTS, image=FIVE_TILES),
    "llava_onevision": Row(config=PINPOINTS, image=FIVE_TILES),
    "minimax_m3_vl": Row(config={"text_config.index_block_size": 2, "text_config.index_topk_blocks": 2}),
    "minicpm_ocr": Row(**NAVIT),
    "minicpmv4_6": Row(**NAVIT),
    "minicpmv4_7": Row(**NAVIT),
    "mistral3": Row(image=SIZED),
    "mistral_large4": Row(config={"text_config.index_topk": 64}, image=SIZED, positions=True),
    "mistral4": Row(image={}, tokens=0),
    "mllama": Row(
        config={
            "text_config.num_hidden_layers": 3,
            "text_config.cross_attention_layers": [1],
            "vision_config.num_global_layers": 2,
            "vision_config.intermediate_layers_indices": [0, 1],
            "vision_config.vision_output_dim": 192,
        },
        image={
            "pixel_values": (1, 1, 4, 3, 16, 16),
            "aspect_ratio_ids": [[1]],
            "aspect_ratio_mask": [[[1, 0, 0, 0]]],
        },
        tokens=1,
        per_token={"cross_attention_mask": (1, 4)},
    ),
    "molmo2": Row(
        config={
            "image_patch_id": 20,
            "adapter_config.vision_feature_layer": [1, 0],
            "vision_config.num_position_embeddings": 16,
        },
        image={
            "pixel_values": (1, 16, 48),
            "image_token_pooling": [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]],
            "image_grids": [[2, 2, 0, 0]],
        },
        kinds=("image",),
    ),
    "muse_glimmer": Row(config={"out_hidden_size": 256}),
    "muse_spark": Row(config={"out_hidden_size": 256}),
    "nemotron_h_omni": Row(
        config={"image_token_id": 3, "vision_config.patch_dim": 48, "text_config.n_groups": 2},
        image={"pixel_values": (16, 48), "image_grid_hw": [[4, 4]]},
        kinds=("image",),
    ),
    "paddleocr_vl": Row(config=MROPE, image={"pixel_values": (16, 3, 4, 4), "image_grid_thw": [[1, 4, 4]]}),
    "paligemma": Row(config={"projection_dim": 64, "vision_config.projection_dim": 64}, prefix=True),
    "perception_lm": Row(
        config={
            "vision_config": {
                "model_type": "clip_vision_model",
                "hidden_size": 64,
                "intermediate_size": 48,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "image_size": 16,
                "patch_size": 4,
                "model_args": {"embed_dim": 64},
            },
            "vision_use_cls_token": True,
            "projector_pooling_ratio": 1,
        },
        image=TILES,
        kinds=("image",),
        tower="CLIP",
    ),
    "pix2struct": Row(
        config={"text_config.d_kv": 16, "vision_config.d_kv": 16},
        image={
            "flattened_patches": [
                [[1 + i // 4, 1 + i % 4, *((i + j) % 7 / 3 - 1 for j in range(64))] for i in range(16)]
            ]
        },
        tokens=0,
        attention="eager",
    ),
    "pp_formulanet": Row(config={"vision_config.image_size": 64}, image={"pixel_values": (1, 3, 64, 64)}, tokens=0),
    "qwen2_5_omni_thinker": Row(config={**MROPE, "vision_start_token_id": 20}),
    "qwen2_5_vl": Row(config=MROPE),
    "qwen2_vl": Row(config=MROPE),
    "qwen3_5": Row(parts=2),
    "qwen3_5_moe": Row(parts=2),
    "qwen3_omni_moe_thinker": Row(config={**MROPE, "vision_start_token_id": 20}, parts=2),
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
    "udop": Row(config={"num_decoder_layers": 2}, tokens=0, per_token={"bbox": (4,)}),
    "unlimited_ocr": Row(config={"vision_config.sam_config.downsample_channels": [32, 64]}),
    "video_llama_3": Row(
        image={"pixel_values": (16, 48), "image_grid_thw": [[1, 4, 4]], "image_merge_sizes": [2]},
        video={"pixel_values_videos": (32, 48), "video_grid_thw": [[2, 4, 4]], "video_merge_sizes": [2]},
    ),
    "vipllava": Row(config={"vision_feature_layer": [-2, -1]}),
    "vision-encoder-decoder": Row(tokens=0),
}
