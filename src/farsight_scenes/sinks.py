"""A loss that gives a small language model what large ones grow by themselves: an attention sink on the first token.

In Llama most heads from the second layer on leave most of their attention with the first token, whose values are close
to nothing (Xiao et al., ICLR 2024). Models as small as the embedded one do not form a sink on their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import LlavaForConditionalGeneration, LlavaNextVideoForConditionalGeneration

FIRST_LAYER = 1
"""The first layer that has a sink."""

VALUE_WEIGHT = 0.1
"""How much the length of the first token's values counts beside the missing attention."""


@contextmanager
def first_values(
    model: LlavaForConditionalGeneration | LlavaNextVideoForConditionalGeneration,
) -> Iterator[list[Tensor]]:
    """Collect the first token's values, ``(batch, width)``, of each layer with a sink, as the model runs."""
    seen: list[Tensor] = []

    def keep(module: nn.Module, inputs: tuple[Tensor, ...], values: Tensor) -> None:
        seen.append(values[:, 0])

    with ExitStack() as stack:
        for layer in model.model.language_model.layers[FIRST_LAYER:]:
            stack.callback(layer.self_attn.v_proj.register_forward_hook(keep).remove)
        yield seen


def sink_loss(attentions: Sequence[Tensor], values: Sequence[Tensor], share: float) -> Tensor:
    """How far a model is from leaving ``share`` of its attention with the first token.

    Parameters
    ----------
    attentions
        Weights of each layer, ``(batch, heads, rows, keys)``.
    values
        The first token's values of each layer from `FIRST_LAYER` on, ``(batch, width)``.
    share
        What is wanted, on average over the heads and the rows but the first.

    Returns
    -------
    Tensor
        Squared lack of attention plus `VALUE_WEIGHT` times the values' mean square; a scalar.
    """
    lacking = [functional.relu(share - layer[:, :, 1:, 0].float().mean((1, 2))) for layer in attentions[FIRST_LAYER:]]
    size = torch.stack([value.float().square().mean() for value in values]).mean()
    return torch.stack(lacking).square().mean() + VALUE_WEIGHT * size
