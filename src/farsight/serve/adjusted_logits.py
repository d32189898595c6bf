"""``logit_bias``, ``frequency_penalty`` and ``presence_penalty``, as the API defines them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from transformers import LogitsProcessor


class AdjustedLogits(LogitsProcessor):
    """Change the logit of token ``j``, which is in the answer ``c[j]`` times so far.

    ::

        logit[j] + bias[j] - c[j] * frequency - (c[j] > 0) * presence

    Parameters
    ----------
    bias
        What is added to the logit of each token.
    frequency, presence
        Penalties of tokens that were said, by how often and once.
    """

    def __init__(self, bias: Mapping[int, float], frequency: float, presence: float) -> None:
        self.bias, self.frequency, self.presence = bias, frequency, presence
        self._prompt: int | None = None
        self._biases: Tensor | None = None

    @property
    def changes_something(self) -> bool:
        """Whether any logit is changed."""
        return bool(self.bias or self.frequency or self.presence)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Give the changed logits ``(rows, vocabulary)``; the first call is for the prompt alone."""
        if self._prompt is None or self._biases is None:
            self._prompt = input_ids.shape[1]
            self._biases = torch.zeros_like(scores[0])
            for token, value in self.bias.items():
                self._biases[token] = value
        said = input_ids[:, self._prompt :]
        counts = torch.zeros_like(scores).scatter_add_(1, said, torch.ones_like(said, dtype=scores.dtype))
        return scores + self._biases - self.frequency * counts - self.presence * (counts > 0)
