"""A setting is refused in one line or gives numbers: whatever size it has, and whatever kind of thing it is."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import models
import pytest
import torch
from test_grid import greedy

from farsight import METHODS, BeamSearch, SettingError
from farsight.method import needs_drawing

VALUES: list[Any] = [
    0, -1, 1, 5, 800, 10**9, 10**400, -(10**400), 1e-300, 5e-324, 1e-9, 1e30, 1e300, float("inf"), float("nan"),
    True, None, "", "x", "\0", (), (0,), (10**400,), ((1.0,),), [1e300], {}, b"x", object(),
]  # fmt: skip
TOKENS: dict[str, dict[str, Any]] = {"icd": {"prefix_ids": (33, 34)}, "shift": {"token_ids": (33, 34)}}
"""What a model without a tokenizer needs"""
SETTINGS = [(name, field.name) for name, kind in METHODS.items() if kind.changes != "answer" for field in fields(kind)]


@pytest.mark.parametrize(("name", "setting"), SETTINGS)
def test_a_setting_of_any_size_or_kind_is_refused_in_one_line_or_gives_numbers(name: str, setting: str) -> None:
    model = models.llava()
    given = {} if setting in (*TOKENS.get(name, {}), "prefix", "word") else TOKENS.get(name, {})
    refusals: list[str] = []
    for value in VALUES:
        try:
            method = METHODS[name](**{**given, setting: value})
            with (method + BeamSearch(num_beams=2) if needs_drawing(method) else method)(model):
                logits = torch.cat(greedy(model).logits) if name != "opera" or value in (1, 5) else torch.zeros(1)
        except SettingError as error:
            refusals.append(str(error))
        else:
            assert not bool(logits.isnan().any()), (setting, value)
    assert refusals
    assert all("\n" not in refusal and len(refusal) < 700 for refusal in refusals)
