"""Logits of every layer, recomputed from scratch in float64."""

from __future__ import annotations

import copy

import torch
from decoding import continued
from torch import Tensor
from transformers import PreTrainedModel


def layer_logits(
    model: PreTrainedModel, inputs: dict[str, Tensor], new: Tensor, *, final_norm: bool = True
) -> tuple[Tensor, list[Tensor]]:
    """The last row's logits and, for each hidden state before the last, what the head makes of it, in float64."""
    exact = copy.deepcopy(model).double()
    exact.set_attn_implementation("sdpa")
    norm = exact.get_decoder().norm
    with torch.no_grad():
        output = exact(**continued(inputs, new), use_cache=False, output_hidden_states=True)
        earlier = [states[0, -1] for states in output.hidden_states[:-1]]
        return output.logits[0, -1], [exact.lm_head(norm(state) if final_norm else state) for state in earlier]
