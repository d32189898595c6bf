"""Generate with a method, then say the same tokens again while a collector watches.

What a token attends to depends on the tokens before it, not on how they were chosen. So a search or a contrast of
logits is run once for its tokens, and these are then forced on the model with the parts of the method that change
attention.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList, StoppingCriteria, StoppingCriteriaList

from farsight.attention.layers import locate
from farsight.diagnose.collector import Collected, Collector
from farsight.diagnose.layout import Layout
from farsight.inputs.checkpoints import LoadedModel
from farsight.method import Composed, Method, Plain, parts

GREEDY: dict[str, Any] = {"do_sample": False, "num_beams": 1, "temperature": None, "top_p": None, "top_k": None}


def generated(loaded: LoadedModel, layout: Layout, method: Method, max_new_tokens: int) -> list[int]:
    """Tokens that a method generates, the end of text included if it comes."""
    model: Any = loaded.model
    with method(loaded.model):
        output: Tensor = model.generate(**layout.inputs, max_new_tokens=max_new_tokens, **GREEDY)
    tokens: list[int] = output[0, layout.prompt_slots :].tolist()
    return tokens


def replayed(
    loaded: LoadedModel, layout: Layout, method: Method, tokens: Sequence[int], max_new_tokens: int
) -> Collected:
    """What every row attends to while ``tokens`` are generated under the attention of ``method``.

    ``max_new_tokens`` is that of the call in which they were generated: horizons are measured from it.
    """
    model: Any = loaded.model
    collector = Collector(locate(loaded.model), layout, len(tokens))
    forced = _Forced(tokens, layout.prompt_slots)
    with attention_part(method)(loaded.model), collector.watching():
        model.generate(
            **layout.inputs,
            max_new_tokens=max(max_new_tokens, len(tokens)),
            logits_processor=LogitsProcessorList([forced]),
            stopping_criteria=StoppingCriteriaList([_AfterTokens(layout.prompt_slots + len(tokens))]),
            **GREEDY,
        )
    return collector.finished()


def attention_part(method: Method) -> Method:
    """The parts of a method that change what is attended to."""
    kept = [part for part in parts(method) if any(change in part.changes for change in ("scores", "gate", "states"))]
    if not kept:
        return Plain()
    return kept[0] if len(kept) == 1 else Composed(methods=tuple(kept))


class _Forced(LogitsProcessor):
    """Leaves one token to choose."""

    def __init__(self, tokens: Sequence[int], prompt_slots: int) -> None:
        self.tokens, self.prompt_slots = tokens, prompt_slots

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        token = self.tokens[input_ids.shape[1] - self.prompt_slots]
        return torch.full_like(scores, -torch.inf).index_fill_(1, torch.tensor([token], device=scores.device), 0.0)


class _AfterTokens(StoppingCriteria):
    def __init__(self, slots: int) -> None:
        self.slots = slots

    def __call__(self, input_ids: Tensor, scores: Tensor, **kwargs: Any) -> Tensor:
        done = input_ids.shape[1] >= self.slots
        return torch.full((len(input_ids),), done, dtype=torch.bool, device=input_ids.device)
