"""FarSight as it is defined, in any architecture: registers materialised in the layers whose own mask is causal.

One whole forward without a cache over the prompt and all that was generated, attention in float64. It shares no code
with the package: which layers get registers is read off the masks that the model makes, not off the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from definition import Definition, defined_attention, linear
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

SIGMA = 0.3
LINEAR = linear(SIGMA)
_now: list[tuple[Definition, dict[str, float]]] = []


def logits_of_definition(
    model: PreTrainedModel,
    inputs: dict[str, Tensor],
    new: Tensor,
    length: int,
    registers: Callable[[Tensor, Tensor, Tensor], Tensor] = LINEAR,
) -> tuple[Tensor, dict[str, float]]:
    """Logits from which each token of ``new`` ``(batch, new)`` was picked, and the most that each layer absorbed.

    ``length`` is the horizon in slots, padding included; 0 for the plain model. ``registers`` gives their scores.
    """
    absorbed: dict[str, float] = {}
    definition = Definition(length=length, registers=registers)
    longer = continued(inputs, new[:, :-1])
    with torch.no_grad(), _in_every_decoder_layer(model, definition, absorbed):
        found = model(**longer, use_cache=False).logits
    return found[:, -new.shape[1] :].double(), absorbed


def continued(inputs: dict[str, Tensor], new: Tensor) -> dict[str, Tensor]:
    """The inputs of one forward over a prompt and the tokens behind it: what has a column per token gets more."""
    decoder = "decoder_" if "decoder_input_ids" in inputs else ""
    prompt, more = inputs[f"{decoder}input_ids"].shape[1], new.shape[1]
    longer = dict(inputs)
    for name, value in inputs.items():
        if not name.startswith(decoder):
            continue
        if name == f"{decoder}input_ids":
            longer[name] = torch.cat((value, new), dim=1)
        elif value.dim() >= 2 and value.shape[1] == prompt and not name.startswith(("pixel", "qformer")):
            repeated = value[:, -1:].expand(-1, more, *value.shape[2:])
            if name == "position_ids":
                repeated = repeated + 1 + torch.arange(more)
            if "type" in name:  # of a model whose prompt has type 0 throughout, what follows has type 1
                repeated = torch.zeros_like(repeated) if bool(value.any()) else torch.ones_like(repeated)
            longer[name] = torch.cat((value, repeated), dim=1)
    return longer


@contextmanager
def _in_every_decoder_layer(
    model: PreTrainedModel, definition: Definition, absorbed: dict[str, float]
) -> Iterator[None]:
    """Decoders run their eager attention, which is the definition in this block.

    The name stays "eager": some models build a part of their masks only for names that they know.
    """
    configs = {id(config): config for config in _decoder_configs(model)}
    before = [(config, config._attn_implementation) for config in configs.values()]
    for name, module in model.named_modules():
        vars(module)["coverage_name"] = name
    _now.append((definition, absorbed))
    ALL_ATTENTION_FUNCTIONS["eager"] = _attention
    try:
        for config, _ in before:
            config._attn_implementation_internal = "eager"
        yield
    finally:
        for config, implementation in before:
            config._attn_implementation_internal = implementation
        del ALL_ATTENTION_FUNCTIONS["eager"]
        _now.pop()
        for module in model.modules():
            del vars(module)["coverage_name"]


def _decoder_configs(model: PreTrainedModel) -> Iterator[Any]:
    """Configs of everything that is given a place among layers of text, and of what makes their masks."""
    for name, module in model.named_modules():
        if "vision" in name or "visual" in name or "encoder" in name:
            continue
        if isinstance(getattr(module, "layer_idx", None), int) and hasattr(module, "config"):
            yield module.config
    text = model.config.get_text_config(decoder=True)
    yield text


def _attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **kwargs: Any
) -> tuple[Tensor, None]:
    definition, absorbed = _now[-1]
    allowed, bias = _parts(attention_mask, query, key)
    here = definition if _is_causal(allowed) else Definition(length=0, registers=linear(1.0))
    if bias is not None:
        kwargs["position_bias"] = bias + kwargs.get("position_bias", 0.0)
    zero_where_allowed = torch.where(allowed, 0.0, -torch.inf)
    output, _ = defined_attention(here, module, query, key, value, zero_where_allowed, **kwargs)
    if here is definition:
        taken = torch.where(allowed.any(-1), here.absorbed[-1], 0.0)
        absorbed[vars(module)["coverage_name"]] = float(taken.detach().max())
    return output.to(query.dtype), None


def _parts(mask: Tensor | None, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor | None]:
    """Which keys a row may read, and what is added to their scores, if anything."""
    if mask is None:
        return torch.ones(1, 1, query.shape[2], key.shape[2], dtype=torch.bool), None
    if mask.dtype == torch.bool:
        return mask, None
    allowed = mask > torch.finfo(mask.dtype).min / 2
    bias = torch.where(allowed, mask, 0.0)
    return allowed, bias if bool(bias.any()) else None


def _is_causal(allowed: Tensor) -> bool:
    """Rows and keys are the same tokens, and the last one is the future of the one before."""
    return allowed.shape[2] == allowed.shape[3] and not bool(allowed[..., -2, -1].any())
