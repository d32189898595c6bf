"""Where things are inside a multimodal model: the language model, its causal attention layers, its image tokens.

Vision towers, Q-formers, connectors and cross-attention are never among the layers found here.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface

from farsight.errors import UnsupportedModelError

_part: ContextVar[tuple[int, int, int] | None] = ContextVar("part", default=None)
_PLACEHOLDERS = ("image", "video")
_PREFIX_MODELS = ("paligemma",)
"""Their prompt reads both ways and what follows it causally: the mask says so, the layers call themselves not causal"""


@dataclass(frozen=True, kw_only=True)
class AttentionLayer:
    """One causal self-attention layer of the language model."""

    index: int
    name: str
    module: nn.Module
    config: Any
    heads: int

    @property
    def implementation(self) -> str:
        """Name of the attention implementation that the layer uses now (``"sdpa"``, ``"eager"``, ...)."""
        return str(self.config._attn_implementation)


@dataclass(frozen=True, kw_only=True)
class LanguageModel:
    """The decoder inside a model, and its causal self-attention layers in order.

    ``behind_encoder``: the model is an encoder-decoder, whose picture and request are in the encoder; the decoder's
    prompt is a start token and what ``decoder_input_ids`` holds.
    """

    name: str
    module: nn.Module
    config: Any
    layers: tuple[AttentionLayer, ...]
    behind_encoder: bool = False

    @property
    def configs(self) -> list[Any]:
        """Every config object that decides the attention implementation of a layer or the form of its mask."""
        found = {id(config): config for config in (self.config, self.module.config)}
        found.update((id(layer.config), layer.config) for layer in self.layers)
        return list(found.values())


def _uses_attention_interface(attention: type[nn.Module]) -> bool:
    try:
        return "ALL_ATTENTION_FUNCTIONS" in inspect.getsource(attention.forward)
    except (OSError, TypeError):
        return False


def _is_self_attention(module: nn.Module, has_prefix: bool = False) -> bool:
    kind = type(module).__name__
    return (
        isinstance(getattr(module, "layer_idx", None), int)
        and "Attention" in kind
        and "Cross" not in kind
        and "Linear" not in kind
        and not getattr(module, "is_cross_attention", False)
        and (has_prefix or bool(getattr(module, "is_causal", True)))
    )


def _is_block_around_attention(module: nn.Module) -> bool:
    """A decoder layer whose name says what kind of attention it holds (``MllamaSelfAttentionDecoderLayer``)."""
    return any(part is not module and _is_self_attention(part) for part in module.modules())


def _normalises_heads(attention: type[nn.Module]) -> bool:
    """Whether rows of single heads are brought to one length before heads are put together (Muse Spark)."""
    return re.search(r"norm\(attn_output\)\.reshape\(", inspect.getsource(attention.forward)) is not None


def _query_heads(module: Any) -> int:
    for holder in (module, module.config):
        for name in ("num_attention_heads", "num_heads", "n_head"):
            if isinstance(heads := getattr(holder, name, None), int):
                return heads
    raise UnsupportedModelError(f"{type(module).__name__} does not say how many attention heads it has")


def _attention_layers(decoder: nn.Module, prefix: str, has_prefix: bool) -> Iterator[AttentionLayer]:
    for name, module in decoder.named_modules(prefix=prefix):
        if not _is_self_attention(module, has_prefix) or _is_block_around_attention(module):
            continue
        if not _uses_attention_interface(type(module)):
            raise UnsupportedModelError(
                f"{name} ({type(module).__name__}) computes attention without Transformers' attention interface, "
                "so no registers can be added to it"
            )
        if _normalises_heads(type(module)):
            raise UnsupportedModelError(
                f"{name} ({type(module).__name__}) normalises each head's attention output, which undoes what "
                "registers take away: they would change nothing"
            )
        attention: Any = module
        yield AttentionLayer(
            index=attention.layer_idx,
            name=name,
            module=module,
            config=attention.config,
            heads=_query_heads(attention),
        )


def locate(model: nn.Module, *, encoder_decoder: bool = False) -> LanguageModel:
    """Find the language model inside ``model`` and its causal self-attention layers.

    Parameters
    ----------
    model
        The model.
    encoder_decoder
        Whether the decoder of an encoder-decoder will do.

    Raises
    ------
    UnsupportedModelError
        If the model is no Transformers model, is an encoder-decoder that will not do, has no causal self-attention, or
        computes it without Transformers' attention interface.
    """
    config = getattr(model, "config", None)
    if config is None or not hasattr(model, "get_decoder"):
        raise UnsupportedModelError(f"{type(model).__name__} is not a Transformers model with a decoder")
    decoder = _innermost_decoder(model)
    if (whole := _encoder_decoder_around(model, decoder)) is not None:
        if not encoder_decoder:
            raise UnsupportedModelError(
                f"{type(whole).__name__} is an encoder-decoder model, which this method does not support"
            )
        decoder = _behind_encoder(decoder)
    name = next(name for name, module in model.named_modules() if module is decoder)
    layers = tuple(_attention_layers(decoder, name, getattr(config, "model_type", None) in _PREFIX_MODELS))
    if not layers and any("MergedAttention" in type(module).__name__ for module in decoder.modules()):
        raise UnsupportedModelError(
            f"{type(decoder).__name__} attends to its own tokens and to the encoder's in one softmax; registers are "
            "defined for causal self-attention by itself"
        )
    if not layers:
        raise UnsupportedModelError(f"no causal self-attention layer was found in {type(decoder).__name__}")
    return LanguageModel(
        name=name,
        module=decoder,
        config=config.get_text_config(decoder=True),
        layers=layers,
        behind_encoder=whole is not None,
    )


def _encoder_decoder_around(model: nn.Module, decoder: nn.Module) -> nn.Module | None:
    """The model, or the language model inside it (a T5 behind a Q-former), that pairs the decoder with an encoder."""
    for module in model.modules():
        paired = getattr(getattr(module, "config", None), "is_encoder_decoder", False)
        if paired and any(part is decoder for part in module.modules()):
            return module
    return None


def _behind_encoder(decoder: nn.Module) -> nn.Module:
    """The decoder itself, where a model answered with a pair of encoder and decoder (Florence-2 with its BART)."""
    children = dict(decoder.named_children())
    return children["decoder"] if {"encoder", "decoder"} <= set(children) else decoder


def _innermost_decoder(model: Any) -> nn.Module:
    """Follow ``get_decoder`` down to the module that holds the layers (some wrappers answer with a wrapper)."""
    decoder = model.get_decoder()
    while (inner := decoder.get_decoder() if hasattr(decoder, "get_decoder") else decoder) is not decoder:
        decoder = inner
    found: nn.Module = decoder
    return found


def visual_token_mask(model: nn.Module, input_ids: Tensor) -> Tensor:
    """Which tokens of a prompt stand for the image or the video, ``(batch, slots)``, bool."""
    config = model.config
    names = [f"{kind}_token_{form}" for kind in _PLACEHOLDERS for form in ("id", "index")]
    ids = {token for name in names if isinstance(token := getattr(config, name, None), int)}
    if not ids:
        raise UnsupportedModelError(f"{type(model).__name__} does not say which token stands for the image")
    return torch.isin(input_ids, torch.tensor(sorted(ids), device=input_ids.device))


def new_rows(inputs: Mapping[str, Any]) -> tuple[int, int, torch.device] | None:
    """Batch size, number of query rows and device of one forward of a language model, from its arguments."""
    for name in ("inputs_embeds", "input_ids"):
        if isinstance(tensor := inputs.get(name), Tensor):
            return tensor.shape[0], tensor.shape[1], tensor.device
    return None


@contextmanager
def part_of_batch(first: int, count: int, total: int) -> Iterator[None]:
    """Say that forwards in this block hold sequences ``first`` to ``first + count`` of a generate call of ``total``."""
    token = _part.set((first, count, total))
    try:
        yield
    finally:
        _part.reset(token)


def rows_for_batch(rows: Tensor, batch: int) -> Tensor:
    """Repeat and pick the rows of a call's prompts for a forward of ``batch`` sequences, ``(1 or batch, ...)``.

    Beams and returned sequences repeat each prompt in place; one row serves every batch.

    Raises
    ------
    UnsupportedModelError
        If the forward's sequences cannot be those of the call.
    """
    if (part := _part.get()) is not None and len(rows) > 1:
        first, count, total = part
        rows = rows.repeat_interleave(total // len(rows), dim=0)[first : first + count]
    if len(rows) in (1, batch):
        return rows
    if batch % len(rows):
        raise UnsupportedModelError(f"a forward of {batch} sequences in a generate call of {len(rows)} prompts")
    return rows.repeat_interleave(batch // len(rows), dim=0)


class StandInName(str):
    """A name of an attention implementation that also equals the one it stands for.

    Some models ask whether the implementation is ``"sdpa"`` or ``"eager"`` before they build a mask (of the keys that
    a sparse indexer chose, say); what holds for the plain one holds for its stand-in. A registry is still looked up by
    the new name.

    Parameters
    ----------
    name
        The new name.
    plain
        The one it stands for.
    """

    plain: str

    def __new__(cls, name: str, plain: str = "") -> StandInName:
        made = super().__new__(cls, name)
        made.plain = plain
        return made

    def __eq__(self, other: object) -> bool:
        return str.__eq__(self, other) or (isinstance(other, str) and str.__eq__(self.plain, other))

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__


@cache
def _asks_for_the_name(kind: type[nn.Module]) -> bool:
    """Whether the code of a module does one thing for one attention implementation and another for the next."""
    try:
        return re.search(r"\._attn_implementation\s*(==|!=|in\b|not in\b)", inspect.getsource(kind)) is not None
    except (OSError, TypeError):
        return False


@contextmanager
def implementations_named(
    language_model: LanguageModel, names: Sequence[str], like: str | None = None
) -> Iterator[None]:
    """Let the language model's configs name other attention implementations for the length of a ``with`` block.

    Parameters
    ----------
    language_model
        Whose.
    names
        The new names, one for each of its configs.
    like
        What the model is told they are, if it asks; None for what each config named before.
    """
    before = [(config, config._attn_implementation) for config in language_model.configs]
    kinds: set[Any] = {type(module) for module in language_model.module.modules()}
    asks = any(_asks_for_the_name(kind) for kind in kinds)
    try:
        for (config, old), name in zip(before, names, strict=True):
            plain = like or getattr(old, "plain", old) or "eager"
            config._attn_implementation_internal = StandInName(name, plain) if asks else name
        yield
    finally:
        for config, old in before:
            config._attn_implementation_internal = old


def attention_function(implementation: str, module: nn.Module) -> Callable[..., Any]:
    """What a layer runs under the name of an implementation: Transformers' function, or its own file's eager one."""
    functions = AttentionInterface()
    if implementation in functions:
        function: Callable[..., Any] = functions[implementation]
    else:
        function = sys.modules[type(module).__module__].eager_attention_forward
    return function
