"""The cache goes by another name in newer Transformers; methods find it by either."""

from __future__ import annotations

from transformers import DynamicCache
from transformers.modeling_outputs import BaseModelOutputWithPast

from farsight.attention.cache import CACHE, given_cache


def test_a_cache_is_found_by_either_name_also_when_it_is_empty() -> None:
    cache = DynamicCache()
    assert given_cache({"cache": cache}) is given_cache({"past_key_values": cache, "cache": None}) is cache
    assert given_cache({"input_ids": 1, "past_key_values": None}) is None


def test_an_output_holds_its_cache_by_the_name_of_this_version() -> None:
    cache = DynamicCache()
    assert getattr(BaseModelOutputWithPast(**{CACHE: cache}), CACHE) is cache
