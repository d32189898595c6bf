"""Put registers into attention layers, and take them out again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from farsight.attention.gate import LayerGate
from farsight.attention.interface import ATTRIBUTE, check_options, gated_name
from farsight.attention.sdpa import verify
from farsight.errors import SettingError
from farsight.language_model import LanguageModel, implementations_named


@contextmanager
def registers_in(language_model: LanguageModel, registers: Iterable[LayerGate]) -> Iterator[None]:
    """Give the layers of ``language_model`` their registers for the length of a ``with`` block.

    The attention implementation that each layer uses is the one that gets the gate. Layers not named by
    ``registers`` go on as they were.

    Raises
    ------
    UnsupportedModelError
        If an attention implementation can give no log-sum-exp.
    SettingError
        If a layer carries registers already.
    """
    layers = {layer.index: layer.module for layer in language_model.layers}
    for device in {parameter.device.type for parameter in language_model.module.parameters()}:
        verify(device)
    names = [gated_name(config._attn_implementation or "eager") for config in language_model.configs]
    for attention in language_model.layers:
        check_options(attention.config._attn_implementation or "eager", attention.module)
    if any(ATTRIBUTE in vars(module) for module in layers.values()):
        raise SettingError("the language model of this model carries registers already, through another model")
    chosen = [(layers[layer.index], layer) for layer in registers]
    try:
        for module, layer in chosen:
            setattr(module, ATTRIBUTE, layer)
        with implementations_named(language_model, names):
            yield
    finally:
        for module, _ in chosen:
            vars(module).pop(ATTRIBUTE, None)
