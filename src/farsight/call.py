"""What is known of the call in progress: the prompts of a `generate`, what may follow, and the rows of each forward.

Every thread that runs a model has a call of its own; nothing of a call is kept on the model. Decoding loops, logits
processors, streamers and caches are Transformers' own.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial, wraps
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers import GenerationMixin, StoppingCriteria

from farsight.attention import LanguageModel
from farsight.attention.cache import given_cache
from farsight.attention.layer_call import allowed_in
from farsight.attention.layers import new_rows
from farsight.errors import SettingError, UnsupportedModelError
from farsight.instances import replaced
from farsight.registers import token_positions


@dataclass(kw_only=True, eq=False)
class Call:
    """One call of `generate`; a forward outside of one is a call by itself, which starts at its first row.

    ``request`` is what it was given, by name. What follows is known once Transformers has resolved lengths and masks:
    the prompts are ``prompt_slots`` from slot ``start`` on, with a padding ``mask`` ``(batch, start + prompt_slots)``
    (None if every token is real), and ``new_tokens`` may come (None outside of `generate`; ``(batch, 1)`` where a
    `NewTokens` says so) behind ``given_ids`` ids: fewer than slots where a cache or embeddings hold the rest. ``part``
    is set by a search that feeds some of the call's sequences at a time: ``first``, ``count``, ``total``. ``memory`` is
    for what a method finds out once per call.
    """

    request: Mapping[str, Any]
    start: int | Tensor = 0
    prompt_slots: int = 0
    given_ids: int = 0
    mask: Tensor | None = None
    new_tokens: int | Tensor | None = None
    part: tuple[int, int, int] | None = None
    memory: dict[Hashable, Any] = field(default_factory=dict)

    @property
    def ids(self) -> Tensor | None:
        """Token ids of the prompts, ``(batch, prompt_slots)``, if they were given."""
        ids = self.request.get("input_ids")
        return ids if isinstance(ids, Tensor) and ids.dim() == 2 else None

    def positions(self, device: torch.device) -> Tensor:
        """Index of the prompts' slots among the real tokens of their sequences, ``(batch or 1, prompt_slots)``."""
        if self.mask is None:
            return self.start + torch.arange(self.prompt_slots, device=device).unsqueeze(0)
        return token_positions(self.mask.to(device))[:, int(self.start) :]


class NewTokens(StoppingCriteria):
    """Ends each sequence of a batch after a number of tokens of its own, so that each has its own horizon too.

    Parameters
    ----------
    each
        How many tokens may follow each prompt.
    """

    def __init__(self, each: Sequence[int]) -> None:
        self.each = each
        self._steps = 0

    def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Tensor:
        """Say which sequences end here; see ``transformers.StoppingCriteria``."""
        self._steps += 1
        return torch.tensor([self._steps >= most for most in self.each], device=input_ids.device)


@dataclass(kw_only=True, eq=False)
class Forward:
    """The rows of one forward of the language model: slots ``offset`` to ``offset + queries`` of ``batch`` sequences.

    ``given`` is how many tokens the model around it was given; ``memory`` is for what a method finds out once per
    forward.
    """

    call: Call
    batch: int
    queries: int
    offset: int | Tensor
    given: int
    device: torch.device
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
    overrides = {
        "generate": _generate,
        "_prepare_generated_length": _prepare_length,
        "_prepare_cache_for_generation": _prepare_cache,
        "init_continuous_batching": _refuse_continuous_batching,
    }
    with ExitStack() as stack:
        for module in model.modules():
            for name, override in overrides.items() if isinstance(module, GenerationMixin) else ():
                if (original := getattr(module, name, None)) is not None:
                    stack.enter_context(replaced(module, name, wraps(original)(partial(override, original, calls))))
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


