"""What older versions of Transformers do not do in plain decoding either, so that no method is asked for it there."""

from __future__ import annotations

import re

import pytest
import transformers
from packaging.version import Version

_INSTALLED = Version(transformers.__version__)
SINCE = (
    (r"inkling2|a sink of its own for every row", "5.23", "has no Inkling 2"),
    (r"dots3_note|keys chosen by an indexer|for_known_names_only", "5.23", "has no dots3"),
    (r"muse_spark", "5.20", "has no Muse Spark"),
    (r"reason\[diffusion_gemma", "5.18", "has no DiffusionGemma"),
    (r"definition_in\[image and video", "5.22", "takes the pictures of Video-LLaVA by another name"),
    (r"definition_in\[Q-former", "5.14", "runs the Q-former of InstructBLIP eagerly only"),
    (r"test_a_prompt_in_chunks", "5.23", "forgets the picture of a prompt in chunks"),
    (r"qwen2_vl-(.*beam|opera)|(sequences|by_the_definition)\[qwen2_5_vl", "5.18", "loses Qwen's grids in beams"),
    (r"assisted\w*\[(True|lookup)", "5.14", "looks up drafts only with an end token"),
    (r"assisted\w*\[draft-gemma3", "5.18", "crops a sliding cache to another length than its mask"),
    (r"test_encoder_decoders\.py::.*(instructblip|blip-2)", "5.20", "builds no T5 behind a Q-former"),
)
"""A pattern of tests' names, the first version that passes them, and what an older one does"""


def skip_what_is_newer(items: list[pytest.Item]) -> None:
    for pattern, version, why in SINCE:
        if Version(version) > _INSTALLED:
            for item in items:
                if re.search(pattern, item.nodeid):
                    item.add_marker(pytest.mark.skip(reason=f"Transformers before {version} {why}"))
