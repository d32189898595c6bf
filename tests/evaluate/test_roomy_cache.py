"""A cache with room holds the same keys and values as one that copies, whatever is done to it."""

from __future__ import annotations

from typing import Any

import models
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from farsight.evaluate.roomy_cache import RoomyLayer, roomy_cache

STEP = st.one_of(
    st.tuples(st.just("add"), st.integers(1, 90)),
    st.tuples(st.just("crop"), st.integers(1, 3)),
    st.tuples(st.just("select"), st.lists(st.integers(0, 1), min_size=2, max_size=2)),
    st.tuples(st.just("repeat"), st.just(1)),
)


@settings(deadline=None, max_examples=40)
@given(steps=st.lists(STEP, max_size=8))
def test_it_holds_what_a_cache_that_copies_holds(steps: list[tuple[str, Any]]) -> None:
    caches = [DynamicLayer(), RoomyLayer()]
    generator = torch.Generator().manual_seed(0)
    for name, value in [("add", 5), *steps]:
        new = torch.randn(2, 2, value, 4, generator=generator) if name == "add" else torch.empty(0)
        for cache in caches:
            if name == "add":
                cache.update(new, -new)
            elif name == "crop" and cache.get_seq_length() > value:
                cache.crop(-value)
            elif name == "select":
                cache.batch_select_indices(torch.tensor(value))
            elif name == "repeat":
                cache.batch_repeat_interleave(1)
        plain, roomy = caches
        assert roomy.get_seq_length() == plain.get_seq_length()
        assert torch.equal(roomy.keys, plain.keys)
        assert torch.equal(roomy.values, plain.values)


def test_a_token_is_written_and_nothing_is_copied() -> None:
    layer, token = RoomyLayer(), torch.randn(1, 2, 1, 4)
    layer.update(torch.randn(1, 2, 50, 4), torch.randn(1, 2, 50, 4))
    first = layer.keys.data_ptr()
    for _ in range(20):
        layer.update(token, token)
    assert layer.keys.data_ptr() == first
    assert layer.get_seq_length() == 70


@pytest.mark.parametrize("build", [models.llama, models.llava, models.qwen2_vl])
def test_a_model_generates_the_same_with_it(build: Any) -> None:
    model = build()
    inputs = models.prompt(model)
    how = {"max_new_tokens": 12, "do_sample": False, "eos_token_id": None}
    cache = roomy_cache(model)
    assert isinstance(cache, DynamicCache)
    assert torch.equal(model.generate(**inputs, **how), model.generate(**inputs, **how, past_key_values=cache))


def test_there_is_none_for_layers_that_keep_a_window_only() -> None:
    assert roomy_cache(models.gemma2()) is None