def _prepare_length(original: Callable[..., Any], calls: Calls, *args: Any, **kwargs: Any) -> Any:
    """Transformers knows here how many ids it starts from: those of a decoder behind an encoder are its own."""
    config = original(*args, **kwargs)
    given = inspect.signature(original).bind(*args, **kwargs).arguments
    if (call := calls.call) is not None:
        ids, embeds = given["input_ids_length"], call.request.get("inputs_embeds")
        call.given_ids, call.prompt_slots = ids, ids or (1 if embeds is None else embeds.shape[1])
        call.new_tokens = config.max_length - ids
        for own in call.request.get("stopping_criteria") or ():
            if isinstance(own, NewTokens) and len(set(own.each)) > 1:
                call.new_tokens = torch.tensor(own.each).unsqueeze(1)
    return config


def _prepare_cache(original: Callable[..., Any], calls: Calls, *args: Any, **kwargs: Any) -> Any:
    """Transformers has resolved masks here; it drops one that hides nothing, and keeps its length."""
    prepared = original(*args, **kwargs)
    given = inspect.signature(original).bind(*args, **kwargs).arguments
    if (call := calls.call) is not None:
        decoding = given["model_kwargs"]
        behind_encoder = "encoder_outputs" in decoding
        call.mask = decoding.get("decoder_attention_mask" if behind_encoder else "attention_mask")
        if call.mask is not None:
            call.prompt_slots = call.mask.shape[1]
        elif not behind_encoder:
            call.prompt_slots = getattr(given["generation_config"], "_mask_length", None) or call.prompt_slots
    return prepared


@contextmanager
def forwards(model: nn.Module, language_model: LanguageModel) -> Iterator[None]:
    """Learn of every forward of a language model that is followed: `Calls.forward` is the one in progress."""
    calls, decoder = calls_of(model), language_model.module
    outer_names = list(inspect.signature(model.forward).parameters)
    names = list(inspect.signature(decoder.forward).parameters)
    prefix = "decoder_" if language_model.behind_encoder else ""

    def before_model(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        calls.outer = {**dict(zip(outer_names, args, strict=False)), **kwargs}

    def before_decoder(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        inputs = {**dict(zip(names, args, strict=False)), **kwargs} if args else kwargs
        outer, calls.outer, calls.forward = calls.outer, {}, None
        if (rows := new_rows(inputs)) is None:
            return
        batch, queries, device = rows
        past = given_cache(inputs)
        offset = 0 if past is None else past.get_seq_length(language_model.layers[0].index)
        if isinstance(offset, Tensor):
            offset = offset.clone()  # a static cache counts in place
        ids = outer.get(f"{prefix}input_ids")
        call = calls.call
        if call is None or call.new_tokens is None:
            mask = _real_tokens(outer.get(f"{prefix}attention_mask"), inputs.get("attention_mask"))
            call = Call(
                request={"input_ids": inputs.get("input_ids") if ids is None else ids},
                start=offset,
                prompt_slots=queries,
                mask=None if mask is None else _up_to(mask, int(offset) + queries),
            )
        given = ids.shape[1] if isinstance(ids, Tensor) else queries
        calls.forward = Forward(call=call, batch=batch, queries=queries, offset=offset, given=given, device=device)

    with ExitStack() as stack:
        if decoder is not model:
            stack.callback(model.register_forward_pre_hook(before_model, with_kwargs=True).remove)
        stack.callback(decoder.register_forward_pre_hook(before_decoder, with_kwargs=True).remove)
        yield


def _real_tokens(*masks: Any) -> Tensor | None:
    """The first mask that says which slots hold real tokens, ``(batch, slots)``; None if none does."""
    for mask in masks:
        if isinstance(mask, Mapping):
            mask = mask.get("full_attention", next(iter(mask.values()), None))
        if isinstance(mask, Tensor) and mask.dim() in (2, 4):
            return mask if mask.dim() == 2 else allowed_in(mask).flatten(1, 2).any(1)
    return None


def _up_to(mask: Tensor, slots: int) -> Tensor:
    if mask.shape[1] < slots:
        raise SettingError(f"attention_mask covers {mask.shape[1]} slots, but the sequence has {slots}")
    return mask[:, :slots]
