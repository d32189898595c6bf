"""What vLLM would not compute exactly does not start, and the message says why."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
import vllm
from vllm.config import set_current_vllm_config
from vllm.engine.arg_utils import EngineArgs
from vllm.model_executor.layers.attention import Attention
from vllm.utils.torch_utils import set_default_torch_dtype
from vllm.v1.attention.backends.flex_attention import FlexAttentionBackend
from vllm_engine.conftest import SMALL

from farsight.errors import SettingError, UnsupportedModelError
from farsight.vllm_plugin import Sinks, register
from farsight.vllm_plugin.engine import check_loaded, check_model
from farsight_scenes import checkpoint_path

FARSIGHT = {"farsight": {}}
SIZES = {
    "vocab_size": 64, "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 2, "max_position_embeddings": 512,
}  # fmt: skip


def engine_config(config: Any, model: Path | None = None, **options: Any) -> Any:
    arguments = {**SMALL, "additional_config": config, "skip_tokenizer_init": True, **options}
    return EngineArgs(model=str(model or checkpoint_path()), **arguments).create_engine_config()


def save(config: transformers.PreTrainedConfig, folder: Path) -> Path:
    config.save_pretrained(folder)
    return folder


def test_vllm_finds_the_plugin_by_its_entry_point() -> None:
    (found,) = importlib.metadata.entry_points(group="vllm.general_plugins", name="farsight")
    assert found.load() is register


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"sigma": 0}, "sigma must be a finite number > 0"),
        ({"layers": [4]}, r"layers \[4\] are out of range: this model has 0 to 3"),
        ({"heads": [6, 7]}, r"heads \[6, 7\] are out of range: this model has 0 to 5"),
        ({"strength": [1, 2]}, "strength has 2 layers, this model has 4"),
        ({"strength": [[1, 2]] * 4}, "strength has 2 heads, this model has 6"),
    ],
)
def test_settings_are_checked_before_a_model_is_loaded(untouched: Any, settings: object, problem: str) -> None:
    with pytest.raises(SettingError, match=problem):
        engine_config({"farsight": settings})


@pytest.mark.parametrize(
    ("kind", "more", "problem"),
    [
        (
            transformers.DeepseekV2Config,
            {"kv_lora_rank": 16, "q_lora_rank": None, "qk_nope_head_dim": 32, "qk_rope_head_dim": 32, "v_head_dim": 32},
            "multi-head latent attention",
        ),
        (transformers.MambaConfig, {"state_size": 16}, "has no attention that could have registers"),
    ],
)
def test_models_without_such_attention_are_refused(
    untouched: Any, tmp_path: Path, kind: Any, more: dict[str, Any], problem: str
) -> None:
    folder = save(kind(**SIZES, **more, architectures=[kind.__name__.replace("Config", "ForCausalLM")]), tmp_path)
    with pytest.raises(UnsupportedModelError, match=problem):
        engine_config(FARSIGHT, folder, load_format="dummy")


def test_a_model_with_sinks_of_its_own_is_refused(start: Callable[..., Any], tmp_path: Path) -> None:
    config = transformers.GraniteConfig(**SIZES, architectures=["GraniteForCausalLM"])
    folder = save(config, tmp_path)
    (folder / "config.json").write_text(
        json.dumps({**json.loads((folder / "config.json").read_text()), "attention_sinks": True})
    )
    with pytest.raises(UnsupportedModelError, match=r"layers\.0\.self_attn\.attn has attention sinks of its own"):
        start({}, folder, load_format="dummy", skip_tokenizer_init=True)


def test_context_parallelism_and_draft_models_are_refused(untouched: Any) -> None:
    config = untouched.llm_engine.vllm_config
    check_model(config, Sinks())
    parallel = dataclasses.replace(config.parallel_config)
    parallel.decode_context_parallel_size = 2
    with pytest.raises(UnsupportedModelError, match="context parallelism"):
        check_model(_like(config, parallel_config=parallel), Sinks())


def _like(config: Any, **changed: Any) -> Any:
    other = object.__new__(type(config))
    other.__dict__.update(config.__dict__, **changed)
    return other


def test_a_backend_without_sinks_is_refused(start: Callable[..., Any]) -> None:
    config = start({}).llm_engine.vllm_config
    with (
        set_current_vllm_config(config),
        set_default_torch_dtype(torch.float32),
        pytest.raises(UnsupportedModelError, match="backend FLEX_ATTENTION takes no sinks"),
    ):
        Attention(6, 32, 1.0, prefix="language_model.model.layers.9.attn", attn_backend=FlexAttentionBackend)


def test_an_engine_in_which_no_layer_has_registers_is_refused(untouched: Any) -> None:
    with pytest.raises(UnsupportedModelError, match="no attention layer that could be given registers"):
        check_loaded(untouched.llm_engine.vllm_config)


def test_another_version_of_vllm_is_refused(untouched: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm, "__version__", "0.320.1")
    with pytest.raises(UnsupportedModelError, match=r"tested with vLLM 0\.32\.\*, and this is 0\.320\.1"):
        engine_config(FARSIGHT)
    assert engine_config({}).additional_config == {}
