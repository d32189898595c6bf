"""Export a GGUF file: a row of the embedding becomes zeros, in every quantisation; the template writes registers."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from farsight.errors import FarSightError, UnsupportedModelError
from farsight.export.check import ALTERNATIVE, Verdict, check_tokens
from farsight.export.gguf_file import ARRAY, BOOL, FLOAT32, INT32, STRING, UINT32, GgufFile, packed
from farsight.export.template import TALK, with_registers
from farsight.export.tokens import RegisterToken, choose
from farsight.inputs import chat_templates

EMBEDDING, HEAD = "token_embd.weight", "output.weight"
TEMPLATE = "tokenizer.chat_template"
_TOKENS, _TYPES, _SCORES = (f"tokenizer.ggml.{name}" for name in ("tokens", "token_type", "scores"))
_NORMAL, _CONTROL = 1, 3
_SHIFTS = (
    "position_embd",
    "token_types",
    "per_layer",
    "ssm_",
    "time_mix",
    "shortconv",
    "attn_rel_b",
    "token_embd_norm",
)
"""Tensors of positions that are added, of embeddings by layer, and of layers that keep a state"""
RUN_BYTES = 2**29
"""Of a file that is also run in Transformers, where its weights take up to eight times as much."""


def choose_token(file: GgufFile, wanted: str | None) -> RegisterToken:
    """Choose the token; raises as `farsight.export.tokens.choose`, and if the file has no embedding or vocabulary."""
    if (count := file.value("split.count") or 1) != 1:
        raise UnsupportedModelError(
            f"{file.path}: is one of {count} parts of a model; make one file of them with llama-gguf-split --merge"
        )
    embedding, words = file.tensor(EMBEDDING), file.value(_TOKENS)
    if embedding is None or not isinstance(words, list) or len(embedding.shape) != 2:
        raise UnsupportedModelError(f"{file.path}: has no {EMBEDDING} or no {_TOKENS}; pass a language model")
    types = file.value(_TYPES) or [_NORMAL] * len(words)
    special = {word for word, kind in zip(words, types, strict=False) if kind != _NORMAL}
    numbers = (file.value(key) for key in file.entries if key.endswith("_token_id"))
    used = {words[number] for number in numbers if 0 <= number < len(words)}
    used |= {word for word in special if word in (file.value(TEMPLATE) or "")}
    return choose({word: number for number, word in enumerate(words)}, special, embedding.shape[1], wanted, used)


def parts(file: GgufFile, token: RegisterToken, registers: int) -> Iterator[bytes]:
    """Give the bytes of the exported file."""
    changes = _settings(file, token) | _templates(file, token, registers)
    changes |= {
        "farsight.registers": packed(UINT32, registers),
        "farsight.register_token": packed(STRING, token.text),
        "farsight.register_token_id": packed(UINT32, token.number),
    }
    rows = {EMBEDDING: token.number}
    if token.how == "appended" and file.tensor(HEAD) is not None:
        rows[HEAD] = token.number
    yield from file.rewritten(changes, rows)


def adds_begin(file: GgufFile) -> bool:
    """Whether llama.cpp puts the token that begins a text in front by itself."""
    if (said := file.value("tokenizer.ggml.add_bos_token")) is not None:
        return bool(said)
    kind, way = file.value("tokenizer.ggml.model"), str(file.value("tokenizer.ggml.pre"))
    return kind == "llama" or (kind == "gpt2" and way in ("llama3", "llama-v3", "llama-bpe", "falcon3", "tekken"))


def _settings(file: GgufFile, token: RegisterToken) -> dict[str, bytes]:
    words, types, scores = (file.value(key) for key in (_TOKENS, _TYPES, _SCORES))
    types = list(types or [_NORMAL] * len(words))
    changes = {"tokenizer.ggml.add_bos_token": packed(BOOL, False)}
    if token.number < len(words):
        types[token.number] = _CONTROL
    else:
        words.append(token.text)
        types.append(_CONTROL)
        changes[_TOKENS] = packed(ARRAY, words, STRING)
        if scores is not None:
            changes[_SCORES] = packed(ARRAY, [*scores, 0.0], FLOAT32)
        for key in file.entries:
            if key.endswith(".vocab_size"):
                changes[key] = packed(file.entries[key].kind, max(file.value(key), token.number + 1))
    changes[_TYPES] = packed(ARRAY, types, INT32)
    return changes


def _templates(file: GgufFile, token: RegisterToken, registers: int) -> dict[str, bytes]:
    """Each template of the file with registers in front, and the token that begins a text if llama.cpp added it."""
    changes = {}
    for key in file.entries:
        if (key == TEMPLATE or key.startswith(f"{TEMPLATE}.")) and isinstance(text := file.value(key), str):
            begin = _begin(file) if adds_begin(file) else None
            if begin is not None and rendered(file, text).startswith(begin):
                begin = None
            changes[key] = packed(STRING, with_registers(text, token.text, registers, begin))
    return changes


def rendered(file: GgufFile, template: str, **variables: Any) -> str:
    """What a template of the file writes for one question."""
    names = {"bos_token": _begin(file) or "", "eos_token": _word(file, "eos") or ""}
    asked = SimpleNamespace(chat_template=template, special_tokens_map=names, name_or_path=str(file.path))
    return chat_templates.written(asked, [TALK], **variables)[0]


def _begin(file: GgufFile) -> str | None:
    return _word(file, "bos")


def _word(file: GgufFile, name: str) -> str | None:
    number, words = file.value(f"tokenizer.ggml.{name}_token_id"), file.value(_TOKENS)
    return words[number] if isinstance(number, int) and 0 <= number < len(words) else None


def check(file: GgufFile, registers: int) -> tuple[Verdict, str]:
    """Look at the tensors that would move a zero, and run a file that is small enough in Transformers.

    Returns
    -------
    tuple
        The verdict, and what was done for it.
    """
    for tensor in file.tensors:
        if found := next((part for part in _SHIFTS if part in tensor.name), None):
            reason = f"{tensor.name} adds to a zero embedding or keeps a state ({found}); {ALTERNATIVE}"
            return Verdict(possible=False, reason=reason), "its tensors"
        if tensor.name.startswith("blk.") and tensor.name.endswith(".bias") and any(file.bytes_of(tensor)):
            reason = f"{tensor.name} is a bias, so a token with a zero embedding is no register; {ALTERNATIVE}"
            return Verdict(possible=False, reason=reason), "its tensors"
    window = file.value(f"{file.value('general.architecture')}.attention.sliding_window")
    verdict = Verdict(possible=True, window=window if isinstance(window, int) and window > 0 else None)
    if file.path.stat().st_size > RUN_BYTES:
        return verdict, "its tensors have no biases; the file is too large to be run"
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder, name = file.path.parent, file.path.name
    try:
        model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32).eval()
        tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)
        ids = tokenizer(rendered(file, file.value(TEMPLATE) or "{{ messages[0]['content'] }}"))["input_ids"]
    except FarSightError:
        raise
    except Exception as error:  # an architecture that Transformers does not read from GGUF, or no package gguf
        line = " ".join(str(error).split())[:160]
        return verdict, f"its tensors have no biases; Transformers cannot run the file ({line})"
    inputs = {"input_ids": torch.tensor([ids]), "attention_mask": torch.ones(1, len(ids), dtype=torch.long)}
    run = check_tokens(model, inputs, registers or 1)
    return run, "run in Transformers, keys and values are zero and a prompt's logits are FarSight's"
