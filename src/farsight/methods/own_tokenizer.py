"""The tokenizer in the folder that a model was loaded from, for methods whose settings are words."""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers import AutoTokenizer

from farsight.errors import SettingError


def own_tokenizer(model: nn.Module, name: str, otherwise: str) -> Any:
    """Read it; ``name`` is the method that needs it, ``otherwise`` what to do without.

    Raises
    ------
    SettingError
        If there is none.
    """
    folder = getattr(getattr(model, "config", None), "_name_or_path", "")
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise SettingError(f"{name} found no tokenizer in {folder!r}: {otherwise}") from error
