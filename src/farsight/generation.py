"""Learn the horizon of each `generate` call, and feed the newest tokens again under the "current" horizon.

Three methods are replaced on the model instance for the length of a ``with`` block, and removed on leaving:
``generate`` (it marks where a call begins and ends), ``_prepare_cache_for_generation`` (the place where Transformers
has resolved lengths and masks) and, for "current", ``prepare_inputs_for_generation`` (which picks the tokens that the
next forward sees). Decoding loops, logits processors, streamers and caches are Transformers' own.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache, GenerationMixin

from farsight.attention import Rows
from farsight.errors import SettingError, UnsupportedModelError
from farsight.horizon import GenerationCall, Horizon, generation_call
from farsight.language_model import LanguageModel, visual_token_mask
from farsight.method import replaced


@dataclass(kw_only=True)
class GenerationHooks:
    """Instance overrides on every module of a model that can generate with its language model."""

    horizon: Horizon
    rows_with_registers: str
    window: int | None
    model: nn.Module
    language_model: LanguageModel
    rows: Rows
    absorb: float | None = None
    _requests: dict[int, dict[str, Any]] = field(default_factory=dict)

    @contextmanager
    def installed(self) -> Iterator[None]:
        decoder = self.language_model.module
        with ExitStack() as stack:
            for module in self.model.modules():
                if not isinstance(module, GenerationMixin) or not any(m is decoder for m in module.modules()):
                    continue
                overrides = {"generate": self._generate, "_prepare_cache_for_generation": self._prepare_cache}
                if hasattr(module, "init_continuous_batching"):
                    overrides["init_continuous_batching"] = _refuse_continuous_batching
                if self.language_model.behind_encoder:
                    overrides["_prepare_decoder_input_ids_for_generation"] = self._prepare_decoder_prompt
                if self.horizon == "current":
                    overrides["prepare_inputs_for_generation"] = self._prepare_inputs
                for name, override in overrides.items():
                    stack.enter_context(_overriding(module, name, override))
            yield

    def _generate(self, original: Callable[..., Any], module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        if isinstance(kwargs.get("custom_generate"), str):
            raise UnsupportedModelError("a generation recipe from the Hub (custom_generate) has a horizon of its own")
        before = self.rows.call, self.rows.request
        inputs = kwargs.get("inputs", args[0] if args else None)
        self.rows.request = {"input_ids": inputs, **{k: v for k, v in kwargs.items() if isinstance(v, Tensor)}}
        try:
            return original(*args, **kwargs)
        finally:
            self.rows.call, self.rows.request = before

    def _prepare_decoder_prompt(
        self, original: Callable[..., Any], module: nn.Module, *args: Any, **kwargs: Any
    ) -> Any:
        """The prompt of a decoder behind an encoder, with the start token that Transformers puts in front."""
        prompt, model_kwargs = original(*args, **kwargs)
        self.rows.request = {"input_ids": prompt}
        return prompt, model_kwargs

    def _prepare_cache(self, original: Callable[..., Any], module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        prepared = original(*args, **kwargs)
        given = inspect.signature(original).bind(*args, **kwargs).arguments
        config, model_kwargs = given["generation_config"], given["model_kwargs"]
        if self.horizon == "current":
            self._check_recomputable(given["generation_mode"], model_kwargs)
        if self.absorb is not None and getattr(config, "prefill_chunk_size", None):
            raise UnsupportedModelError(
                "absorb measures the whole prompt in one forward: leave out prefill_chunk_size, or set "
                "strength=... instead"
            )
        request = self.rows.request or {}
        prompt = next((p for n in ("input_ids", "inputs_embeds") if (p := request.get(n)) is not None), None)
        ids = request.get("input_ids")
        ids_length = ids.shape[1] if ids is not None and ids.dim() == 2 else int(prompt is None)
        new_tokens = config.max_new_tokens if config.max_new_tokens is not None else config.max_length - ids_length
        behind_encoder = self.language_model.behind_encoder
        mask = model_kwargs.get("decoder_attention_mask" if behind_encoder else "attention_mask")
        masked = None if behind_encoder else getattr(config, "_mask_length", None)
        prompt_slots = mask.shape[1] if mask is not None else masked or _length(prompt, ids_length)
        self.rows.call = call = generation_call(
            self.horizon,
            self.rows_with_registers,
            mask,
            prompt_slots,
            new_tokens,
            self._visual_tokens(ids, prompt_slots),
            device=_device(module, mask if prompt is None else prompt),
        )
        call.started = _is_assisted(given["generation_mode"])  # its first forward already holds candidates
        return prepared

    def _visual_tokens(self, ids: Tensor | None, prompt_slots: int) -> Tensor | None:
        if self.rows_with_registers != "text" and self.horizon != "current":
            return None
        if self.language_model.behind_encoder:  # the picture is in the encoder
            return None
        if ids is not None and ids.dim() == 2 and ids.shape[1] == prompt_slots:
            try:
                return visual_token_mask(self.model, ids)
            except UnsupportedModelError:
                if self.rows_with_registers == "text":
                    raise
                return None
        if self.rows_with_registers == "text":
            raise SettingError(
                "rows='text' must see the whole prompt's tokens: pass input_ids, not inputs_embeds alone"
            )
        return None

    def _check_recomputable(self, mode: Any, model_kwargs: dict[str, Any]) -> None:
        if _is_assisted(mode):
            raise UnsupportedModelError("horizon='current' feeds old rows again, which assisted decoding cannot do")
        cache = model_kwargs.get("past_key_values")
        if cache is None:
            return
        if type(cache) is not DynamicCache:
            raise UnsupportedModelError(
                f"horizon='current' takes back the newest rows of the cache, which {type(cache).__name__} cannot do: "
                "use the default cache, or horizon='generation'"
            )
        if hasattr(cache, "activate_past_recording"):
            cache.activate_past_recording()
        elif any(getattr(layer, "is_sliding", False) for layer in cache.layers):
            raise UnsupportedModelError(
                "horizon='current' with a sliding window needs a Transformers whose cache records the past: "
                "upgrade Transformers, or use horizon='generation'"
            )

    def _prepare_inputs(
        self, original: Callable[..., Any], module: nn.Module, input_ids: Tensor, *args: Any, **kwargs: Any
    ) -> Any:
        """Take back the last ``window`` rows of the cache and feed their tokens again with the new one."""
        cache = kwargs.get("past_key_values")
        call: GenerationCall | None = self.rows.call
        if call is not None and cache is not None and kwargs.get("next_sequence_length") == 1:
            length = cache.get_seq_length(self.language_model.layers[0].index)
            again = length if self.window is None else min(self.window, length)
            if again > 0:
                cache.crop(-again)
            kwargs["next_sequence_length"] = again + 1
        return original(input_ids, *args, **kwargs)


def _refuse_continuous_batching(original: Callable[..., Any], module: nn.Module, *args: Any, **kwargs: Any) -> Any:
    raise UnsupportedModelError(
        "continuous batching (generate_batch) packs the rows of several requests into one, so their horizons are not "
        "known: use generate"
    )


def _is_assisted(mode: Any) -> bool:
    return "assisted" in str(getattr(mode, "value", mode))


def _device(module: nn.Module, given: Tensor | None) -> torch.device:
    """Where a model computes; that of the prompt where its weights are on disk until they are needed."""
    device = next(module.parameters()).device
    return given.device if device.type == "meta" and given is not None else device


def _length(prompt: Tensor | None, default: int) -> int:
    return default if prompt is None else prompt.shape[1]


def _overriding(module: nn.Module, name: str, override: Callable[..., Any]) -> AbstractContextManager[None]:
    """Replace a method by one that gets the original and the module first."""
    original = getattr(module, name)
    replacement = partial(override, original, module)
    replacement.__doc__ = original.__doc__
    return replaced(module, name, replacement)
