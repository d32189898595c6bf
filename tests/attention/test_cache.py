"""The cache goes by another name in newer Transformers; methods find it by either."""

from __future__ import annotations

from pathlib import Path

from transformers import DynamicCache
from transformers.modeling_outputs import BaseModelOutputWithPast

import farsight
from farsight.attention.cache import CACHE, given_cache


def test_a_cache_is_found_by_either_name_also_when_it_is_empty() -> None:
    cache = DynamicCache()
    assert given_cache({"cache": cache}) is given_cache({"past_key_values": cache, "cache": None}) is cache
    assert given_cache({"input_ids": 1, "past_key_values": None}) is None


def test_an_output_holds_its_cache_by_the_name_of_this_version() -> None:
    cache = DynamicCache()
    assert getattr(BaseModelOutputWithPast(**{CACHE: cache}), CACHE) is cache


def test_no_other_module_names_it_itself() -> None:
    package = Path(farsight.__file__).parent
    naming = {file.relative_to(package).as_posix() for file in package.rglob("*.py") if "past_key_" in file.read_text()}
    assert naming == {"attention/cache.py"}
