"""FarSight inside vLLM: registers of an infinite horizon are one attention-sink logit per head.

vLLM finds `register` through the entry point group ``vllm.general_plugins``, in every one of its processes. It does
nothing until an engine is started with settings::

    vllm serve llava-hf/llava-1.5-7b-hf --additional-config '{"farsight": {"sigma": 0.8}}'
    vllm.LLM(model, additional_config={"farsight": {"sigma": 0.8}})

Then each causal attention layer of the language model is built with the sinks ``log R = -log(exp(sigma) - 1)``
(FarSight, eq. 1-4, see `farsight.registers`), so that vLLM picks an attention backend that takes sinks. What vLLM does
not compute exactly so is refused when the engine starts. The rest of farsight imports nothing of this, nor vLLM.
"""

from __future__ import annotations

import functools
import inspect
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any

import torch
from torch import Tensor

from farsight.errors import SettingError, UnsupportedModelError
from farsight.registers import PAPER_SIGMA, alibi_slopes, log_register_mass

NAME = "farsight"
"""The key of ``additional_config``, and the name of the plugin for ``VLLM_PLUGINS``."""
TESTED = ("0.32",)
"""The versions of vLLM, major and minor, whose attention layers are known to be built as this file expects."""

_NO_REGISTERS = -1e4
"""A sink logit that takes nothing: finite, because not every kernel starts from an infinite one."""
_NOT_THE_LANGUAGE_MODEL = re.compile(r"vision|visual|image|audio|speech|tower|encoder|resampler|talker|code2wav")
_SERVED_ALIKE = {"horizon": "infinite", "profile": "linear", "rows": "all", "score_scale": 1.0, "absorb": None}
"""Settings of `farsight.FarSight` that are one constant per head with this value only."""
_SINKS_IN = {"FLASH_ATTN": torch.bfloat16, "CPU_ATTN": torch.float32, "TRITON_ATTN": torch.float32,
             "FLASHINFER": torch.float32}  # fmt: skip
"""The type in which a backend's kernel reads sinks; other backends are given the model's own."""
_UNDECLARED = ("CPU_ATTN",)
"""Backends that take sinks and do not say so."""
_NO_DRAFT_MODEL = ("ngram", "ngram_gpu", "suffix")

