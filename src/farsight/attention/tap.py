"""The one interceptor of attention: layers carry taps, which edit scores, gate rows, or look.

Everything that any method does to attention is a tap. Edits come first, in order; gates multiply; then whoever looks,
looks. What may be used together follows from what taps need: an edit needs written-out attention, a gate the log of
the softmax denominator (every kernel here gives it), a look nothing. A layer without taps runs its own implementation.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from farsight.attention.kernels import kernel_of
from farsight.attention.kernels.attended import Attended
from farsight.attention.kernels.eager import eager_attention
from farsight.attention.kernels.sdpa import verify
from farsight.attention.layer_call import LayerCall, sink_of_rows
from farsight.attention.layers import AttentionLayer, LanguageModel
from farsight.attention.names import attention_function, check_names, named, own_name
from farsight.errors import UnsupportedModelError

ATTRIBUTE = "farsight_taps"
# What an attention function may take: understood here, or without meaning for a decoder in evaluation.
_KNOWN = {"module", "query", "key", "value", "attention_mask", "scaling", "dropout", "is_causal", "kwargs", "_kwargs"}
_KNOWN |= {"s_aux", "sinks", "softcap", "position_bias", "sliding_window", "cache"}


class Tap:
    """Something done to the attention of the layers that carry it; a subclass overrides what it does."""

    def edit(self, scores: Tensor, call: LayerCall) -> Tensor:
        """Change the scores ``(batch, heads, queries, keys)`` before the softmax.

        The mask is added afterwards, so nothing that is masked can be made readable.
        """
        return scores

    def gate(self, lse: Tensor, call: LayerCall) -> Tensor:
        """Give the factor on each row, the shape of ``lse``.

        ``lse`` is the log of the row's softmax denominator, ``(batch, heads, queries)``, at least fp32, after all edits
        and with the model's own sink.
        """
        return torch.ones_like(lse)

    def see(self, call: LayerCall) -> None:
        """Look at a call after it was computed: `LayerCall.lse`, ``factor``, ``weights`` and ``rows`` are known."""


class Taps:
    """What one layer carries: its taps in order, by what they do."""

    def __init__(self, index: int, taps: tuple[Tap, ...], ran: bool = False) -> None:
        self.index, self.taps, self.ran = index, taps, ran
        self.edits = [tap.edit for tap in taps if type(tap).edit is not Tap.edit]
        self.gates = [tap.gate for tap in taps if type(tap).gate is not Tap.gate]
        self.looks = [tap.see for tap in taps if type(tap).see is not Tap.see]


_lock = threading.Lock()


@contextmanager
def tapped(language_model: LanguageModel, taps: Sequence[tuple[AttentionLayer, Tap]]) -> Iterator[None]:
    """Put taps on layers of ``language_model`` for the length of a ``with`` block, behind those that they carry.

    Blocks may overlap and be left in any order.

    Raises
    ------
    UnsupportedModelError
        On entering, if an attention implementation cannot do what a tap needs; after the first forward, if a layer did
        not run the attention function that carries its taps.
    """
    decoder = language_model.module
    unchecked = True

    def before(module: nn.Module, args: Any) -> None:
        if not torch.compiler.is_compiling():
            check_names(language_model)

    def after(module: nn.Module, args: Any, output: Any) -> None:
        """After the first forward: taps that no attention function has met do nothing."""
        nonlocal unchecked
        if not unchecked or torch.compiler.is_compiling():
            return
        unchecked = False
        carried = {layer.index: vars(layer.module).get(ATTRIBUTE) for layer, _ in taps}
        if missed := sorted(index for index, its in carried.items() if its is not None and not its.ran):
            raise UnsupportedModelError(
                f"layers {missed} of {type(decoder).__name__} did not run the attention function that carries "
                "what this method does; choose others with layers=..."
            )

    _check(language_model, [tap for _, tap in taps])
    with ExitStack() as stack:
        stack.enter_context(named(language_model, lambda name: partial(_attention_forward, name, kernel_of(name))))
        for layer, tap in taps:
            stack.callback(_take_off, layer.module, tap)
            _put_on(layer, tap)
        stack.callback(decoder.register_forward_pre_hook(before).remove)
        stack.callback(decoder.register_forward_hook(after).remove)
        yield


@contextmanager
def watched(
    language_model: LanguageModel, see: Callable[[LayerCall], None], layers: Sequence[AttentionLayer] | None = None
) -> Iterator[None]:
    """Call ``see`` after every call of layers (all for None) in this thread; what is computed stays the same."""
    look = _Look(see)
    chosen = language_model.layers if layers is None else layers
    with tapped(language_model, [(layer, look) for layer in chosen]):
        yield


class _Look(Tap):
    def __init__(self, see: Callable[[LayerCall], None]) -> None:
        self.shown, self.thread = see, threading.get_ident()

    def see(self, call: LayerCall) -> None:
        if threading.get_ident() == self.thread and not torch.compiler.is_compiling():
            self.shown(call)


def _put_on(layer: AttentionLayer, tap: Tap) -> None:
    with _lock:
        carried: Taps | None = vars(layer.module).get(ATTRIBUTE)
        before, ran = (carried.taps, carried.ran) if carried is not None else ((), False)
        vars(layer.module)[ATTRIBUTE] = Taps(layer.index, (*before, tap), ran)


def _take_off(module: nn.Module, tap: Tap) -> None:
    with _lock:
        carried: Taps = vars(module).pop(ATTRIBUTE)
        if left := tuple(other for other in carried.taps if other is not tap):
            vars(module)[ATTRIBUTE] = Taps(carried.index, left, carried.ran)


def _check(language_model: LanguageModel, taps: Sequence[Tap]) -> None:
    for device in {parameter.device.type for parameter in language_model.module.parameters()}:
        verify(device)
    kinds = Taps(0, tuple(taps))
    for layer in language_model.layers:
        name = own_name(layer.config._attn_implementation)
        if kinds.gates or kinds.edits:
            if (reason := refusal(name)) is not None:
                raise UnsupportedModelError(reason)
            parameters = inspect.signature(attention_function(name, layer.module)).parameters
            if unknown := sorted(set(parameters) - _KNOWN):
                raise UnsupportedModelError(
                    f"the {name} attention of {type(layer.module).__name__} takes {', '.join(unknown)}, which "
                    "a change of attention does not know"
                )
        if kinds.edits and "flash" in name:
            raise UnsupportedModelError(
                f"attention scores cannot be edited beside attention implementation '{name}', whose masks have another "
                "form: load the model with attn_implementation='sdpa' (or eager)"
            )


def refusal(implementation: str) -> str | None:
    """Why layers with this attention implementation cannot carry edits or gates, or None if they can."""
    if kernel_of(own_name(implementation)) is not None:
        return None
    return (
        f"attention implementation '{implementation}' gives no log-sum-exp; load the model with "
        "attn_implementation='sdpa' (or eager, flex_attention, flash_attention_2)"
    )


def _attention_forward(
    implementation: str,
    kernel: Callable[..., Attended] | None,
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Any,
    scaling: float | None = None,
    dropout: float = 0.0,
    is_causal: bool | None = None,
    s_aux: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    """Attention as Transformers calls it: ``(batch, heads, queries, dim)`` in, ``(batch, queries, heads, dim)`` out."""
    carried: Taps | None = getattr(module, ATTRIBUTE, None)
    if carried is None:
        given = {"dropout": dropout, "scaling": scaling, "is_causal": is_causal, "s_aux": s_aux, **kwargs}
        return _own(implementation, module, query, key, value, attention_mask, given)
    if not torch.compiler.is_compiling():
        carried.ran = True
    call = LayerCall(
        index=carried.index,
        implementation=implementation,
        module=module,
        query=query,
        key=key,
        value=value,
        mask=attention_mask,
        scaling=query.shape[-1] ** -0.5 if scaling is None else scaling,
        is_causal=bool(getattr(module, "is_causal", True)) if is_causal is None else is_causal,
        softcap=kwargs.get("softcap"),
        position_bias=kwargs.get("position_bias"),
        sliding_window=kwargs.get("sliding_window"),
        sink=s_aux if kwargs.get("sinks") is None else kwargs["sinks"],
        edited=bool(carried.edits),
    )
    if carried.edits or carried.gates:
        if dropout > 0.0:
            raise UnsupportedModelError(
                "a method is a change of decoding: call model.eval() first (attention dropout is on)"
            )
        if kwargs.get("cache") is not None:
            raise UnsupportedModelError("continuous batching (a paged cache) is not supported: use generate")
        assert kernel is not None
        output, call.weights = _changed(carried, kernel, call, kwargs)
    else:
        given = {"dropout": dropout, "scaling": scaling, "is_causal": is_causal, "s_aux": s_aux, **kwargs}
        output, call.weights = _own(implementation, module, query, key, value, attention_mask, given)
    for look in carried.looks:
        look(call)
    return output, call.weights


def _own(
    implementation: str, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Any, given: dict[str, Any]
) -> tuple[Tensor, Tensor | None]:
    """What the layer computes by itself."""
    options = {name: option for name, option in given.items() if option is not None}
    computed: tuple[Tensor, Tensor | None] = attention_function(implementation, module)(
        module, query, key, value, mask, **options
    )
    return computed


def _changed(
    carried: Taps, kernel: Callable[..., Attended], call: LayerCall, kwargs: dict[str, Any]
) -> tuple[Tensor, Tensor | None]:
    """Attention with edited scores and gated rows; the model's own sink is one more gate, which the others see."""
    mask, given = call.mask, kwargs
    if "sinks" in given:
        given = {name: option for name, option in kwargs.items() if name != "sinks"}
    if carried.edits:
        kernel, mask = eager_attention, call.additive_mask()
        given = {**given, "edit": partial(_edited, carried.edits, call)}
    dtype = call.value.dtype  # under autocast rotated queries and keys are wider than values
    states = call.query.to(dtype), call.key.to(dtype), call.value
    attended = kernel(call.module, *states, mask, scaling=call.scaling, is_causal=call.is_causal, **given)
    lse: Tensor = attended.lse
    factor: Tensor | None = None
    if call.sink is not None:
        own = sink_of_rows(call.sink, lse)
        lse, factor = torch.logaddexp(lse, own), torch.sigmoid(lse - own)
    for gate in carried.gates:
        kept = gate(lse, call)
        factor = kept if factor is None else factor * kept
    call.lse, call.factor = lse, factor
    output, weights = attended.output, attended.weights
    if factor is not None:
        output, weights = apply_gate(output, factor), None if weights is None else apply_gate(weights, factor)
    return output.transpose(1, 2).contiguous(), weights


def _edited(edits: list[Callable[..., Tensor]], call: LayerCall, scores: Tensor) -> Tensor:
    for edit in edits:
        scores = edit(scores, call)
    return scores


def apply_gate(output: Tensor, gate: Tensor) -> Tensor:
    """Multiply attention output ``(batch, heads, queries, head_dim)`` by ``gate`` ``(batch, heads, queries)``.

    The product is rounded once, to the dtype of ``output``; outside of training it is taken in place.
    """
    gate = gate.unsqueeze(-1)
    if output.requires_grad:
        return (output * gate).to(output.dtype)
    return output.mul_(gate)
