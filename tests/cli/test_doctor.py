"""``farsight doctor``: versions, device, and whether each layer can carry registers."""

import json
import platform
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tiny_checkpoint import tokenizer

import farsight


def test_versions_device_and_attention_are_named(run: Any, model: Path) -> None:
    result = run("doctor", "--model", model, "--device", "cpu")
    assert (result.exit_code, result.stderr) == (0, "")
    for fact in (farsight.__version__, platform.python_version(), torch.__version__, transformers.__version__,
                 "cpu (", "LlavaForConditionalGeneration", "sdpa", "This model can be switched"):  # fmt: skip
        assert fact in result.stdout
    assert all(f"layers.{index}.self_attn" in result.stdout for index in range(3))


def test_json_says_it_layer_by_layer(run: Any, model: Path) -> None:
    result = run("doctor", "--model", model, "--json", "--attn-implementation", "eager", "--device", "cpu")
    report = json.loads(result.stdout)
    assert (report["switchable"], report["reason"], report["dtype"]) == (True, None, "float32")
    assert report["layers"][1] == {
        "index": 1,
        "name": "model.language_model.layers.1.self_attn",
        "attention": "LlamaAttention",
        "heads": 4,
        "kv_heads": 2,
        "sliding_window": None,
        "implementation": "eager",
        "gate": True,
        "reason": None,
    }


def test_sliding_windows_are_told_from_full_attention(run: Any, tmp_path: Path) -> None:
    words = tokenizer()
    config = transformers.Qwen2Config(
        vocab_size=len(words), hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, use_sliding_window=True, sliding_window=7, max_window_layers=1,
    )  # fmt: skip
    transformers.Qwen2ForCausalLM(config).save_pretrained(tmp_path)
    words.save_pretrained(tmp_path)
    report = json.loads(run("doctor", "--model", tmp_path, "--json", "--device", "cpu").stdout)
    assert [layer["sliding_window"] for layer in report["layers"]] == [None, 7]


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_model_that_cannot_be_switched_is_told_why(run: Any, tmp_path: Path, form: list[str]) -> None:
    """RWKV has no attention at all."""
    words = tokenizer()
    config = transformers.RwkvConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=2, attention_hidden_size=16, context_length=32
    )
    transformers.RwkvForCausalLM(config).save_pretrained(tmp_path)
    words.save_pretrained(tmp_path)
    result = run("doctor", "--model", tmp_path, "--device", "cpu", *form)
    assert result.exit_code == 1
    if form:
        report = json.loads(result.stdout)
        assert not report["switchable"]
        assert report["reason"]
    else:
        assert "This model cannot be switched: " in result.stdout
