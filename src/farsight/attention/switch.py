"""Put registers into attention layers, and take them out again."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from farsight.attention.gate import LayerGate
from farsight.attention.interface import ATTRIBUTE, NameOfBoth, check_options, gated_name
from farsight.attention.sdpa import verify
from farsight.errors import SettingError
from farsight.language_model import LanguageModel


@cache
def _asks_for_the_name(kind: type[Any]) -> bool:
    """Whether the code of a module does one thing for one attention implementation and another for the next."""
    try:
        return re.search(r"\._attn_implementation\s*(==|!=|in\b|not in\b)", inspect.getsource(kind)) is not None
    except (OSError, TypeError):
        return False


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
    before = [(config, config._attn_implementation) for config in language_model.configs]
    names = [gated_name(name or "eager") for _, name in before]
    kinds: Iterable[Any] = {type(module) for module in language_model.module.modules()}
    if any(_asks_for_the_name(kind) for kind in kinds):
        names = [NameOfBoth(name) for name in names]
    for attention in language_model.layers:
        check_options(attention.config._attn_implementation or "eager", attention.module)
    if any(ATTRIBUTE in vars(module) for module in layers.values()):
        raise SettingError("the language model of this model carries registers already, through another model")
    chosen = [(layers[layer.index], layer) for layer in registers]
    try:
        for module, layer in chosen:
            setattr(module, ATTRIBUTE, layer)
        for (config, _), name in zip(before, names, strict=True):
            config._attn_implementation_internal = name
        yield
    finally:
        for config, name in before:
            config._attn_implementation_internal = name
        for module, _ in chosen:
            vars(module).pop(ATTRIBUTE, None)
