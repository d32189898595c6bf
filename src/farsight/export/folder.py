"""Export a folder of safetensors: weights that do not change are linked, and what was written is loaded and run."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from farsight.errors import InputError, UnsupportedModelError
from farsight.export import shards, tokenizer_files
from farsight.export.check import Verdict, check_tokens
from farsight.export.shards import Place
from farsight.export.template import TALK, VARIABLE, with_registers
from farsight.export.tokens import choose
from farsight.files import read_json, write
from farsight.inputs import chat_templates
from farsight.inputs.checkpoint_files import shard_header
from farsight.inputs.checkpoints import LoadedModel, load_mapped

RUN_BYTES = 2**30
"""Of weights that also read a prompt, in float32; of more only keys and values are looked at."""
_ELSEWHERE = (".bin", ".pt", ".pth", ".ckpt", ".gguf", ".onnx", ".h5", ".msgpack", ".safetensors.index.json")


Watched = Callable[[Iterator[bytes], int], Iterator[bytes]]


class FolderExport:
    """One checkpoint, looked at; its token chosen.

    Raises
    ------
    InputError, SettingError, UnsupportedModelError
        If the checkpoint cannot be read, the token not be had, or registers not be tokens of this model.
    """

    def __init__(self, source: Path, name: str, wanted: str | None) -> None:
        self.source, self.loaded = source, load_mapped(source, name)
        model: Any = self.loaded.model
        if getattr(model.config, "quantization_config", None) is not None:
            raise InputError(f"'{name}' is quantised; export the original, and quantise what comes out")
        if not (first := check_tokens(model)).possible:
            raise UnsupportedModelError(f"'{name}': {first.reason}")
        self.rows = int(model.get_input_embeddings().weight.shape[0])
        tokenizer = self.loaded.tokenizer
        self.words = tokenizer_files.read(source)
        special = {one["content"] for one in self.words["added_tokens"]}
        template = str(getattr(self.loaded.processor, "chat_template", None) or "")
        numbers = {getattr(tokenizer, f"{each}_token_id", None) for each in ("bos", "eos", "pad", "unk")}
        used = {word for word, number in tokenizer.get_vocab().items() if number in numbers}
        used |= {word for word in special if word in template or getattr(tokenizer, "image_token", None) == word}
        self.token = choose(tokenizer.get_vocab(), special, self.rows, wanted, used)
        self.embedding, self.heads = shards.find(source, self.rows)

    def write(self, folder: Path, registers: int, watched: Watched) -> int:
        """Write everything but what is said about it; give the number of files that were linked or copied."""
        texts = self._texts(registers)
        rows: dict[Path, dict[str, int]] = {}
        grows = self.token.how == "appended"
        for place in [self.embedding, *(self.heads if grows else [])]:
            rows.setdefault(place.shard, {})[place.name] = self.token.number
        for shard, which in rows.items():
            write(folder / shard.name, watched(shards.rewritten(shard, which), shard.stat().st_size))
        for name, text in texts.items():
            (folder / name).parent.mkdir(exist_ok=True)
            write(folder / name, [text])
        there = {shard.name for shard in rows} | set(texts) | {"README.md", "farsight.json"}
        others = [file for file in sorted(self.source.iterdir()) if file.is_file() and file.name not in there]
        others = [file for file in others if not file.name.startswith(".") and not file.name.endswith(_ELSEWHERE)]
        for file in others:
            link(file, folder / file.name)
        return len(others)

    def _texts(self, registers: int) -> dict[str, str]:
        tokenizer = self.loaded.tokenizer
        added = self._added_begin()
        begin = tokenizer.bos_token if tokenizer("x")["input_ids"][:1] == [tokenizer.bos_token_id] else None
        texts = tokenizer_files.templates(
            self.source, lambda text: with_registers(text, self.token.text, registers, added)
        )
        texts[tokenizer_files.TOKENIZER] = tokenizer_files.dumped(
            tokenizer_files.with_token(self.words, self.token, begin)
        )
        settings_file = tokenizer_files.SETTINGS
        if (self.source / settings_file).is_file():
            settings = json.loads(texts.get(settings_file, "null")) or read_json(self.source / settings_file)
            known = settings.get("added_tokens_decoder")
            if isinstance(known, dict):
                entry = {"content": self.token.text, "special": True, "normalized": False}
                entry |= {"lstrip": False, "rstrip": False, "single_word": False}
                settings["added_tokens_decoder"] = {**known, str(self.token.number): entry}
            texts[settings_file] = tokenizer_files.dumped({**settings, "add_bos_token": False})
        file = self.source / "generation_config.json"
        generation = read_json(file) if file.is_file() else {}
        suppressed = sorted({*(generation.get("suppress_tokens") or ()), self.token.number})
        texts[file.name] = tokenizer_files.dumped({**generation, "suppress_tokens": suppressed})
        if self.token.how == "appended":
            texts["config.json"] = tokenizer_files.dumped(_grown(read_json(self.source / "config.json"), self.rows))
        index = self.source / "model.safetensors.index.json"
        if index.is_file():
            texts[index.name] = tokenizer_files.dumped(self._index(read_json(index)))
        return texts

    def _added_begin(self) -> str | None:
        """The token that a processor puts in front of what the template writes, which is to stand behind registers."""
        processor, tokenizer = self.loaded.processor, self.loaded.tokenizer
        if processor is tokenizer or not chat_templates.has_template(processor):
            return None
        adds = tokenizer("x")["input_ids"][:1] == [tokenizer.bos_token_id]
        begins = chat_templates.written(processor, [talk_for(self.loaded)])[0].startswith(tokenizer.bos_token or "\0")
        return str(tokenizer.bos_token) if adds and not begins else None

    def _index(self, index: dict[str, Any]) -> dict[str, Any]:
        if self.token.how != "appended":
            return index
        more = sum(_row_size(place) for place in [self.embedding, *self.heads])
        about = index.get("metadata", {})
        return {**index, "metadata": {**about, "total_size": about.get("total_size", 0) + more}}

    def check(self, folder: Path, registers: int) -> tuple[Verdict, str]:
        """Load what was written and run it: the row, the template, keys and values, and a prompt where it fits.

        Raises
        ------
        UnsupportedModelError
            If it is not what it is to be; the message says what is not.
        """
        made = load_mapped(folder, str(folder))
        model: Any = made.model
        if bool(model.get_input_embeddings().weight[self.token.number].any()):
            raise UnsupportedModelError(f"{self.embedding.name} is not the embedding that this model reads")
        ids = self._check_template(made, registers)
        size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
        if size > RUN_BYTES:
            verdict = check_tokens(model)
            how = "run on zero embeddings, keys and values are zero in all layers; too large to read a prompt here"
        else:
            inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
            verdict = check_tokens(model.float(), inputs, registers or 1)
            how = "run, keys and values are zero in all layers and a prompt's logits are FarSight's"
        if not verdict.possible:
            raise UnsupportedModelError(f"'{self.loaded.name}': {verdict.reason}")
        return verdict, how

    def _check_template(self, made: LoadedModel, registers: int) -> torch.Tensor:
        """See that the template and the tokenizer make registers and then what the original makes; give the latter."""
        tokenizer, number = made.tokenizer, self.token.number
        if not chat_templates.has_template(made.processor):
            ids = tokenizer(TALK[0]["content"])["input_ids"]
            if tokenizer(self.token.text)["input_ids"] != [number]:
                raise UnsupportedModelError(f"the tokenizer does not read {self.token.text} as token {number}")
            return torch.tensor([ids])
        talk = talk_for(made)
        expected = self.loaded.tokenizer(
            (self._added_begin() or "") + chat_templates.written(self.loaded.processor, [talk])[0],
            add_special_tokens=False,
        )["input_ids"]
        for variables, count in (({VARIABLE: 0}, 0), ({VARIABLE: 3}, 3), ({}, registers)):
            text = chat_templates.written(made.processor, [talk], **variables)[0]
            if tokenizer(text)["input_ids"] != [number] * count + expected:
                raise UnsupportedModelError(
                    f"the chat template does not put {count} of {self.token.text} in front of what it wrote before"
                )
        return torch.tensor([expected])


def talk_for(loaded: LoadedModel) -> list[dict[str, Any]]:
    """A question in the form that the template of this model takes."""
    parts = [{"role": "user", "content": [{"type": "text", "text": TALK[0]["content"]}]}]
    try:
        chat_templates.written(loaded.processor, [TALK])
    except chat_templates.TemplateError:
        return parts
    return TALK


def link(source: Path, target: Path) -> None:
    """Give weights a second name where that can be, and copy what people edit: that would change the original."""
    real = source.resolve()
    if target.suffix == ".safetensors":
        with suppress(OSError):
            os.link(real, target)
            return
    shutil.copyfile(real, target)


def _grown(config: dict[str, Any], rows: int) -> dict[str, Any]:
    """A ``config.json`` for one more token."""
    for part in ("text_config", "llm_config", "language_config"):
        if isinstance(inner := config.get(part), Mapping):
            config = {**config, part: {**inner, "vocab_size": rows + 1}}
            break
    else:
        config = {**config, "vocab_size": rows + 1}
    return {**config, "vocab_size": rows + 1} if config.get("vocab_size") == rows else config


def _row_size(place: Place) -> int:
    return shards.row_bytes(shard_header(place.shard)[place.name])
