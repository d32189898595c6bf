"""A GGUF file of a tiny Llama, written with the package gguf, with any type of weights in its matrices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Kind

WIDTH, INNER, LAYERS, HEADS = 256, 256, 2, 4
_LETTERS = [chr(letter) for letter in range(33, 127)]
WORDS = ["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>", *_LETTERS, "Ġ", "Ċ", "ab"]
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + 'Ċ' + message['content'] + '<|im_end|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant' }}{% endif %}"
)


def save(
    path: Path,
    kind: Kind = Kind.F32,
    *,
    tied: bool = True,
    words: list[str] = WORDS,
    rows: int | None = None,
    bias: bool = False,
    begin: bool | None = False,
    template: str | None = TEMPLATE,
) -> Path:
    """Write the file; ``rows`` of the embedding are as many as there are words by default."""
    rows = rows or len(words)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(LAYERS)
    writer.add_context_length(512)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(1e4)
    writer.add_vocab_size(rows)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(words)
    writer.add_token_types([3 if word.startswith("<") and len(word) > 1 else 1 for word in words])
    writer.add_token_merges(["a b"])
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    if begin is not None:
        writer.add_add_bos_token(begin)
    if template is not None:
        writer.add_chat_template(template)
    random = np.random.default_rng(0)

    def matrix(name: str, out: int, into: int) -> None:
        values = (random.standard_normal((out, into)) * into**-0.5).astype(np.float32)
        data: Any = gguf.quants.quantize(values, kind)
        writer.add_tensor(name, data, raw_dtype=kind)

    matrix("token_embd.weight", rows, WIDTH)
    for layer in range(LAYERS):
        for name in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{layer}.{name}.weight", np.ones(WIDTH, np.float32))
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            matrix(f"blk.{layer}.{name}.weight", WIDTH, WIDTH)
        if bias:
            writer.add_tensor(f"blk.{layer}.attn_k.bias", np.ones(WIDTH, np.float32))
        for name in ("ffn_gate", "ffn_up", "ffn_down"):
            matrix(f"blk.{layer}.{name}.weight", WIDTH, WIDTH)
    writer.add_tensor("output_norm.weight", np.ones(WIDTH, np.float32))
    if not tied:
        matrix("output.weight", rows, WIDTH)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
