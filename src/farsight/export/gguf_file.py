"""A GGUF file (version 2 and 3, little-endian): read its header, and write it again with another one.

The tensors, gigabytes of them, are never looked at as a whole: they are copied in pieces to where the new header says
that they lie. The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from farsight.errors import InputError

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
_MOST = 2**26
"""Of keys, of tensors, of values in an array: more than any model has."""
_PIECE = 2**22

BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 10: (256, 84),
    11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292), 16: (256, 66), 17: (256, 74),
    18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82), 23: (256, 136), 29: (256, 56),
    30: (1, 2), 34: (256, 54), 35: (256, 66), 39: (32, 17),
}  # fmt: skip
"""Weights and bytes of a block of each type. In all of them a block of zero bytes is a block of zeros: its scale is."""


@dataclass(frozen=True)
class Entry:
    """Where a key's value lies: its type, and the first byte of the key, of the value and behind it."""

    kind: int
    start: int
    value: int
    end: int


@dataclass(frozen=True)
class TensorInfo:
    """A tensor: ``shape`` has the length of a row first; ``offset`` counts from where the tensors begin."""

    name: str
    shape: tuple[int, ...]
    kind: int
    offset: int
    length: int
    """Bytes up to the next tensor, padding among them"""

    @property
    def row_bytes(self) -> int:
        """Bytes of a row.

        Raises
        ------
        InputError
            If the type is unknown, or the tensor is not as long as its rows.
        """
        if self.kind not in BLOCKS:
            raise InputError(f"the tensor {self.name} has type {self.kind}, which is not known; quantise it otherwise")
        weights, size = BLOCKS[self.kind]
        count, rest = divmod(self.shape[0], weights)
        if rest or len(self.shape) != 2 or count * size * self.shape[1] > self.length:
            raise InputError(f"the tensor {self.name} does not have the length of its rows; get the file again")
        return count * size


@dataclass(frozen=True)
class GgufFile:
    """The header of a file: its values by key, in their order, and its tensors in the order of their bytes."""

    path: Path
    version: int
    entries: Mapping[str, Entry]
    tensors: tuple[TensorInfo, ...]
    data: int
    alignment: int

    @classmethod
    def read(cls, path: Path) -> GgufFile:
        """Read a header.

        Raises
        ------
        InputError
            If this is no GGUF file, or damaged.
        """
        try:
            with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _Reader(data).header(path)
        except (struct.error, IndexError, KeyError, OverflowError, RecursionError) as error:
            raise InputError(f"{path}: is damaged, or no GGUF file of version 2 or 3; get it again") from error
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: cannot be read ({error}); pass a GGUF file") from error

    def value(self, key: str) -> Any:
        """The value of a key, arrays as lists; None if it is not there."""
        if (entry := self.entries.get(key)) is None:
            return None
        with self.path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _Reader(data, entry.value).value(entry.kind)

    def tensor(self, name: str) -> TensorInfo | None:
        return next((tensor for tensor in self.tensors if tensor.name == name), None)

    def bytes_of(self, tensor: TensorInfo) -> bytes:
        """All bytes of a small tensor."""
        with self.path.open("rb") as file:
            file.seek(self.data + tensor.offset)
            return file.read(tensor.length)

    def rewritten(self, changes: Mapping[str, bytes], rows: Mapping[str, int]) -> Iterator[bytes]:
        """Give the bytes of this file with other values, and with a row of zeros in some of its tensors.

        Parameters
        ----------
        changes
            Keys and their type and value as `packed` gives them; new keys come last.
        rows
            Tensors and the row that is to be zeros: one that there is, or the next after the last, which is appended.
        """
        tensors = [
            replace(tensor, shape=(tensor.shape[0], tensor.shape[1] + 1))
            if rows.get(tensor.name) == tensor.shape[-1]
            else tensor
            for tensor in self.tensors
        ]
        lengths = [
            old.row_bytes * new.shape[1] if new is not old else old.length
            for new, old in zip(tensors, self.tensors, strict=True)
        ]
        header = self._header(changes, tensors, lengths)
        yield header
        yield bytes(-len(header) % self.alignment)
        with self.path.open("rb") as file:
            for new, old, length in zip(tensors, self.tensors, lengths, strict=True):
                yield from self._tensor(file, old, rows.get(new.name))
                yield bytes(-length % self.alignment)

    def _header(self, changes: Mapping[str, bytes], tensors: list[TensorInfo], lengths: list[int]) -> bytes:
        new = [key for key in changes if key not in self.entries]
        parts = [struct.pack("<4sIQQ", b"GGUF", self.version, len(tensors), len(self.entries) + len(new))]
        with self.path.open("rb") as file:
            for key, entry in self.entries.items():
                if key in changes:
                    parts += [_string(key), changes[key]]
                else:
                    file.seek(entry.start)
                    parts.append(file.read(entry.end - entry.start))
        parts += [part for key in new for part in (_string(key), changes[key])]
        offset = 0
        for tensor, length in zip(tensors, lengths, strict=True):
            shape = struct.pack(f"<I{len(tensor.shape)}Q", len(tensor.shape), *tensor.shape)
            parts += [_string(tensor.name), shape, struct.pack("<IQ", tensor.kind, offset)]
            offset += length + -length % self.alignment
        return b"".join(parts)

    def _tensor(self, file: Any, tensor: TensorInfo, row: int | None) -> Iterator[bytes]:
        start = self.data + tensor.offset
        if row is None:
            yield from pieces(file, start, tensor.length)
            return
        size, count = tensor.row_bytes, tensor.shape[1]
        yield from pieces(file, start, size * row)
        yield bytes(size)
        yield from pieces(file, start + size * (row + 1), max(0, count - row - 1) * size)
        if row < count:
            yield bytes(tensor.length - size * count)


def pieces(file: Any, start: int, length: int) -> Iterator[bytes]:
    """Give a part of a file, some megabytes at a time."""
    file.seek(start)
    while length > 0:
        piece: bytes = file.read(min(length, _PIECE))
        if not piece:
            raise InputError(f"{file.name}: ends too early; get it again")
        length -= len(piece)
        yield piece


def packed(kind: int, value: Any, of: int | None = None) -> bytes:
    """A type and a value as the format has them; of an array ``of`` is the type of its values."""
    return struct.pack("<I", kind) + _value(kind, value, of)


def _value(kind: int, value: Any, of: int | None = None) -> bytes:
    if kind == STRING:
        return _string(value)
    if kind == ARRAY:
        assert of is not None
        head = struct.pack("<IQ", of, len(value))
        if of == STRING:
            return head + b"".join(map(_string, value))
        return head + struct.pack(f"<{len(value)}{_SCALARS[of]}", *value)
    return struct.pack("<" + _SCALARS[kind], value)


def _string(text: str) -> bytes:
    data = text.encode("utf-8", "surrogateescape")
    return struct.pack("<Q", len(data)) + data


class _Reader:
    """Reads forward from a place; whatever lies outside of the file is damage."""

    def __init__(self, data: mmap.mmap, at: int = 0) -> None:
        self.data, self.at = data, at

    def header(self, path: Path) -> GgufFile:
        magic, version, count, keys = self.unpack("4sIQQ")
        if magic != b"GGUF" or version not in (2, 3) or max(count, keys) > _MOST:
            raise struct.error
        entries = {}
        for _ in range(keys):
            start = self.at
            key, kind = self.string(), self.unpack("I")[0]
            value = self.at
            self.skip(kind)
            entries[key] = Entry(kind, start, value, self.at)
        found = [self.tensor() for _ in range(count)]
        alignment = 32
        if (entry := entries.get("general.alignment")) is not None:
            alignment = int(_Reader(self.data, entry.value).value(entry.kind))
        if not 0 < alignment <= 2**16:
            raise struct.error
        data = self.at + -self.at % alignment
        found.sort(key=lambda tensor: tensor.offset)
        ends = [*(tensor.offset for tensor in found[1:]), len(self.data) - data]
        tensors = tuple(replace(one, length=end - one.offset) for one, end in zip(found, ends, strict=True))
        if any(tensor.length <= 0 for tensor in tensors):
            raise struct.error
        return GgufFile(path, version, entries, tensors, data, alignment)

    def tensor(self) -> TensorInfo:
        name, dimensions = self.string(), self.unpack("I")[0]
        if dimensions > 8:
            raise struct.error
        shape = self.unpack(f"{dimensions}Q")
        kind, offset = self.unpack("IQ")
        return TensorInfo(name, shape, kind, offset, 0)

    def unpack(self, form: str) -> tuple[Any, ...]:
        found = struct.unpack_from("<" + form, self.data, self.at)
        self.at += struct.calcsize("<" + form)
        return found

    def string(self) -> str:
        (length,) = self.unpack("Q")
        if self.at + length > len(self.data):
            raise struct.error
        self.at += length
        return self.data[self.at - length : self.at].decode("utf-8", "surrogateescape")

    def skip(self, kind: int) -> None:
        if kind == ARRAY:
            of, count = self.unpack("IQ")
            if count > _MOST:
                raise struct.error
            if of in _SCALARS:
                self.at += count * struct.calcsize(_SCALARS[of])
            else:
                for _ in range(count):
                    self.skip(of)
        elif kind == STRING:
            (length,) = self.unpack("Q")
            self.at += length
        else:
            self.at += struct.calcsize(_SCALARS[kind])
        if self.at > len(self.data):
            raise struct.error

    def value(self, kind: int) -> Any:
        if kind == STRING:
            return self.string()
        if kind == ARRAY:
            of, count = self.unpack("IQ")
            if of in _SCALARS:
                return list(self.unpack(f"{count}{_SCALARS[of]}"))
            return [self.value(of) for _ in range(count)]
        return self.unpack(_SCALARS[kind])[0]