Strength = float | tuple[float, ...] | tuple[tuple[float, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Sinks:
    """Which sink logits the heads of a language model get; the fields are those of `farsight.FarSight`.

    Parameters
    ----------
    sigma
        Decay of the registers per slot, > 0.
    slopes
        ``"alibi"``: head ``h`` of ``H`` decays at ALiBi's ``2 ** (-8 * (h + 1) / H)`` instead of ``sigma``.
    strength
        Factor on the register mass: a number, one per layer, or one per layer and head, all of the model's.
    layers, heads
        Which have registers, counted in the whole model; None for all.

    Raises
    ------
    SettingError
        If a value has no meaning; the message names it.
    """

    sigma: float = PAPER_SIGMA
    slopes: str | None = None
    strength: Strength = 1.0
    layers: tuple[int, ...] | None = None
    heads: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        for field in ("strength", "layers", "heads"):
            object.__setattr__(self, field, _frozen(getattr(self, field)))
        if not (_is_number(self.sigma) and self.sigma > 0):
            raise SettingError(f"sigma must be a finite number > 0, got {self.sigma!r}")
        if self.slopes not in (None, "alibi"):
            raise SettingError(f"slopes must be None or 'alibi', got {self.slopes!r}")
        for field in ("layers", "heads"):
            chosen = getattr(self, field)
            if chosen is not None and not (isinstance(chosen, tuple) and chosen and all(map(_is_index, chosen))):
                raise SettingError(f"{field} must be None or whole numbers >= 0, got {chosen!r}")
        if not _is_strength(self.strength):
            raise SettingError(
                f"strength must be finite and >= 0, one number, one per layer or one per layer and head, "
                f"got {self.strength!r}"
            )

    @classmethod
    def read(cls, config: object) -> Sinks | None:
        """Read vLLM's ``additional_config``; None if it does not speak of farsight.

        Raises
        ------
        SettingError
            If its settings are unknown, have no meaning, or are no constant per head.
        """
        given = config.get(NAME) if isinstance(config, Mapping) else None
        if given is None:
            return None
        if not isinstance(given, Mapping):
            raise SettingError(f"additional_config's '{NAME}' must be settings such as {{'sigma': 0.8}}, got {given!r}")
        known = [field.name for field in fields(cls)]
        for name, value in given.items():
            if name in _SERVED_ALIKE:
                if value != _SERVED_ALIKE[name]:
                    raise SettingError(
                        f"{name}={value!r} is no constant per head, which is what vLLM can serve: leave {name} out"
                    )
            elif name not in known:
                near = get_close_matches(str(name), known, n=1)
                hint = f"did you mean '{near[0]}'?" if near else f"choose from {', '.join(known)}"
                raise SettingError(f"farsight in vLLM has no setting '{name}'; {hint}")
        return cls(**{name: given[name] for name in known if name in given})

    def logits(self, layer: int, layers: int, heads: int) -> Tensor:
        """Sink logits of all heads of a layer, ``log R + log strength``.

        Parameters
        ----------
        layer
            Its index.
        layers, heads
            How many the whole model has.

        Returns
        -------
        Tensor
            ``(heads,)``, float64.
        """
        for name, chosen, count in (("layers", self.layers, layers), ("heads", self.heads, heads)):
            if missing := sorted(index for index in chosen or () if index >= count):
                raise SettingError(f"{name} {missing} are out of range: this model has 0 to {count - 1}")
        slopes = alibi_slopes(heads).tolist() if self.slopes == "alibi" else [self.sigma] * heads
        sigma = torch.tensor(slopes, dtype=torch.float64, device="cpu")
        mass = log_register_mass(torch.full_like(sigma, math.inf), sigma)
        mass = mass + self._strength_of(layer, layers, heads).log()
        if self.heads is not None:
            others = [head for head in range(heads) if head not in self.heads]
            mass[others] = -math.inf
        if self.layers is not None and layer not in self.layers:
            mass[:] = -math.inf
        return mass.clamp(min=_NO_REGISTERS)

    def _strength_of(self, layer: int, layers: int, heads: int) -> Tensor:
        strength = self.strength
        if isinstance(strength, tuple):
            if len(strength) != layers:
                raise SettingError(f"strength has {len(strength)} layers, this model has {layers}")
            strength = strength[layer]
        per_head = torch.tensor(strength, dtype=torch.float64, device="cpu").reshape(-1)
        if per_head.numel() not in (1, heads):
            raise SettingError(f"strength has {per_head.numel()} heads, this model has {heads}")
        return per_head.expand(heads)


def register() -> None:
    """Let engines whose ``additional_config`` has ``"farsight"`` be built with registers; vLLM calls it.

    May be called any number of times. Of a vLLM outside of `TESTED` nothing is changed but that such settings are
    refused.
    """
    from vllm.engine.arg_utils import EngineArgs

    _wrap(EngineArgs, "create_engine_config", _checked_config)
    if not _is_tested():
        return
    from vllm.model_executor.layers.attention import Attention
    from vllm.v1.worker.gpu_worker import Worker

    _wrap(Attention, "__init__", _built_with_sinks)
    _wrap(Worker, "load_model", _checked_model)


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
    sinks.logits(0, *_size(model))


def _checked_config(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def create_engine_config(self: Any, *args: Any, **kwargs: Any) -> Any:
        sinks = Sinks.read(self.additional_config)
        if sinks is not None and not _is_tested():
            from vllm import __version__

            raise UnsupportedModelError(
                f"farsight is tested with vLLM {', '.join(f'{version}.*' for version in TESTED)}, and this is "
                f"{__version__}: install another vLLM or farsight, or leave '{NAME}' out of additional_config"
            )
        config = original(self, *args, **kwargs)
        if sinks is not None:
            check_model(config, sinks)
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
        _check_backend(self.attn_backend)
        kept = logits.to(_SINKS_IN.get(self.attn_backend.get_name(), self.dtype))
        self.register_buffer("farsight_sinks", kept, persistent=False)
        _replace_sinks(self.impl, kept)

    return __init__


def _checked_model(original: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(original)
    def load_model(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        if Sinks.read(self.vllm_config.additional_config) is not None:
            _check_loaded(self.vllm_config)

    return load_model


def _check_loaded(config: Any) -> None:
    """Make sure that every layer of the language model that attends has registers, and say how many have."""
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
    backends = sorted({layer.attn_backend.get_name() for layer in with_registers})
    init_logger("vllm.farsight").info("FarSight: registers in %d layers (%s)", len(with_registers), ", ".join(backends))


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


def _check_backend(backend: Any) -> None:
    if not (backend.supports_sink() or backend.get_name() in _UNDECLARED):
        raise UnsupportedModelError(
            f"the attention backend {backend.get_name()} takes no sinks, which registers are in vLLM: choose one "
            "that does with --attention-backend, such as TRITON_ATTN"
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


def _is_tested() -> bool:
    from vllm import __version__

    return any(re.match(rf"{re.escape(version)}(\.|$)", __version__) for version in TESTED)


def _wrap(owner: type, name: str, wrapper: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    original = getattr(owner, name)
    if not hasattr(original, "of_farsight"):
        wrapped = wrapper(original)
        wrapped.of_farsight = True  # type: ignore[attr-defined]
        setattr(owner, name, wrapped)


def _frozen(value: object) -> object:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(_frozen(item) for item in value)
    return value


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_index(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_strength(value: object) -> bool:
    """A number, one per layer, or one per layer and head: all layers alike in form."""
    rows = value if isinstance(value, tuple) else (value,)
    numbers = [number for row in rows for number in (row if isinstance(row, tuple) else (row,))]
    alike = len({len(row) if isinstance(row, tuple) else 0 for row in rows}) == 1
    return len(numbers) > 0 and alike and all(_is_number(number) and number >= 0 for number in numbers)
