"""The same model in another quantisation, made with the package gguf."""

from __future__ import annotations

from pathlib import Path

import gguf
from gguf import GGMLQuantizationType as Kind
from gguf import GGUFValueType


def requantised(source: Path, target: Path, kind: Kind) -> Path:
    """Write every matrix of a GGUF file in another type; its vectors stay as they are."""
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(target, reader.fields["general.architecture"].contents())
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name == "general.architecture":
            continue
        of = field.types[1] if field.types[0] == GGUFValueType.ARRAY else None
        writer.add_key_value(name, field.contents(), field.types[0], sub_type=of)
    for tensor in reader.tensors:
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        chosen = kind if values.ndim > 1 else Kind.F32
        writer.add_tensor(tensor.name, gguf.quants.quantize(values, chosen), raw_dtype=chosen)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target
