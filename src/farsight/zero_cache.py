"""Registers as zero keys and values in front of a cache: what tokens are, also for models with biases.

A token whose embedding is zero has zero keys and values only where nothing is added to them. Put into the cache by
hand they are zero in any model, so that ``n`` of them are registers of mass ``n`` for whoever runs their own loop.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache

from farsight.attention.cache import CACHE, given_cache
from farsight.attention.layers import locate
from farsight.errors import UnsupportedModelError
from farsight.register_tokens import sigma_of


def with_zero_cache(model: nn.Module, inputs: Mapping[str, Tensor], tokens: int) -> dict[str, Any]:
    """Give the inputs of ``generate`` or of a forward, behind so many zero keys and values.

    What the model says is what it says of ``inputs`` under ``FarSight(sigma=log(1 + 1/tokens), horizon="infinite")``.

    Parameters
    ----------
    model
        A decoder whose layers all keep keys and values.
    inputs
        ``input_ids`` ``(batch, length)`` and, where sequences are padded on the left, ``attention_mask``. No pictures.
    tokens
        Number of tokens in the cache.

    Returns
    -------
    dict
        ``input_ids`` with so many places in front that are in the cache already, ``attention_mask`` and the cache, by
        the name that this version of Transformers gives it. A forward takes them with ``input_ids[:, tokens:]``,
        ``generate`` as they are.

    Raises
    ------
    SettingError
        If ``tokens`` is no number of tokens.
    UnsupportedModelError
        If the model has an encoder, layers of another kind, or inputs that are no text.
    """
    sigma_of(tokens)
    locate(model)
    if others := sorted(set(inputs) - {"input_ids", "attention_mask"}):
        raise UnsupportedModelError(f"zero keys and values are for texts: leave out {', '.join(others)}")
    ids = inputs["input_ids"]
    mask = inputs.get("attention_mask", torch.ones_like(ids))
    with torch.no_grad():
        shapes = given_cache(model(input_ids=ids[:1, :1], use_cache=True))
    cache = DynamicCache(config=model.config)
    for index, layer in enumerate(shapes.layers):
        if not isinstance(keys := getattr(layer, "keys", None), Tensor):
            raise UnsupportedModelError(f"layer {index} of {type(model).__name__} keeps no keys and values")
        key, value = (one.new_zeros(len(ids), one.shape[1], tokens, one.shape[3]) for one in (keys, layer.values))
        cache.update(key, value, index)
    return {
        "input_ids": torch.nn.functional.pad(ids, (tokens, 0)),
        "attention_mask": torch.nn.functional.pad(mask, (tokens, 0), value=1),
        CACHE: cache,
    }
