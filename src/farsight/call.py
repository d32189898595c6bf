"""What is known of the call in progress: the prompt of a `generate`, its horizon, and the rows of each forward.

Every thread that runs a model has a call of its own; nothing of a call is kept on the model. Decoding loops, logits
processors, streamers and caches are Transformers' own.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial, wraps
from typing import Any
from weakref import WeakKeyDictionary, ref

import torch
from torch import Tensor, nn
from transformers import GenerationMixin

from farsight.attention import LanguageModel
from farsight.attention.cache import given_cache
from farsight.errors import UnsupportedModelError


@dataclass(kw_only=True, eq=False)
class Call:
    """One call of `generate`.

    ``request`` is what it was given, by name. What follows is known once Transformers has resolved lengths and masks:
    ``prompt_slots``, the prompts' padding ``mask`` ``(batch, prompt_slots)`` (None if every token is real) and how many
    ``new_tokens`` may come. ``part`` is set by a search that feeds some of the call's sequences at a time: ``first``,
    ``count``, ``total``. ``memory`` is for what a method finds out once per call.
    """

    request: dict[str, Any]
    prompt_slots: int = 0
    new_tokens: int = 0
    mask: Tensor | None = None
    device: torch.device | None = None
    prepared: bool = False
    assisted: bool = False
    started: bool = False
    part: tuple[int, int, int] | None = None
    memory: dict[Hashable, Any] = field(default_factory=dict)

    @property
    def ids(self) -> Tensor | None:
        """Token ids of the prompts, ``(batch, slots)``, if they were given."""
        ids = self.request.get("input_ids")
        return ids if isinstance(ids, Tensor) and ids.dim() == 2 else None


@dataclass(kw_only=True, eq=False)
class Forward:
    """The rows of one forward of the language model: slots ``offset`` to ``offset + queries`` of ``batch`` sequences.

    ``inputs`` is what the language model and the model around it were given, by name; ``memory`` is for what a method
    finds out once per forward.
    """

    batch: int
    queries: int
    offset: int | Tensor
    device: torch.device
    inputs: Mapping[str, Any]
    outer: Mapping[str, Any]
    memory: dict[Hashable, Any] = field(default_factory=dict)


class Calls(threading.local):
    """What this thread runs on one model: the call of `generate` and the forward in progress, if there are."""

    def __init__(self) -> None:
        self.call: Call | None = None
        self.forward: Forward | None = None
        self.outer: Mapping[str, Any] = {}


_followed: WeakKeyDictionary[nn.Module, Calls] = WeakKeyDictionary()


def calls_of(model: nn.Module) -> Calls:
    """The calls of a model that a method is on for."""
    return _followed[model]


@contextmanager
def following(model: nn.Module) -> Iterator[Calls]:
    """Learn of every call of ``model`` in a ``with`` block: methods are replaced on the instances, and put back."""
    calls = Calls()
    with ExitStack() as stack:
        for module in model.modules():
            if isinstance(module, GenerationMixin):
                for name, override in (
                    ("generate", _generate),
                    ("_prepare_cache_for_generation", _prepare),
                    ("_prepare_decoder_input_ids_for_generation", _prepare_decoder_prompt),
                ):
                    original = getattr(module, name)
                    stack.enter_context(replaced(module, name, wraps(original)(partial(override, original, calls))))
                if hasattr(module, "init_continuous_batching"):
                    stack.enter_context(replaced(module, "init_continuous_batching", _refuse_continuous_batching))
        _followed[model] = calls
        stack.callback(_followed.pop, model, None)
        yield calls


def _generate(original: Callable[..., Any], calls: Calls, *args: Any, **kwargs: Any) -> Any:
    if isinstance(kwargs.get("custom_generate"), str):
        raise UnsupportedModelError(
            "a generation recipe from the Hub (custom_generate) has a loop of its own: leave it out"
        )
    before, outer = calls.call, calls.outer
    given = {**kwargs, **({"inputs": args[0]} if args else {})}
    ids = given.get("input_ids") if given.get("input_ids") is not None else given.get("inputs")
    calls.call = Call(request={**given, "input_ids": ids})
    try:
        return original(*args, **kwargs)
    finally:
        calls.call, calls.outer = before, outer


def _refuse_continuous_batching(*args: Any, **kwargs: Any) -> Any:
    raise UnsupportedModelError(
        "continuous batching (generate_batch) packs the rows of several requests into one, so their horizons are not "
        "known: use generate"
    )


def _prepare_decoder_prompt(original: Callable[..., Any], calls: Calls, *args: Any, **kwargs: Any) -> Any:
    """The prompt of a decoder behind an encoder, with the start token that Transformers puts in front."""
    prompt, model_kwargs = original(*args, **kwargs)
    if calls.call is not None:
        calls.call.request = {"input_ids": prompt}
    return prompt, model_kwargs


def _prepare(original: Callable[..., Any], calls: Calls, *args: Any, **kwargs: Any) -> Any:
    """Transformers has resolved lengths and masks here."""
    prepared = original(*args, **kwargs)
    if (call := calls.call) is None:
        return prepared
    given = inspect.signature(original).bind(*args, **kwargs).arguments
    config, model_kwargs = given["generation_config"], given["model_kwargs"]
    module = getattr(original, "__self__", None)
    ids, embeds = call.request.get("input_ids"), call.request.get("inputs_embeds")
    prompt = ids if ids is not None else embeds
    length = ids.shape[1] if call.ids is not None and ids is not None else int(prompt is None)
    behind_encoder = bool(getattr(getattr(module, "config", None), "is_encoder_decoder", False))
    call.mask = model_kwargs.get("decoder_attention_mask" if behind_encoder else "attention_mask")
    inferred = None if behind_encoder else getattr(config, "_mask_length", None)
    call.prompt_slots = call.mask.shape[1] if call.mask is not None else inferred or _length(prompt, length)
    call.new_tokens = config.max_new_tokens if config.max_new_tokens is not None else config.max_length - length
    call.assisted = call.started = "assisted" in str(getattr(given["generation_mode"], "value", ""))
    device = next(module.parameters()).device if isinstance(module, nn.Module) else torch.device("cpu")
    like = prompt if call.mask is None else call.mask
    call.device = like.device if device.type == "meta" and like is not None else device
    call.prepared = True
    return prepared


def _length(prompt: Tensor | None, default: int) -> int:
    return default if prompt is None else prompt.shape[1]


@contextmanager
def forwards(model: nn.Module, language_model: LanguageModel) -> Iterator[None]:
    """Learn of every forward of a language model that is followed: `Calls.forward` is the one in progress."""
    calls, decoder = calls_of(model), language_model.module
    outer_names = list(inspect.signature(model.forward).parameters)
    names = list(inspect.signature(decoder.forward).parameters)

    def before_model(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        calls.outer = {**dict(zip(outer_names, args, strict=False)), **kwargs}

    checkpointed: list[bool] = []

    def before_decoder(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if module.training and not checkpointed and any(map(_is_checkpointed, module.modules())):
            checkpointed.append(True)
            stack.enter_context(_recomputed(calls, language_model))
        inputs = {**dict(zip(names, args, strict=False)), **kwargs} if args else kwargs
        calls.forward = None
        for name in ("inputs_embeds", "input_ids"):
            if isinstance(tensor := inputs.get(name), Tensor):
                past = given_cache(inputs)
                offset = 0 if past is None else past.get_seq_length(language_model.layers[0].index)
                calls.forward = Forward(
                    batch=tensor.shape[0],
                    queries=tensor.shape[1],
                    offset=offset.clone() if isinstance(offset, Tensor) else offset,  # a static cache counts in place
                    device=tensor.device,
                    inputs=inputs,
                    outer=calls.outer,
                )
                break
        calls.outer = {}

    with ExitStack() as stack:
        if decoder is not model:
            stack.callback(model.register_forward_pre_hook(before_model, with_kwargs=True).remove)
        stack.callback(decoder.register_forward_pre_hook(before_decoder, with_kwargs=True).remove)
        yield


def _is_checkpointed(module: nn.Module) -> bool:
    return bool(getattr(module, "gradient_checkpointing", False))


@contextmanager
def _recomputed(calls: Calls, language_model: LanguageModel) -> Iterator[None]:
    """Gradient checkpointing runs layers again, long after their forward and perhaps on a thread of its own.

    It hands them the very tensors of the first time, by which the forward is found again.
    """
    known: dict[int, tuple[ref[Tensor], Forward]] = {}

    def before_layer(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if not module.training:
            return
        given = (
            (kwargs.get("position_embeddings") or [None])[0],
            kwargs.get("position_ids"),
            kwargs.get("attention_mask"),
        )
        anchor = next((tensor for tensor in given if isinstance(tensor, Tensor)), None)
        if anchor is None:
            return
        made, forward = known.get(id(anchor), (None, None))
        if made is not None and made() is anchor:
            calls.forward = forward
        elif calls.forward is not None:
            key = id(anchor)
            known[key] = ref(anchor, lambda _: known.pop(key, None)), calls.forward

    with ExitStack() as stack:
        for layer in language_model.layers:
            stack.callback(layer.module.register_forward_pre_hook(before_layer, with_kwargs=True).remove)
        yield


@contextmanager
def replaced(module: nn.Module, name: str, replacement: Callable[..., Any]) -> Iterator[None]:
    """Shadow a method on one instance; on leaving the instance has what it had, which is usually nothing."""
    attributes = vars(module)
    missing = object()
    before = attributes.get(name, missing)
    attributes[name] = replacement
    try:
        yield
    finally:
        if before is missing:
            attributes.pop(name, None)
        else:
            attributes[name] = before
