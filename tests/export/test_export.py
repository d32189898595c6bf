"""`farsight export`, as it is typed: what is in the new folder, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import pytest
import tiny_gguf
import torch
import transformers
from gguf import GGMLQuantizationType as Kind
from safetensors.torch import load_file
from tiny_checkpoint import tokenizer
from typer.testing import CliRunner

from farsight import FarSight
from farsight.cli import app
from farsight.inputs.checkpoints import load
from farsight.register_tokens import sigma_of
from farsight_scenes import checkpoint_path, sample_scene
from farsight_scenes.render import render

TEMPLATE = (
    "{% for message in messages %}{{ '<s>' + message['role'] + ': ' + message['content'] + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}"
)
TALK = [{"role": "user", "content": "What is in the picture?"}]


def save_text_model(folder: Path, *, tied: bool = True, shard: str = "1GB", kind: Any = None, **config: Any) -> Path:
    words = tokenizer()
    words.chat_template = TEMPLATE
    sizes = {
        "vocab_size": len(words), "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512, "initializer_range": 0.3,
        "tie_word_embeddings": tied, "pad_token_id": 3, "bos_token_id": 1, "eos_token_id": 2,
    }  # fmt: skip
    torch.manual_seed(0)
    made = (kind or transformers.LlamaConfig)(**sizes | config)
    model = transformers.AutoModelForCausalLM.from_config(made)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_()
    model.save_pretrained(folder, max_shard_size=shard)
    words.save_pretrained(folder)
    (folder / "README.md").write_text("---\nlicense: mit\n---\n\n# Tiny\n")
    return folder


def export(model: Path | str, out: Path, *options: str) -> dict[str, Any]:
    found = CliRunner().invoke(app, ["export", str(model), "--out", str(out), "--json", *options])
    assert found.exit_code == 0, found.stderr
    return dict(json.loads(found.stdout))


def refused(model: Path | str, out: Path, *options: str) -> str:
    found = CliRunner().invoke(app, ["export", str(model), "--out", str(out), *options])
    assert found.exit_code == 2, found.stdout
    assert found.stderr.count("\n") == 1
    assert not out.exists() or not any(out.iterdir())
    assert not [file for file in out.parent.iterdir() if file.name.endswith(".tmp")]
    return found.stderr


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("shard", ["1GB", "20KB"])
def test_the_copy_says_under_plain_decoding_what_the_original_says_under_farsight(
    tmp_path: Path, tied: bool, shard: str
) -> None:
    source = save_text_model(tmp_path / "model", tied=tied, shard=shard)
    about = export(source, tmp_path / "out", "--registers", "10")
    assert (about["token_was"], about["sigma"]) == ("appended", sigma_of(10))
    assert about["checked"]["error"] < 1e-4
    before, after = load(source), load(tmp_path / "out")
    for registers in (None, 0, 1, 20):
        given = {} if registers is None else {"registers": registers}
        ids = after.tokenizer.apply_chat_template(TALK, add_generation_prompt=True, return_tensors="pt", **given)
        count = 10 if registers is None else registers
        original = before.tokenizer.apply_chat_template(TALK, add_generation_prompt=True, return_tensors="pt")
        assert ids["input_ids"][0].tolist() == [about["token_id"]] * count + original["input_ids"][0].tolist()
        how = {"do_sample": False, "max_new_tokens": 12, "output_logits": True, "return_dict_in_generate": True}
        found = after.model.generate(**ids, **how)
        assert about["token_id"] not in found.sequences[0, ids["input_ids"].shape[1] :]
        method = FarSight(sigma=sigma_of(count), horizon="infinite") if count else FarSight(profile="none")
        with method(before.model):
            expected = before.model.generate(**original, **how)
        assert torch.equal(found.sequences[0, -12:], expected.sequences[0, -12:])
        logits = torch.stack(found.logits)[..., : about["token_id"]]
        assert (logits - torch.stack(expected.logits)).abs().max() < 1e-4


def test_a_batch_that_is_padded_on_the_left_has_registers_behind_its_padding(tmp_path: Path) -> None:
    source = save_text_model(tmp_path / "model")
    about = export(source, tmp_path / "out", "--registers", "5")
    before, after = load(source), load(tmp_path / "out")
    talks = [TALK, [{"role": "user", "content": "And now to something that is much longer."}]]
    inputs = []
    for loaded in (before, after):
        loaded.tokenizer.padding_side = "left"
        how = {"add_generation_prompt": True, "return_tensors": "pt", "padding": True, "return_dict": True}
        inputs.append(loaded.tokenizer.apply_chat_template(talks, **how))
    assert inputs[1]["attention_mask"][0, 0] == 0
    assert inputs[1]["input_ids"][1, :5].tolist() == [about["token_id"]] * 5
    found = after.model.generate(**inputs[1], do_sample=False, max_new_tokens=12)
    with FarSight(sigma=sigma_of(5), horizon="infinite")(before.model):
        expected = before.model.generate(**inputs[0], do_sample=False, max_new_tokens=12)
    assert torch.equal(found[:, -12:], expected[:, -12:])


def test_what_people_edit_is_no_second_name_of_the_original(tmp_path: Path) -> None:
    source = save_text_model(tmp_path / "model", tied=False, shard="20KB", vocab_size=310)
    export(source, tmp_path / "out")
    others = [file for file in (tmp_path / "out").iterdir() if file.suffix != ".safetensors"]
    assert "config.json" in {file.name for file in others}
    assert [file for file in others if (source / file.name).exists() and file.samefile(source / file.name)] == []


def test_only_the_file_with_the_embedding_is_written_again(tmp_path: Path) -> None:
    source = save_text_model(tmp_path / "model", tied=False, shard="20KB", vocab_size=310)
    about = export(source, tmp_path / "out")
    assert (about["token_was"], about["token_id"]) == ("padding", len(tokenizer()))
    written = []
    for shard in source.glob("*.safetensors"):
        copy = tmp_path / "out" / shard.name
        if not copy.samefile(shard):
            written.append(shard.name)
            old, new = load_file(shard), load_file(copy)
            expected = old["model.embed_tokens.weight"].clone()
            expected[about["token_id"]] = 0
            assert torch.equal(new.pop("model.embed_tokens.weight"), expected)
            assert all(torch.equal(new[name], old[name]) for name in new)
    assert len(list(source.glob("*.safetensors"))) > 3
    index = json.loads((source / "model.safetensors.index.json").read_text())
    assert written == [index["weight_map"]["model.embed_tokens.weight"]]


def test_the_folder_says_what_was_done(tmp_path: Path) -> None:
    source = save_text_model(tmp_path / "model")
    about = export(source, tmp_path / "out", "--token", "<mine>", "--registers", "4")
    assert about["token"] == "<mine>"
    card = (tmp_path / "out" / "README.md").read_text()
    assert card.startswith("---\nlicense: mit\n---\n\n# ")
    assert card.endswith("# Tiny\n")
    assert "`<mine>`" in card
    assert json.loads((tmp_path / "out" / "farsight.json").read_text()) == {
        name: value for name, value in about.items() if name != "out"
    }
    generation = json.loads((tmp_path / "out" / "generation_config.json").read_text())
    assert generation["suppress_tokens"] == [about["token_id"]]
    again = CliRunner().invoke(app, ["export", str(source), "--out", str(tmp_path / "other")])
    assert "is a register, appended" in again.stdout
    assert "registers in front of a prompt: 10, FarSight with sigma 0.09531" in again.stdout


def test_registers_stand_in_front_of_the_token_that_a_processor_adds_and_of_a_picture(tmp_path: Path) -> None:
    """The embedded LLaVA: its tokenizer begins every text with <s>, which its template does not write."""
    about = export("embedded", tmp_path / "out", "--registers", "3")
    before, after = load(checkpoint_path()), load(tmp_path / "out")
    content = [{"type": "image", "image": render(sample_scene("test", 0))}, {"type": "text", "text": "What is there?"}]
    how = {"add_generation_prompt": True, "tokenize": True, "return_dict": True, "return_tensors": "pt"}
    talk = [{"role": "user", "content": content}]
    original = before.processor.apply_chat_template(talk, **how)
    assert original["input_ids"][0, 0] == before.tokenizer.bos_token_id
    for given, count in (({}, 3), ({"registers": 5}, 5), ({"registers": 0}, 0)):
        inputs = after.processor.apply_chat_template(talk, **how, **given)
        assert inputs["input_ids"][0].tolist() == [about["token_id"]] * count + original["input_ids"][0].tolist()
        method = FarSight(sigma=sigma_of(count), horizon="infinite") if count else FarSight(profile="none")
        with torch.no_grad(), method(before.model):
            expected = before.model(**original).logits
        with torch.no_grad():
            found = after.model(**inputs).logits[:, count:, : about["token_id"]]
        assert (found - expected).abs().max() < 1e-4


def test_biases_are_refused_and_nothing_is_left(tmp_path: Path) -> None:
    source = save_text_model(tmp_path / "model", kind=transformers.Qwen2Config)
    said = refused(source, tmp_path / "out")
    assert "0.self_attn.q_proj.bias is one of 6 biases" in said
    assert "vLLM plugin" in said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--registers", "-1"], "--registers must be from 0 to 4096, not -1"),
        (["--registers", "5000"], "--registers must be from 0 to 4096, not 5000"),
        (["--token", "<s>"], "--token <s> is in use"),
        (["--token", "a"], "--token a is part of ordinary text"),
        (["--format", "onnx"], "--format must be one of safetensors, gguf"),
        (["--format", "gguf"], "has not one *.gguf (none)"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(tmp_path: Path, options: list[str], said: str) -> None:
    assert said in refused(save_text_model(tmp_path / "model"), tmp_path / "out", *options)


def test_a_folder_that_has_something_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("x")
    found = CliRunner().invoke(
        app, ["export", str(save_text_model(tmp_path / "model")), "--out", str(tmp_path / "out")]
    )
    assert (found.exit_code, "is there already" in found.stderr) == (2, True)
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["mine"]


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("kind", [Kind.F32, Kind.Q4_0, Kind.Q8_0], ids=lambda kind: kind.name)
def test_a_gguf_file_has_registers_too(tmp_path: Path, kind: Kind, tied: bool) -> None:
    source = tiny_gguf.save(tmp_path / "model.gguf", kind, tied=tied)
    about = export(source, tmp_path / "out", "--registers", "2")
    assert (about["token_was"], about["token_id"]) == ("appended", len(tiny_gguf.WORDS))
    assert about["checked"]["error"] < 1e-3
    made = gguf.GGUFReader(tmp_path / "out" / "model.gguf")
    fields = {key: field.contents() for key, field in made.fields.items()}
    assert fields["tokenizer.ggml.tokens"] == [*tiny_gguf.WORDS, about["token"]]
    assert fields["tokenizer.ggml.token_type"][-1] == 3
    assert fields["llama.vocab_size"] == len(tiny_gguf.WORDS) + 1
    assert fields["tokenizer.ggml.add_bos_token"] is False
    assert fields["tokenizer.chat_template"].endswith(tiny_gguf.TEMPLATE)
    assert (fields["farsight.registers"], fields["farsight.register_token_id"]) == (2, about["token_id"])
    shapes = {tensor.name: tensor.shape.tolist() for tensor in made.tensors}
    assert shapes["token_embd.weight"] == [tiny_gguf.WIDTH, len(tiny_gguf.WORDS) + 1]
    assert tied or shapes["output.weight"] == shapes["token_embd.weight"]


def test_a_token_of_a_gguf_file_becomes_one_that_texts_are_cut_at(tmp_path: Path) -> None:
    words = [*tiny_gguf.WORDS, "[PAD103]"]
    source = tiny_gguf.save(tmp_path / "model.gguf", Kind.Q4_1, words=words, begin=True)
    about = export(source, tmp_path / "out")
    assert (about["token"], about["token_was"]) == ("[PAD103]", "reserved")
    fields = gguf.GGUFReader(tmp_path / "out" / "model.gguf").fields
    assert fields["tokenizer.ggml.token_type"].contents()[-1] == 3
    assert '{{ "<s>" }}' + tiny_gguf.TEMPLATE in fields["tokenizer.chat_template"].contents()


def test_a_gguf_file_with_biases_is_refused(tmp_path: Path) -> None:
    said = refused(tiny_gguf.save(tmp_path / "model.gguf", bias=True), tmp_path / "out")
    assert "blk.0.attn_k.bias is a bias" in said
