"""A row of zeros in a safetensors file: a copy of it, written piece by piece."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from farsight.errors import InputError
from farsight.export.gguf_file import pieces
from farsight.inputs.checkpoint_files import shard_header

_EMBEDDINGS = (
    "embed_tokens.weight", "wte.weight", "word_embeddings.weight", "tok_embeddings.weight", "embed_in.weight",
    "shared.weight",
)  # fmt: skip
_HEADS = ("lm_head.weight", "embed_out.weight", "output_layer.weight")


@dataclass(frozen=True)
class Place:
    """Where a tensor of a checkpoint lies: file, name, shape."""

    shard: Path
    name: str
    shape: tuple[int, ...]


def find(folder: Path, rows: int) -> tuple[Place, list[Place]]:
    """Find the embedding of so many rows, and the output heads if the checkpoint has some.

    Raises
    ------
    InputError
        If there is none, or more than one.
    """
    places = [
        Place(shard, name, tuple(about["shape"]))
        for shard in sorted(folder.glob("*.safetensors"))
        for name, about in shard_header(shard).items()
        if len(about.get("shape", ())) == 2 and about["shape"][0] == rows
    ]
    found = [place for place in places if place.name.endswith(_EMBEDDINGS) and "vision" not in place.name]
    if len(found) != 1:
        names = ", ".join(place.name for place in found) or "none"
        raise InputError(
            f"'{folder}' has not one embedding of {rows} rows ({names}); export its GGUF, or another model"
        )
    return found[0], [place for place in places if place.name.endswith(_HEADS)]


def rewritten(shard: Path, rows: Mapping[str, int]) -> Iterator[bytes]:
    """Give the bytes of a shard in which these rows of these tensors are zeros; the next after the last is appended."""
    with shard.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        text = file.read(length)
        header: dict[str, Any] = json.loads(text)
        tensors = sorted((about["data_offsets"][0], name) for name, about in header.items() if name != "__metadata__")
        sizes = {name: row_bytes(header[name]) for name in rows}
        data, grown = 8 + length, 0
        new = json.loads(text)
        for _, name in tensors:
            start, end = header[name]["data_offsets"]
            more = sizes[name] if rows.get(name) == header[name]["shape"][0] else 0
            if more:
                new[name]["shape"][0] += 1
            new[name]["data_offsets"] = [start + grown, end + grown + more]
            grown += more
        if grown:
            text = json.dumps(new, separators=(",", ":"), ensure_ascii=False).encode()
            text += b" " * (-len(text) % 8)
        yield struct.pack("<Q", len(text)) + text
        for _, name in tensors:
            start, end = header[name]["data_offsets"]
            if name not in rows:
                yield from pieces(file, data + start, end - start)
                continue
            size, row = sizes[name], rows[name]
            yield from pieces(file, data + start, size * row)
            yield bytes(size)
            yield from pieces(file, data + start + size * (row + 1), max(0, end - start - size * (row + 1)))


def row_bytes(about: Mapping[str, Any]) -> int:
    """Bytes of a row of a tensor, from what the header says of it."""
    start, end = about["data_offsets"]
    return int(end - start) // int(about["shape"][0])
