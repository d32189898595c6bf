"""``farsight doctor``: versions, device, and whether each layer can carry registers."""

import json
import platform
from math import exp
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tiny_checkpoint import tokenizer

import farsight
from farsight import METHODS, Plain
from farsight.diagnose.layout import lay_out
from farsight.diagnose.replay import generated, replayed
from farsight.images import open_image
from farsight.inputs.checkpoints import load
from farsight.methods import called


def test_versions_device_and_attention_are_named(run: Any, model: Path) -> None:
    result = run("doctor", "--model", model, "--device", "cpu")
    assert (result.exit_code, result.stderr) == (0, "")
    for fact in (farsight.__version__, platform.python_version(), torch.__version__, transformers.__version__,
                 "cpu (", "LlavaForConditionalGeneration", "sdpa", "This model can be switched"):  # fmt: skip
        assert fact in result.stdout
    assert "0-2     layers.*.self_attn" in result.stdout


def test_the_verdict_says_what_each_sigma_would_take_and_which_to_try(run: Any, model: Path, picture: Path) -> None:
    """On a picture it is what the diagnosis of plain decoding says."""
    result = run("doctor", picture, "--model", model, "-n", "60", "--device", "cpu", "--json")
    seen = json.loads(result.stdout)["attention"]
    assert (seen["about"], seen["answer_tokens"], seen["max_new_tokens"]) == ("picture", 48, 60)
    loaded = load(model, device="cpu")
    layout = lay_out(loaded, open_image(picture), seen["prompt"])
    tokens = generated(loaded, layout, Plain(), 48)
    lse = replayed(loaded, layout, Plain(), tokens, 60).lse.double()
    slots = range(lse.shape[-1])
    for share in seen["shares"]:
        mass = [sum(exp(-k * share["sigma"]) for k in range(1, layout.prompt_slots + 60 - i)) for i in slots]
        taken = torch.tensor(mass) / (lse.exp() + torch.tensor(mass))
        assert share["all_rows"] == pytest.approx(float(taken.mean()), rel=1e-5)
        assert share["generated_rows"] == pytest.approx(float(taken[..., layout.prompt_slots - 1 :].mean()), rel=1e-5)
    assert seen["log_z_low"] < seen["log_z_median"]
    best = min(seen["shares"], key=lambda share: abs(share["generated_rows"] - 0.1))
    assert f"farsight(sigma={best['sigma']:g}, rows=generated)" in seen["sentence"]
    shown = run("doctor", picture, "--model", model, "-n", "60", "--device", "cpu").stdout
    assert seen["sentence"].split(":")[0] in shown


def test_a_model_that_reads_text_alone_has_a_verdict_and_its_methods_say_what_they_need(
    run: Any, tmp_path: Path
) -> None:
    words = tokenizer()
    config = transformers.LlamaConfig(
        vocab_size=len(words), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        eos_token_id=None,
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.LlamaForCausalLM(config).save_pretrained(tmp_path)
    words.save_pretrained(tmp_path)
    report = json.loads(run("doctor", "--model", tmp_path, "--json", "--device", "cpu").stdout)
    assert report["attention"]["about"] == "prompt"
    rows = {row["name"]: row for row in report["methods"]}
    assert set(rows) == {called(name) for name in METHODS}
    assert (rows["farsight"]["runs"], rows["farsight"]["extra_forwards"]) == (True, 0)
    assert (rows["icd"]["runs"], rows["icd"]["extra_forwards"]) == (True, 1)
    assert not rows["vcd"]["runs"]
    assert rows["vcd"]["reason"].startswith("vcd works on pictures, and this model reads only text")
    shown = run("doctor", "--model", tmp_path, "--device", "cpu", columns=200).stdout
    assert "Not vcd, m3id, avisc, fixvpe, edvt: works on pictures" in shown
    assert "(text alone)" in shown


def test_a_text_model_that_is_given_a_picture_says_why_it_was_not_seen(run: Any, tmp_path: Path, picture: Path) -> None:
    words = tokenizer()
    config = transformers.LlamaConfig(
        vocab_size=len(words), hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2
    )
    transformers.LlamaForCausalLM(config).save_pretrained(tmp_path)
    words.save_pretrained(tmp_path)
    result = run("doctor", picture, "--model", tmp_path, "--device", "cpu", columns=200)
    assert "What it attends to was not seen: " in result.stdout
    assert "takes no pictures" in result.stdout
    assert "This model can be switched" in result.stdout


def test_trained_sinks_and_gates_and_layers_without_attention_are_named(run: Any, tmp_path: Path) -> None:
    words = tokenizer()
    words.save_pretrained(tmp_path / "sinks")
    words.save_pretrained(tmp_path / "gates")
    torch.manual_seed(0)
    sizes: dict[str, Any] = {
        "vocab_size": len(words), "hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 8, "eos_token_id": None, "pad_token_id": 3,
    }  # fmt: skip
    with_sinks = transformers.GptOssForCausalLM(
        transformers.GptOssConfig(
            **sizes, num_hidden_layers=4, num_local_experts=2, num_experts_per_tok=1, sliding_window=6
        )
    )
    for layer in with_sinks.get_decoder().layers:
        torch.nn.init.constant_(layer.self_attn.sinks, 2.0)
    with_sinks.save_pretrained(tmp_path / "sinks")
    with_gates = transformers.Qwen3NextForCausalLM(
        transformers.Qwen3NextConfig(
            **sizes, num_hidden_layers=4, num_experts=2, num_experts_per_tok=1, moe_intermediate_size=16,
            shared_expert_intermediate_size=16, linear_num_key_heads=2, linear_num_value_heads=2,
            linear_key_head_dim=8, linear_value_head_dim=8,
        )
    )  # fmt: skip
    with_gates.save_pretrained(tmp_path / "gates")
    told = run(
        "doctor", "--model", tmp_path / "sinks", "--attn-implementation", "eager", "--device", "cpu", columns=160
    )
    assert "0, 2    layers.*.self_attn  GptOssAttention" in told.stdout
    assert "Trained sinks of its own in layers 0-3: they take " in told.stdout
    assert "trained gate" not in told.stdout
    told = run("doctor", "--model", tmp_path / "gates", "--device", "cpu", columns=160)
    assert "no softmax attention" in told.stdout
    assert "A trained gate behind attention in layers 3: it multiplies by 0.5" in told.stdout
    assert "Trained sinks" not in told.stdout


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
        "own_sink": None,
        "own_gate": None,
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
