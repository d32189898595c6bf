"""Low-rank adapters beside the matrices of a frozen model (Hu et al., ICLR 2022, arXiv:2106.09685)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

GAIN = 2.0
"""What an adapter's output is multiplied by, whatever its rank."""


class Adapted(nn.Module):
    """A frozen linear layer and its adapter, ``x -> W x + GAIN * B A x``; without effect until it is trained.

    Parameters
    ----------
    frozen
        ``W``, without bias, in any floating dtype; its output keeps that dtype.
    rank
        Rows of ``A`` and columns of ``B``, which are float32.
    """

    def __init__(self, frozen: nn.Linear, rank: int) -> None:
        super().__init__()
        self.frozen = frozen
        self.lora_a = nn.Parameter(torch.empty(rank, frozen.in_features).uniform_(-1, 1) * frozen.in_features**-0.5)
        self.lora_b = nn.Parameter(torch.zeros(frozen.out_features, rank))

    def forward(self, states: Tensor) -> Tensor:
        """Map ``(..., in_features)`` to ``(..., out_features)``."""
        low = functional.linear(states, self.lora_a.to(states.dtype))
        out: Tensor = self.frozen(states) + functional.linear(low, GAIN * self.lora_b.to(states.dtype))
        return out


def adapt(layers: nn.Module, rank: int) -> dict[str, nn.Parameter]:
    """Put an adapter beside every linear layer below ``layers``, which is frozen.

    Returns
    -------
    dict[str, nn.Parameter]
        The adapters' matrices, by name: ``0.self_attn.q_proj.lora_a``, ...
    """
    layers.requires_grad_(False)
    linear = [(name, module) for name, module in layers.named_modules() if isinstance(module, nn.Linear)]
    for name, module in linear:
        parent, _, child = name.rpartition(".")
        setattr(layers.get_submodule(parent), child, Adapted(module, rank))
    return {name: parameter for name, parameter in layers.named_parameters() if ".lora_" in name}


@torch.no_grad()
def add_adapters(layers: nn.Module, adapters: Mapping[str, Tensor]) -> None:
    """Add trained adapters to the matrices of a model that has none.

    Parameters
    ----------
    layers
        What `adapt` was given, or the same of another copy of the model.
    adapters
        What `adapt` returned, after training.
    """
    for name in sorted(name.removesuffix(".lora_a") for name in adapters if name.endswith(".lora_a")):
        added = GAIN * adapters[f"{name}.lora_b"].float() @ adapters[f"{name}.lora_a"].float()
        layers.get_submodule(name).get_parameter("weight").add_(added)
