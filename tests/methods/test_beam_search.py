"""Beam search as a method is Transformers' beam search."""

from __future__ import annotations

from typing import Any

import models
import pytest
import torch

from farsight import SettingError
from farsight.methods.beam_search import BeamSearch


def test_it_gives_what_generate_gives_with_beams() -> None:
    model = models.llava()
    prompt = models.prompt(model)
    expected = model.generate(**prompt, max_new_tokens=8, do_sample=False, num_beams=4)
    with BeamSearch(num_beams=4)(model):
        assert torch.equal(model.generate(**prompt, max_new_tokens=8), expected)
        assert torch.equal(model.generate(**prompt, max_new_tokens=8, num_beams=1), expected)
    assert "generate" not in vars(model)


@pytest.mark.parametrize("num_beams", [0, 1, -2, 2.5, True, "5"])
def test_fewer_than_two_beams_are_none(num_beams: Any) -> None:
    with pytest.raises(SettingError, match="num_beams"):
        BeamSearch(num_beams=num_beams)
