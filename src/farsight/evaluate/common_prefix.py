"""Prompts that begin alike: their common beginning is read once.

This is exact where a method leaves the rows of a prompt as they are: their keys and values are those of plain decoding,
whatever follows them.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from farsight.attention.cache import CACHE
from farsight.method import Method, parts

LEAST = 32
"""Tokens that are worth it."""


def leaves_prompts(method: Method) -> bool:
    """Whether all rows of a prompt but the last are those of plain decoding, and nothing is searched."""
    return all(
        part.changed == ("nothing",) or (part.changed == ("gate",) and getattr(part, "rows", "all") == "generated")
        for part in parts(method)
    )


def read_prefix(model: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """Read what all prompts of a batch begin with into a cache; padding moves behind it.

    Parameters
    ----------
    model
        The model, with no method on it.
    inputs
        ``input_ids`` and ``attention_mask``, ``(batch, slots)``, padded on the left.

    Returns
    -------
    Inputs of ``generate`` that mean the same, with that cache; unchanged if less than `LEAST` tokens are common, or if
    a layer keeps anything else than all keys and values.
    """
    ids, mask = inputs["input_ids"].clone(), inputs["attention_mask"].clone()
    rows = [row[real.bool()] for row, real in zip(ids, mask, strict=True)]
    shortest = min(map(len, rows))
    same = torch.stack([row[:shortest] for row in rows]).eq(rows[0][:shortest]).all(0)
    common = min(int(same.long().cumprod(0).sum()), shortest - 1)
    cache = DynamicCache(config=model.config)
    if common < LEAST or any(type(layer) is not DynamicLayer for layer in cache.layers):
        return inputs
    model(input_ids=rows[0][None, :common], use_cache=True, logits_to_keep=1, **{CACHE: cache})
    cache.batch_repeat_interleave(len(rows))
    for number, row in enumerate(rows):
        padding = ids.shape[1] - len(row)
        ids[number] = torch.cat([row[:common], ids[number, :padding], row[common:]])
        mask[number, :common], mask[number, common : common + padding] = 1, 0
    return {**inputs, "input_ids": ids, "attention_mask": mask, CACHE: cache}
