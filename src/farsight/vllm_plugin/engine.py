"""Where vLLM is changed: its attention layers are built with sinks, and what is not exact does not start."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from farsight.errors import UnsupportedModelError

from .boost import NAME as FLB
from .boost import Boost, check_boost, with_processor
from .generated_rows import (
    BACKENDS,
    check_generated,
    generated,
    no_beam_search,
    on_generated_rows,
    with_marked_blocks,
    with_rows,
)
from .sinks import NAME, Sinks

TESTED = ("0.32",)
"""The versions of vLLM, major and minor, whose attention layers are known to be built as this file expects."""

_NOT_THE_LANGUAGE_MODEL = re.compile(r"vision|visual|image|audio|speech|tower|encoder|resampler|talker|code2wav")
_SINKS_IN = {
    "FLASH_ATTN": torch.bfloat16,
    "CPU_ATTN": torch.float32,
    "TRITON_ATTN": torch.float32,
    "FLASHINFER": torch.float32,
}
"""The type in which a backend's kernel reads sinks; other backends are given the model's own."""
_UNDECLARED = ("CPU_ATTN",)
"""Backends that take sinks and do not say so."""
_NO_DRAFT_MODEL = ("ngram", "ngram_gpu", "suffix")


def register() -> None:
    """Let engines whose ``additional_config`` speaks of farsight have registers or boosted logits; vLLM calls it.

    May be called any number of times. Of a vLLM outside of `TESTED` nothing is changed but that such settings are
    refused.
    """
    from vllm.engine.arg_utils import EngineArgs

    _wrap(EngineArgs, "create_engine_config", _checked_config)
    if not is_tested():
        return
    from vllm.entrypoints.generate.beam_search.offline import BeamSearchOfflineMixin
    from vllm.entrypoints.generate.beam_search.online import BeamSearchOnlineMixin
    from vllm.model_executor.layers.attention import Attention
    from vllm.v1.engine.core import EngineCore
    from vllm.v1.worker.gpu_model_runner import GPUModelRunner
    from vllm.v1.worker.worker_base import WorkerWrapperBase

    _wrap(Attention, "__init__", _built_with_sinks)
    _wrap(WorkerWrapperBase, "initialize_from_config", _checked_model)
    _wrap(GPUModelRunner, "_build_attention_metadata", with_rows)
    _wrap(EngineCore, "preprocess_add_request", with_marked_blocks)
    _wrap(
        BeamSearchOfflineMixin, "beam_search", partial(no_beam_search, config_of=lambda llm: llm.llm_engine.vllm_config)
    )
    _wrap(
        BeamSearchOnlineMixin, "beam_search", partial(no_beam_search, config_of=lambda it: it.engine_client.vllm_config)
    )


def is_tested() -> bool:
    """Tell whether the vLLM that is installed is one of `TESTED`."""
    from vllm import __version__

    return any(re.match(rf"{re.escape(version)}(\.|$)", __version__) for version in TESTED)


def check_model(config: Any, sinks: Sinks) -> None:
    """Say why FarSight cannot be exact on a model as vLLM is about to run it.

    Parameters
    ----------
    config
        A ``vllm.config.VllmConfig``.
    sinks
        The settings.

    Raises
    ------
    UnsupportedModelError
        If vLLM would compute something else; the message says what.
    SettingError
        If the settings do not fit the model's layers and heads.
    """
    model, parallel = config.model_config, config.parallel_config
    name = model.architecture
    if model.use_mla:
        raise UnsupportedModelError(f"{name} uses multi-head latent attention (MLA), whose kernels take no sinks")
    if model.is_encoder_decoder:
        raise UnsupportedModelError(f"{name} is an encoder-decoder model, which is not supported")
    if model.is_attention_free:
        raise UnsupportedModelError(f"{name} has no attention that could have registers")
    if model.is_mm_prefix_lm:
        raise UnsupportedModelError(
            f"{name} reads ahead inside its pictures, where slots hold no registers: they are no constant per head, "
            "which is what vLLM can serve; use farsight with Transformers"
        )
    if max(parallel.decode_context_parallel_size, parallel.prefill_context_parallel_size) > 1:
        raise UnsupportedModelError("context parallelism in vLLM leaves out sinks: set its sizes to 1")
    method = getattr(config.speculative_config, "method", None)
    if method is not None and method not in _NO_DRAFT_MODEL:
        raise UnsupportedModelError(
            f"speculative decoding with '{method}' has a draft model, which is not tested with registers: "
            f"use {', '.join(_NO_DRAFT_MODEL)}, or none"
        )
    if sinks.rows == "generated":
        check_generated(config)
    sinks.logits(0, *_size(model))


def check_loaded(config: Any) -> None:
    """Make sure that every layer of a loaded language model that attends has registers, and log how many have.

    Parameters
    ----------
    config
        The ``vllm.config.VllmConfig`` that the model was built with.

    Raises
    ------
    UnsupportedModelError
        If a layer attends without registers, or none has any.
    """
    from vllm.logger import init_logger
    from vllm.model_executor.layers.attention import Attention
    from vllm.model_executor.layers.attention_layer_base import AttentionLayerBase
    from vllm.model_executor.layers.mamba.abstract import MambaBase

    built = config.compilation_config.static_forward_context
    attending = {name: layer for name, layer in built.items() if isinstance(layer, AttentionLayerBase)}
    with_registers = [layer for layer in attending.values() if hasattr(layer, "farsight_sinks")]
    for name, layer in attending.items():
        if hasattr(layer, "farsight_sinks"):
            if getattr(layer.impl, "sinks", None) is None:
                raise UnsupportedModelError(f"{name}: {layer.attn_backend.get_name()} has dropped the registers")
        elif not isinstance(layer, MambaBase | Attention):
            raise UnsupportedModelError(
                f"{name} ({type(layer).__name__}) attends in a way of its own, without registers"
            )
    if not with_registers:
        raise UnsupportedModelError(
            f"{config.model_config.architecture} has no attention layer that could be given registers: leave "
            f"'{NAME}' out of additional_config"
        )
    backends = ", ".join(sorted({layer.attn_backend.get_name() for layer in with_registers}))
    where = ", on generated rows" if generated(config.additional_config) else ""
    init_logger("vllm.farsight").info("FarSight: registers in %d layers (%s)%s", len(with_registers), backends, where)


def _checked_config(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def create_engine_config(self: Any, *args: Any, **kwargs: Any) -> Any:
        sinks, boost = Sinks.read(self.additional_config), Boost.read(self.additional_config)
        if (sinks is not None or boost is not None) and not is_tested():
            from vllm import __version__

            raise UnsupportedModelError(
                f"farsight is tested with vLLM {', '.join(f'{version}.*' for version in TESTED)}, and this is "
                f"{__version__}: install another vLLM or farsight, or leave '{NAME if sinks else FLB}' out of "
                "additional_config"
            )
        if boost is not None:
            with_processor(self)
        config = original(self, *args, **kwargs)
        if sinks is not None:
            check_model(config, sinks)
        if boost is not None:
            check_boost(config)
        return config

    return create_engine_config


def _built_with_sinks(original: Callable[..., None]) -> Callable[..., None]:
    signature = inspect.signature(original)

    @functools.wraps(original)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        from vllm.config import get_current_vllm_config

        config = get_current_vllm_config()
        sinks = Sinks.read(config.additional_config)
        given = signature.bind(self, *args, **kwargs)
        given.apply_defaults()
        if sinks is None or not _is_in_language_model(**given.arguments):
            original(self, *args, **kwargs)
            return
        _check_layer(self, given.arguments)
        logits = _of_this_rank(sinks, config, given.arguments)
        if given.arguments["attn_backend"] is not None:
            _check_backend(given.arguments["attn_backend"])
        original(self, *args, **{**kwargs, "sinks": logits.to(torch.float32)})
        _check_backend(self.attn_backend, self.impl)
        kept = logits.to(_SINKS_IN.get(self.attn_backend.get_name(), self.dtype))
        self.register_buffer("farsight_sinks", kept, persistent=False)
        _replace_sinks(self.impl, kept)
        if sinks.rows == "generated":
            _check_rows(self.attn_backend)
            on_generated_rows(self.impl, kept, _replace_sinks)

    return __init__


def _checked_model(original: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(original)
    def initialize_from_config(self: Any, *args: Any, **kwargs: Any) -> None:
        if Sinks.read(self.vllm_config.additional_config) is not None:
            check_loaded(self.vllm_config)
        original(self, *args, **kwargs)

    return initialize_from_config


def _is_in_language_model(*, attn_type: str, prefix: str, **_: Any) -> bool:
    from vllm.v1.attention.backend import AttentionType

    return attn_type == AttentionType.DECODER and _NOT_THE_LANGUAGE_MODEL.search(prefix) is None


def _check_layer(layer: Any, given: Mapping[str, Any]) -> None:
    from vllm.model_executor.layers.attention import Attention, ChunkedLocalAttention

    if given["extra_impl_args"].get("sinks") is not None:
        raise UnsupportedModelError(f"{given['prefix']} has attention sinks of its own, which registers would replace")
    if type(layer) not in (Attention, ChunkedLocalAttention):
        raise UnsupportedModelError(
            f"{given['prefix']} is a {type(layer).__name__}, which is not known to attend as registers expect"
        )


def _check_backend(backend: Any, impl: Any = None) -> None:
    from vllm.platforms import current_platform

    old_flash = current_platform.is_cuda() and getattr(impl, "vllm_flash_attn_version", None) == 2
    if old_flash or not (backend.supports_sink() or backend.get_name() in _UNDECLARED):
        name = f"{backend.get_name()}{' (FlashAttention 2)' * old_flash}"
        raise UnsupportedModelError(
            f"the attention backend {name} takes no sinks, which registers are in vLLM: choose one "
            "that does with --attention-backend, such as TRITON_ATTN"
        )


def _check_rows(backend: Any) -> None:
    if backend.get_name() not in BACKENDS:
        raise UnsupportedModelError(
            f"the attention backend {backend.get_name()} is not known to read its sinks anew in each forward, which "
            f"rows=generated needs: choose one of {', '.join(BACKENDS)} with --attention-backend"
        )


def _of_this_rank(sinks: Sinks, config: Any, given: Mapping[str, Any]) -> Tensor:
    """Sink logits of the heads that this process holds, ``(num_heads,)``, float64, on the model's device."""
    from vllm.distributed import get_tensor_model_parallel_rank, get_tensor_model_parallel_world_size
    from vllm.model_executor.models.utils import extract_layer_index

    layers, heads = _size(config.model_config)
    logits = sinks.logits(extract_layer_index(given["prefix"]), layers, heads)
    own, ranks = given["num_heads"], get_tensor_model_parallel_world_size()
    if own * ranks == heads:
        first = own * get_tensor_model_parallel_rank()
        logits = logits[first : first + own]
    elif own != heads:
        if not bool((logits == logits[0]).all()):
            raise UnsupportedModelError(
                f"{given['prefix']} has {own} heads on each of {ranks} ranks, and the model {heads}: leave out "
                "slopes, heads and strengths of single heads"
            )
        logits = logits[:1].expand(own)
    return logits.to(torch.get_default_device()).contiguous()


def _replace_sinks(impl: Any, sinks: Tensor) -> None:
    """Give a backend its sinks in the type that its kernel reads; some keep where they came from as well."""
    for name in ("sinks", "_sinks_source"):
        if getattr(impl, name, None) is not None:
            setattr(impl, name, sinks)


def _size(model: Any) -> tuple[int, int]:
    """How many layers and query heads the whole language model has."""
    return model.get_total_num_hidden_layers(), model.model_arch_config.total_num_attention_heads


def _wrap(owner: type, name: str, wrapper: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    original = getattr(owner, name)
    if not hasattr(original, "of_farsight"):
        wrapped = wrapper(original)
        wrapped.of_farsight = True  # type: ignore[attr-defined]
        setattr(owner, name, wrapped)
