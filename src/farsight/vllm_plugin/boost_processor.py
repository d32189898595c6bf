"""The logits processor that vLLM runs for First Logit Boosting: one vector for each request.

vLLM hands over the batch's logits row by row, and says which request is in which row and what it has said so far. The
logits of a request that has said nothing are its first ones, unless its prompt is not read to its end: then vLLM throws
the row away and comes again, and the last ones that come count. A request that is taken out of the batch and comes back
(preemption) is not asked for its first token again, so its vector stays with its parameters, which live as long as it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from vllm import SamplingParams
from vllm.exceptions import VLLMValidationError
from vllm.v1.sample.logits_processor import BatchUpdate, LogitsProcessor
from vllm.v1.sample.logits_processor.builtin import process_dict_updates

from farsight.errors import UnsupportedModelError
from farsight.logit_rules import boosted

from .boost import NAME, Boost

_BEFORE = ("min_tokens", "logit_bias", "allowed_token_ids", "bad_words", "structured_outputs")
"""Parameters of a request with which vLLM changes logits before processors see them."""


@dataclass(kw_only=True, eq=False)
class _Answer:
    """What is known of the request in one row."""

    params: Any
    said: list[int]
    """Its tokens so far; vLLM adds to this list"""
    first: Tensor | None
    """``(vocabulary,)``, fp32"""
    kept: bool

    @classmethod
    def of(cls, params: Any, prompt: list[int] | None, said: list[int]) -> _Answer:
        first = (params.extra_args or {}).get(NAME) if said else None
        return cls(params=params, said=said, first=first, kept=bool(said))

    def keep(self) -> None:
        """Leave the first logits with the request, once its first token is said."""
        if self.said and not self.kept:
            self.params.extra_args = {**(self.params.extra_args or {}), NAME: self.first}
            self.kept = True


class FirstLogits(LogitsProcessor):
    """Adds to the logits of each request those of its first token; see `farsight.logit_rules.boosted`."""

    @classmethod
    def validate_params(cls, sampling_params: SamplingParams) -> None:
        """Refuse what would be in the first logits and is not the model's; vLLM answers with status 400."""
        if others := [name for name in _BEFORE if getattr(sampling_params, name, None)]:
            raise VLLMValidationError(f"flb adds the model's own first logits, which {others[0]} changes: leave it out")

    def __init__(self, vllm_config: Any, device: torch.device, is_pin_memory: bool) -> None:
        settings = Boost.read(vllm_config.additional_config)
        if settings is None:
            raise UnsupportedModelError(f"additional_config has no '{NAME}', whose settings this processor needs")
        self.settings, self.answers = settings, dict[int, _Answer]()
        self.first: Tensor | None = None

    def is_argmax_invariant(self) -> bool:
        """It changes greedy tokens."""
        return False

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        """Learn which request is in which row."""
        for answer in self.answers.values():
            answer.keep()
        if process_dict_updates(self.answers, batch_update, _Answer.of):
            self.first = None

    def apply(self, logits: Tensor) -> Tensor:
        """Boost the logits ``(requests, vocabulary)``."""
        answers = [self.answers[row] for row in range(len(logits))]
        for row, answer in enumerate(answers):
            if not answer.said:
                answer.first, self.first = logits[row].clone(), None
        if self.first is None or len(self.first) != len(answers):
            if lost := [row for row, answer in enumerate(answers) if answer.first is None]:
                raise UnsupportedModelError(
                    f"the first logits of the requests in rows {lost} are not known: flb in vLLM does not go on with "
                    "answers that were begun in another engine"
                )
            self.first = torch.stack([answer.first for answer in answers if answer.first is not None])
        steps = torch.tensor([[len(answer.said)] for answer in answers], device=logits.device)
        return boosted(logits, self.first, steps, self.settings.gamma, self.settings.rate, self.settings.beta)
