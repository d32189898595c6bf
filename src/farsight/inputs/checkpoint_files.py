"""What lies in a checkpoint's folder, looked at before Transformers reads it: one line that names what is wrong.

Nothing here is believed: the files say which other files are read, and how much is built before a weight is. Every
shard is a ``*.safetensors`` inside the folder, and what ``config.json`` asks for is in proportion to the weights.
Links are followed, since the hub's cache is made of them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import transformers

from farsight.errors import InputError
from farsight.files import parse_json, read_json

REMEDY = "get the checkpoint again"

SETTINGS = (
    "config.json", "generation_config.json", "processor_config.json", "preprocessor_config.json",
    "video_preprocessor_config.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "chat_template.json", "adapter_config.json",
)  # fmt: skip
"""Files of which Transformers expects a JSON object each, where they are there."""

PICKLES = (".bin", ".pt", ".pth", ".ckpt")

MOST_HEADER = 100_000_000
"""Bytes of a shard's header, which is also the format's own limit."""
MOST_NUMBER = 2**31
"""Of a whole number in ``config.json``."""
LEAST_PARTS, MOST_LABELS, LEAST_WEIGHTS = 1_000, 100_000, 10_000_000
"""Layers, experts, stages that no weights need to bear out; labels; weights that may be missing in any case."""

_PARTS = re.compile(r"layer|depth|block|expert|stage|level|codebook")
_WHOLE = re.compile(r"[IU]\d+|BOOL")


def check_folder(folder: Path) -> None:
    """Say what a folder lacks, or has too much, before Transformers does in a page of text, in hours or not at all.

    Raises
    ------
    InputError
        If it is no folder of a checkpoint that can be loaded.
    """
    if not folder.exists():
        raise InputError(f"model folder '{folder}' was not found; check the path")
    if not folder.is_dir():
        raise InputError(f"'{folder}' is a file; pass the folder that holds the model's config.json and *.safetensors")
    if not (folder / "config.json").is_file():
        raise InputError(f"'{folder}' has no config.json; pass the folder of a Transformers checkpoint")
    config = check_settings(folder, str(folder))
    if not any(folder.glob("*.safetensors")):
        if any(file.suffix in PICKLES for file in folder.iterdir()):
            raise InputError(pickled(str(folder)))
        raise InputError(f"'{folder}' has no weights; it needs *.safetensors next to config.json")
    tensors = _tensors(folder)
    _check_numbers(folder / "config.json", config, max(LEAST_PARTS, len(tensors)))
    if not _is_quantised(config):
        for name, about in tensors.items():
            if name.endswith((".weight", ".bias")) and _WHOLE.fullmatch(str(about.get("dtype"))):
                raise InputError(f"'{folder}': the weights {name} are whole numbers ({about['dtype']}); {REMEDY}")


def check_settings(folder: Path, name: str) -> dict[str, Any]:
    """Read every file of settings in a folder, and the lists of shards; give ``config.json``.

    Raises
    ------
    InputError
        If one is no JSON object, if the model needs code of its own, or if a shard is not in the folder or pickled.
    """
    for file in map(folder.joinpath, SETTINGS):
        if file.exists() and not isinstance(read_json(file, REMEDY), dict):
            raise InputError(f"{file}: is no JSON object; {REMEDY}")
    for file in sorted(folder.glob("*.safetensors.index.json")):
        _check_index(file, folder, name)
    if (folder / "adapter_model.bin").exists() and not (folder / "adapter_model.safetensors").exists():
        raise InputError(pickled(f"{name}/adapter_model.bin"))
    file = folder / "config.json"
    config: dict[str, Any] = read_json(file, REMEDY)
    kind = config.get("model_type")
    if kind is None:
        raise InputError(f"'{file}' names no model_type; pass the folder of a Transformers checkpoint")
    if not isinstance(kind, str):
        raise InputError(f"{file}: model_type is {kind!r:.60}, which is no name; {REMEDY}")
    if "auto_map" in config and kind not in transformers.CONFIG_MAPPING:
        raise InputError(remote_code(name))
    return config


def most_weights(folder: Path) -> int:
    """How many weights a model of this folder can have: some may be missing or tied, and a quantised one takes a bit.

    What Transformers makes of ``config.json`` is compared with it before memory is taken, since a weight that has
    another shape, or is missing, is made anew.
    """
    if _is_quantised(read_json(folder / "config.json", REMEDY)):
        return 8 * sum(shard.stat().st_size for shard in folder.glob("*.safetensors"))
    shapes = [about.get("shape") for about in _tensors(folder).values()]
    return 3 * sum(math.prod(shape) for shape in shapes if isinstance(shape, list)) + LEAST_WEIGHTS


def remote_code(name: str) -> str:
    """Say why a checkpoint with code of its own is refused."""
    return (
        f"'{name}' needs code of its own to run, which farsight refuses; "
        "pass a checkpoint whose architecture is part of Transformers"
    )


def pickled(name: str) -> str:
    """Say why pickled weights are refused."""
    return (
        f"'{name}' has only pickled weights, which can run any code when they are read and are refused; "
        "convert them to safetensors"
    )


def _check_index(file: Path, folder: Path, name: str) -> None:
    """Every shard is a ``*.safetensors`` in this folder; where weights are still to be downloaded, by its name."""
    index = read_json(file, REMEDY)
    places = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(places, dict) or not isinstance(index.get("metadata", {}), dict):
        raise InputError(f"{file}: has no weight_map of tensors and their files; {REMEDY}")
    for tensor, shard in places.items():
        if not isinstance(shard, str) or not shard or "/" in shard or "\\" in shard or "\0" in shard:
            raise InputError(f"{file}: {tensor!r:.80} is in {shard!r:.80}, which is no file of this folder; {REMEDY}")
        if shard.endswith(PICKLES):
            raise InputError(f"{file}: names {shard!r:.80}; {pickled(name)}")
        if not shard.endswith(".safetensors"):
            raise InputError(f"{file}: names {shard!r:.80}, which is no *.safetensors; {REMEDY}")
        if name == str(folder) and not (folder / shard).is_file():
            raise InputError(f"{file}: names {shard!r:.80}, which is not there; {REMEDY}")


def _is_quantised(config: Mapping[str, Any]) -> bool:
    return any("quantization_config" in part for part in (config, *config.values()) if isinstance(part, Mapping))


def _tensors(folder: Path) -> dict[str, Mapping[str, Any]]:
    return {
        name: about for shard in sorted(folder.glob("*.safetensors")) for name, about in shard_header(shard).items()
    }


def shard_header(shard: Path) -> dict[str, Mapping[str, Any]]:
    """The tensors of a shard: type, shape and place of each, without the weights."""
    damaged = InputError(f"the weights of '{shard.parent}' are damaged ({shard.name}); {REMEDY}")
    if not shard.is_file() or (size := shard.stat().st_size) < 8:
        raise damaged
    with shard.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > min(MOST_HEADER, size - 8):
            raise damaged
        text = file.read(length)
    try:
        header = parse_json(text.decode(), shard, REMEDY)
    except (InputError, UnicodeDecodeError) as error:
        raise damaged from error
    if not isinstance(header, dict) or not all(isinstance(about, dict) for about in header.values()):
        raise damaged
    return {name: about for name, about in header.items() if name != "__metadata__"}


def _check_numbers(file: Path, config: Mapping[str, Any], parts: int) -> None:
    for name, number in _numbers(config):
        if abs(number) > MOST_NUMBER:
            raise InputError(f"{file}: {name} is {number:.3g}, which no model has; {REMEDY}")
        limit = MOST_LABELS if "label" in name else parts
        if ("label" in name or (_PARTS.search(name) and "size" not in name)) and number > limit:
            raise InputError(f"{file}: {name} is {number}, and the weights are of no more than {limit}; {REMEDY}")


def _numbers(value: Any, name: str = "") -> Iterator[tuple[str, int]]:
    """All whole numbers in settings, by the names under which they stand."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _numbers(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from _numbers(inner, name)
    elif isinstance(value, int) and not isinstance(value, bool):
        yield name, value
