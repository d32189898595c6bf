"""Watching or editing attention goes by another name; models that ask for the name still build their masks."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
import torch
from architectures import ROWS, Row
from inputs import prompt
from tiny_model import tiny_model

from farsight.attention import LanguageModel, Tap, locate, tapped, watched


class Unchanged(Tap):
    def edit(self, scores: Any, call: Any) -> Any:
        return scores


Block = Callable[[LanguageModel], AbstractContextManager[Any]]


@pytest.mark.parametrize(
    "block",
    [
        lambda language_model: watched(language_model, lambda call: None),
        lambda language_model: tapped(language_model, [(layer, Unchanged()) for layer in language_model.layers]),
    ],
    ids=["watched", "edited"],
)
@pytest.mark.parametrize(
    ("name", "attention"),
    [
        ("llava", "eager"),
        ("llava", "sdpa"),
        ("dots3_note", "eager"),
        ("dots3_note", "sdpa"),
        ("inkling2", "eager"),  # Transformers runs it eagerly only
    ],
)
def test_a_model_with_an_indexer_or_sinks_per_row_gives_the_same_logits(
    name: str, block: Block, attention: str
) -> None:
    row = ROWS.get(name, Row())
    model = tiny_model(name, row.config, attention)
    inputs = prompt(model, row)
    with torch.inference_mode():
        plain = model(**inputs, use_cache=False).logits
        with block(locate(model)):
            inside = model(**inputs, use_cache=False).logits
    torch.testing.assert_close(inside, plain, atol=1e-5, rtol=1e-5)
