"""The reference: attention written out, with its weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from farsight.attention.layer_call import Attended, LayerCall, repeat_heads


def eager_attention(call: LayerCall, edits: Sequence[Callable[[Tensor, LayerCall], Tensor]] = ()) -> Attended:
    """Attention with materialised scores; the only kernel that returns the attention weights.

    ``edits`` change the scores ``(batch, heads, queries, keys)`` in order, before the mask is added; with them the call
    may be that of any implementation.
    """
    query, key, value = call.states
    mask = call.additive_mask() if edits else call.mask
    scores = call.scores(query, key)
    if call.position_bias is not None:
        scores = scores + call.position_bias
    for edit in edits:
        scores = edit(scores, call)
    if mask is not None:
        scores = scores + mask[..., : key.shape[-2]]
    scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
    weights = torch.softmax(scores, dim=-1).to(query.dtype)
    output = weights @ repeat_heads(value, query.shape[1])
    return Attended(output=output, lse=torch.logsumexp(scores, dim=-1), weights=weights)
