"""Where things are inside a multimodal model: the language model, its causal attention layers, its image tokens.

Vision towers, Q-formers, connectors and cross-attention are never among the layers found here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from farsight.attention.source import leaves_out_the_interface, normalises_heads
from farsight.errors import SettingError, UnsupportedModelError

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
        attention: Any = module
        kind: Any = type(module)
        if leaves_out_the_interface(kind):
            raise UnsupportedModelError(
                f"{name} ({kind.__name__}) computes attention without Transformers' attention interface, "
                "so no registers can be added to it"
            )
        if normalises_heads(kind):
            raise UnsupportedModelError(
                f"{name} ({kind.__name__}) normalises each head's attention output, which undoes what "
                "registers take away: they would change nothing"
            )
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


def visual_token_mask(model: nn.Module, input_ids: Tensor, asking: str = "the method") -> Tensor:
    """Which tokens of a prompt stand for the image or the video, ``(batch, slots)``, bool.

    Raises
    ------
    UnsupportedModelError
        If the model reads only text; it says that of what is ``asking``, the name of a method.
    """
    config = model.config
    names = [f"{kind}_token_{form}" for kind in _PLACEHOLDERS for form in ("id", "index")]
    ids = {token for name in names if isinstance(token := getattr(config, name, None), int)}
    if not ids:
        raise UnsupportedModelError(
            f"{asking} works on pictures, and this model reads only text ({type(model).__name__} has no token for an "
            "image): try farsight, beam or dola"
        )
    return torch.isin(input_ids, torch.tensor(sorted(ids), device=input_ids.device))


def new_rows(inputs: Mapping[str, Any]) -> tuple[int, int, torch.device] | None:
    """Batch size, number of query rows and device of one forward of a language model, from its arguments."""
    for name in ("inputs_embeds", "input_ids"):
        if isinstance(tensor := inputs.get(name), Tensor):
            return tensor.shape[0], tensor.shape[1], tensor.device
    return None


def chosen_layers(language_model: LanguageModel, indices: Sequence[int] | None) -> list[AttentionLayer]:
    """The attention layers with these indices; all for None.

    Raises
    ------
    SettingError
        If one does not exist.
    """
    available = [layer.index for layer in language_model.layers]
    if missing := sorted(set(indices or ()) - set(available)):
        raise SettingError(f"layers {missing} are out of range: this model has {available[0]} to {available[-1]}")
    return [layer for layer in language_model.layers if indices is None or layer.index in indices]
