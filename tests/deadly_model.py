"""A tiny LLaVA that kills its process when it sees a white picture, and one that kills it while it is loaded."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import torch

from farsight.checkpoints import LoadedModel, load

WHITE = 1.5
"""Normalised pictures with a higher mean are white."""


def load_deadly(folder: Path, kills: Path) -> LoadedModel:
    """Load a model; each kill is a line in a file."""
    loaded = load(folder, device="cpu")

    def look(module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        pixels = kwargs.get("pixel_values")
        if pixels is not None and (pixels.flatten(1).mean(1) > WHITE).any():
            with kills.open("a") as file:
                file.write(f"{len(pixels)}\n")
            os.kill(os.getpid(), signal.SIGKILL)

    loaded.model.register_forward_pre_hook(look, with_kwargs=True)
    return loaded


def never_loaded() -> LoadedModel:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError
