"""FarSight as it is defined: registers materialised in an n x n matrix, softmax over all, registers erased.

An independent reference in float64, without a cache: one whole forward for every token. It shares no code with the
package.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel


@dataclass
class Definition:
    """``registers(i, j, head)`` is the score of the register of row ``i`` in slot ``j`` (tensors), -inf for none."""

    length: int
    registers: Callable[[Tensor, Tensor, Tensor], Tensor]
    score_scale: float = 1.0
    layers: tuple[int, ...] | None = None
    absorbed: list[Tensor] = field(default_factory=list)


_now: list[Definition] = []


def defined_attention(
    definition: Definition,
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor,
    scaling: float | None = None,
    softcap: float | None = None,
    position_bias: Tensor | None = None,
    s_aux: Tensor | None = None,
    sinks: Tensor | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """One layer's attention, ``(batch, queries, heads, head_dim)``, float64; sinks are one more column of scores."""
    groups = query.shape[1] // key.shape[1]
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    query, key, value = query.double(), key.double(), value.double()
    key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    scores = torch.einsum("bhid,bhjd->bhij", query, key) * scaling
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    if position_bias is not None:
        scores = scores + position_bias
    keys = scores.shape[-1]
    slots = max(definition.length, keys)
    allowed = torch.zeros(*scores.shape[:3], slots, dtype=torch.bool)
    allowed[..., :keys] = attention_mask == 0
    rows, columns = torch.arange(scores.shape[2])[:, None], torch.arange(slots)[None]
    heads = torch.arange(scores.shape[1])[:, None, None]
    w = torch.full((*scores.shape[:3], slots), -torch.inf, dtype=torch.float64)
    w[..., :keys] = scores * definition.score_scale
    if definition.layers is None or module.layer_idx in definition.layers:
        future = (columns > rows) & (columns < definition.length)
        register = torch.where(future, definition.registers(rows, columns, heads), -torch.inf)
    else:
        register = torch.full((1,), -torch.inf, dtype=torch.float64)
    w = torch.where(allowed, w, register)
    if s_aux is not None:
        sinks = s_aux.reshape(1, -1, 1, 1)
    if sinks is not None:
        w = torch.cat((w, sinks.double().expand(*w.shape[:3], 1)), dim=-1)
    all_weights = torch.softmax(w, dim=-1).nan_to_num(0.0)
    weights = all_weights[..., :slots] * allowed
    definition.absorbed.append((all_weights[..., :slots] * ~allowed).sum(-1))
    return (weights[..., :keys] @ value).transpose(1, 2).contiguous(), None


def _attention(module: Any, *states: Tensor, **options: Any) -> tuple[Tensor, None]:
    return defined_attention(_now[-1], module, *states, **options)


@contextmanager
def defined(model: PreTrainedModel, definition: Definition) -> Iterator[None]:
    AttentionInterface.register("definition", _attention)
    AttentionMaskInterface.register("definition", AttentionMaskInterface()["eager"])
    config = model.config.get_text_config(decoder=True)
    before, config._attn_implementation_internal = config._attn_implementation, "definition"
    _now.append(definition)
    try:
        yield
    finally:
        _now.pop()
        config._attn_implementation_internal = before


def linear(sigma: float) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Equation 1-3: the register in slot ``j`` of row ``i`` scores ``-(j - i) * sigma``."""
    return lambda i, j, head: -(j - i).double() * sigma + 0 * head


def logits_by_definition(
    model: PreTrainedModel,
    inputs: dict[str, Tensor],
    generated: Tensor,
    lengths: list[int] | int,
    first: int = 0,
    **kwargs: Any,
) -> Tensor:
    """Logits from which each token of ``generated`` ``(1, new)`` was picked, ``(new, vocabulary)``, float64.

    The first ``first`` steps are left out. ``lengths`` is the horizon ``n``, one for all steps or one per step.
    """
    reference = copy.deepcopy(model).double()
    reference.set_attn_implementation("eager")
    inputs = {k: v.double() if v.is_floating_point() else v for k, v in inputs.items()}
    rows = []
    for step in range(first, generated.shape[1]):
        new = generated[:, :step]
        now = {**inputs, "input_ids": torch.cat((inputs["input_ids"], new), 1)}
        for name, fill in (("attention_mask", 1), ("token_type_ids", 0), ("mm_token_type_ids", 0)):
            if name in inputs:
                now[name] = torch.cat((inputs[name], torch.full_like(new, fill)), 1)
        length = lengths if isinstance(lengths, int) else lengths[step]
        with torch.no_grad(), defined(reference, Definition(length=length, **kwargs)):
            rows.append(reference(**now, use_cache=False).logits[0, -1])
    return torch.stack(rows)
