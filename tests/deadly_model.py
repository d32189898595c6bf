"""A tiny LLaVA that kills its process when it sees a white picture, and other ways to load one that go wrong."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import torch

from farsight.inputs.checkpoints import LoadedModel, load

WHITE = 1.5
"""Normalised pictures with a higher mean are white."""


def load_deadly(folder: Path, kills: Path) -> LoadedModel:
    """Load a model; each kill is a line in a file."""
    loaded = load(folder, device="cpu")

    def look(patches: torch.nn.Module, args: tuple[torch.Tensor]) -> None:
        if (args[0].flatten(1).mean(1) > WHITE).any():
            with kills.open("a") as file:
                file.write(f"{len(args[0])}\n")
            os.kill(os.getpid(), signal.SIGKILL)

    next(one for one in loaded.model.modules() if isinstance(one, torch.nn.Conv2d)).register_forward_pre_hook(look)
    return loaded


def never_loaded() -> LoadedModel:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def load_elsewhere(folder: Path) -> LoadedModel:
    """Load a model in a process that does not see what the driver sees in its folder."""
    os.chdir("/")
    return load(folder, device="cpu")
