"""GGUF files, read by our reader and by the package gguf."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest
import tiny_gguf
from gguf import GGMLQuantizationType as Kind

from farsight.errors import InputError, UnsupportedModelError
from farsight.export.gguf import choose_token
from farsight.export.gguf_file import BLOCKS, STRING, UINT32, GgufFile, packed

WRITTEN = (Kind.F32, Kind.F16, Kind.BF16, Kind.Q4_0, Kind.Q4_1, Kind.Q5_0, Kind.Q5_1, Kind.Q8_0)
"""What the package can quantise; it can read more."""


@pytest.mark.parametrize("kind", sorted(BLOCKS))
def test_zero_bytes_are_zeros_in_every_type(kind: int) -> None:
    weights, size = BLOCKS[kind]
    assert gguf.GGML_QUANT_SIZES[Kind(kind)] == (weights, size)
    try:
        found = gguf.quants.dequantize(np.zeros((2, 2 * size), np.uint8), Kind(kind))
    except NotImplementedError:  # Q8_K is for sums in between and is in no file
        assert Kind(kind) == Kind.Q8_K
        return
    assert found.shape == (2, 2 * weights)
    assert not found.any()


def tensors(path: Path) -> dict[str, np.ndarray]:
    return {
        tensor.name: gguf.quants.dequantize(tensor.data, tensor.tensor_type) for tensor in gguf.GGUFReader(path).tensors
    }


@pytest.mark.parametrize("kind", WRITTEN, ids=lambda kind: kind.name)
@pytest.mark.parametrize("appended", [False, True])
def test_one_row_is_zeros_and_everything_else_is_as_it_was(tmp_path: Path, kind: Kind, appended: bool) -> None:
    source = tiny_gguf.save(tmp_path / "model.gguf", kind, tied=False)
    file = GgufFile.read(source)
    row = len(tiny_gguf.WORDS) if appended else 7
    longer = packed(STRING, "x" * 1001)
    target = tmp_path / "made.gguf"
    with target.open("wb") as out:
        changes = {"tokenizer.chat_template": longer, "new": longer}
        out.writelines(file.rewritten(changes, {"token_embd.weight": row}))
    before, after = tensors(source), tensors(target)
    assert list(before) == list(after)
    for name, values in before.items():
        if name == "token_embd.weight":
            expected = np.concatenate((values, np.zeros_like(values[:1]))) if appended else values.copy()
            expected[row] = 0
            assert values[7].any()
            assert np.array_equal(after[name], expected)
        else:
            assert np.array_equal(after[name], values)
    old, new = (gguf.GGUFReader(path).fields for path in (source, target))
    for key, field in old.items():
        if not key.startswith("GGUF.") and key != "tokenizer.chat_template":
            assert new[key].contents() == field.contents()
    assert new["tokenizer.chat_template"].contents() == new["new"].contents() == "x" * 1001


def test_nothing_to_change_is_the_same_file(tmp_path: Path) -> None:
    source = tiny_gguf.save(tmp_path / "model.gguf", Kind.Q4_0)
    assert b"".join(GgufFile.read(source).rewritten({}, {})) == source.read_bytes()


@pytest.mark.parametrize("length", [0, 3, 20, 200, 3000])
def test_half_a_file_is_refused_in_one_line(tmp_path: Path, length: int) -> None:
    whole = tiny_gguf.save(tmp_path / "model.gguf").read_bytes()
    part = tmp_path / "part.gguf"
    part.write_bytes(whole[:length])
    with pytest.raises(InputError, match=r"part\.gguf: (is damaged|cannot be read)"):
        GgufFile.read(part)


@pytest.mark.parametrize("at", [4, 8, 16, 24, 52])
def test_a_damaged_number_is_refused_in_one_line(tmp_path: Path, at: int) -> None:
    whole = bytearray(tiny_gguf.save(tmp_path / "model.gguf").read_bytes())
    whole[at : at + 4] = b"\xff\xff\xff\xff"
    (tmp_path / "part.gguf").write_bytes(whole)
    with pytest.raises(InputError, match=r"part\.gguf: is damaged"):
        GgufFile.read(tmp_path / "part.gguf")


def test_a_part_of_a_model_is_refused_with_the_way_to_put_it_together(tmp_path: Path) -> None:
    source, part = tiny_gguf.save(tmp_path / "model.gguf"), tmp_path / "part.gguf"
    with part.open("wb") as out:
        out.writelines(GgufFile.read(source).rewritten({"split.count": packed(UINT32, 3)}, {}))
    with pytest.raises(UnsupportedModelError, match="one of 3 parts of a model; make one file of them"):
        choose_token(GgufFile.read(part), None)
