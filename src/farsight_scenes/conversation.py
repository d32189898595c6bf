"""Conversations as token ids, for training."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from .language import Exchange

IGNORED = -100
"""Label of a token that is not learnt."""


def tokenize(
    tokenizer: PreTrainedTokenizerFast, talk: Sequence[Exchange], tokens: int, placeholder: str = "<image>"
) -> tuple[list[int], list[int]]:
    """Token ids of a conversation whose first question comes with a picture, and labels: the answers and their ends.

    Parameters
    ----------
    tokenizer
        Whose ids.
    talk
        Questions and answers.
    tokens
        Visual tokens of the picture; 0 for a conversation without one.
    placeholder
        What stands for a visual token.
    """

    def encoded(text: str) -> list[int]:
        return list(tokenizer(text, add_special_tokens=False).input_ids)

    ids, labels = [tokenizer.bos_token_id], [IGNORED]
    for number, turn in enumerate(talk):
        picture = placeholder * tokens + "\n" if number == 0 and tokens else ""
        question = encoded(f"USER: {picture}{turn.question} ASSISTANT:")
        answer = [*encoded(f" {turn.answer}"), tokenizer.eos_token_id]
        ids += question + answer
        labels += [IGNORED] * len(question) + answer
    return ids, labels


def collate(samples: Sequence[tuple[list[int], list[int]]], pad: int) -> tuple[Tensor, Tensor]:
    """Pad conversations on the right to ``(batch, longest)``, where causal attention needs no mask."""
    longest = max(len(ids) for ids, _ in samples)
    ids = torch.tensor([row + [pad] * (longest - len(row)) for row, _ in samples])
    labels = torch.tensor([row + [IGNORED] * (longest - len(row)) for _, row in samples])
    return ids, labels
