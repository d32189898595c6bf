"""The name of the cache of keys and values: ``cache`` since Transformers 5.24, ``past_key_values`` before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from transformers.modeling_outputs import BaseModelOutputWithPast

CACHE_NAMES = ("cache", "past_key_values")
"""By which a caller may hand it over: newer versions take both"""
CACHE: str = next(field.name for field in fields(BaseModelOutputWithPast) if field.name in CACHE_NAMES)
"""By which this version of Transformers hands it over and gives it back"""


def given_cache(inputs: Mapping[str, Any]) -> Any:
    """The cache among the arguments of a forward or of ``generate``, or in what it gives back; None without one."""
    return next((cache for name in CACHE_NAMES if (cache := inputs.get(name)) is not None), None)
