"""What is read in a module's source says what it says of Transformers' own modules, and no more than is sure."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.blip.modeling_blip_text import BlipTextSelfAttention
from transformers.models.falcon.modeling_falcon import FalconModel
from transformers.models.git.modeling_git import GitSelfAttention
from transformers.models.gpt2.modeling_gpt2 import GPT2Attention
from transformers.models.llama.modeling_llama import LlamaAttention, LlamaModel
from transformers.models.qwen2_vl.modeling_qwen2_vl import Qwen2VLAttention

from farsight.attention.names import StandInName
from farsight.attention.source import asks_for_the_name, leaves_out_the_interface, normalises_heads


def attend(module: nn.Module) -> Any:
    return ALL_ATTENTION_FUNCTIONS.get_interface("sdpa", None)


def decorated(forward: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(forward)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return forward(*args, **kwargs)

    return wrapper


class Passes(LlamaAttention):
    @decorated
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return super().forward(*args, **kwargs)


class Delegates(nn.Module):
    def forward(self) -> Any:
        return attend(self)


class ByHand(nn.Module):
    def forward(self, query: Any, key: Any, value: Any) -> Any:
        """Without ALL_ATTENTION_FUNCTIONS."""
        return torch.nn.functional.scaled_dot_product_attention(query, key, value)


class Normalised(nn.Module):
    def forward(self, attn_output: Any) -> Any:
        return self.o_norm(attn_output).view(1, -1)


class NormalisedTogether(nn.Module):
    def forward(self, attn_output: Any) -> Any:
        attn_output = attn_output.reshape(1, -1)
        return self.sub_norm(attn_output)


class AsksLater(nn.Module):
    def mask(self) -> bool:
        name = self.config._attn_implementation
        return name in ("eager", "sdpa")


class Inherits(AsksLater):
    pass


class OnlyHandsOn(nn.Module):
    def forward(self) -> Any:
        """Of "sdpa" or "eager"."""
        return ALL_ATTENTION_FUNCTIONS.get_interface(self.config._attn_implementation, None)


@pytest.mark.parametrize("kind", [BlipTextSelfAttention, GitSelfAttention, ByHand])
def test_attention_by_hand_leaves_out_the_interface(kind: type[nn.Module]) -> None:
    assert leaves_out_the_interface(kind)


@pytest.mark.parametrize("kind", [LlamaAttention, Qwen2VLAttention, Passes, Delegates])
def test_inherited_decorated_and_delegated_attention_does_not(kind: type[nn.Module]) -> None:
    assert not leaves_out_the_interface(kind)


def test_a_norm_counts_only_before_heads_are_put_together() -> None:
    assert normalises_heads(Normalised)
    assert not normalises_heads(NormalisedTogether)
    assert not normalises_heads(LlamaAttention)


def test_muse_spark_normalises_heads() -> None:
    muse_spark = pytest.importorskip("transformers.models.muse_spark.modeling_muse_spark")
    assert normalises_heads(muse_spark.MuseSparkTextAttention)


@pytest.mark.parametrize("kind", [FalconModel, GPT2Attention, AsksLater, Inherits])
def test_a_comparison_with_a_known_name_is_seen(kind: type[nn.Module]) -> None:
    assert asks_for_the_name(kind)


@pytest.mark.parametrize("kind", [LlamaModel, LlamaAttention, OnlyHandsOn])
def test_handing_the_name_on_is_not_asking(kind: type[nn.Module]) -> None:
    assert not asks_for_the_name(kind)


def test_what_cannot_be_read_is_claimed_of_nothing() -> None:
    forward: dict[str, Any] = {}
    exec("def forward(self, attn_output): return self.norm(attn_output).reshape(-1)", forward)
    unreadable = type("Unreadable", (nn.Module,), {"forward": forward["forward"]})
    assert not normalises_heads(unreadable)
    assert not leaves_out_the_interface(type("Native", (nn.Module,), {"forward": len}))


def test_a_stand_in_equals_both_names_and_is_found_as_the_new_one_alone() -> None:
    name = StandInName("farsight_sdpa", "sdpa")
    assert (name == "farsight_sdpa", name == "sdpa", name == "eager", name is None) == (True, True, False, False)
    assert (name != "farsight_sdpa", name != "sdpa", name != "eager") == (False, False, True)
    plain = "sdpa"
    assert plain == name
    assert name.__eq__(None) is False
    assert name in ("eager", "sdpa")
    assert name not in ("eager", "flex_attention")
    assert {"sdpa": 1, "farsight_sdpa": 2}[name] == 2
    assert name not in {"sdpa": 1}
    assert (str(name), f"{name}", name.startswith("farsight_")) == ("farsight_sdpa", "farsight_sdpa", True)
